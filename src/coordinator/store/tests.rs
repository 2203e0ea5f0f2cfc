use std::fs;

use super::*;
use crate::federation::protocol::ClientId;

fn entry(value: u8) -> Entry {
    Entry { at_unix_ms: u64::from(value), event: Event::Left { client: ClientId([value; 8]) } }
}

fn all(log: &RedbLog) -> Vec<(FederationId, Entry)> {
    let mut entries = Vec::new();
    log.read(&mut |federation, entry| entries.push((federation, entry))).unwrap();
    entries
}

#[test]
fn a_log_is_read_back_in_order_after_it_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (FederationId([1; 8]), FederationId([2; 8]));
    {
        let log = RedbLog::open(folder.path()).unwrap();
        log.append(b, 0, &[entry(1)]).unwrap();
        log.append(a, 0, &[entry(2), entry(3)]).unwrap();
        log.append(b, 1, &[entry(4)]).unwrap();
        log.set_admin(Hash([7; 32])).unwrap();
        assert!(matches!(RedbLog::open(folder.path()), Err(StoreError::InUse { .. })));
    }
    let log = RedbLog::open(folder.path()).unwrap();
    assert_eq!(all(&log), [(a, entry(2)), (a, entry(3)), (b, entry(1)), (b, entry(4))]);
    assert_eq!(log.admin().unwrap(), Some(Hash([7; 32])));
}

#[test]
fn an_append_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = RedbLog::open(folder.path()).unwrap();
    let id = FederationId([1; 8]);
    log.append(id, 0, &[entry(1)]).unwrap();
    for first in [0, 2] {
        assert!(matches!(log.append(id, first, &[entry(2)]), Err(StoreError::Conflict { found: 1, .. })));
    }
    assert_eq!(all(&log), [(id, entry(1))]);
}

#[test]
fn a_removed_federation_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b, c] = [1, 2, 3].map(|value| FederationId([value; 8]));
    {
        let log = RedbLog::open(folder.path()).unwrap();
        for id in [a, b, c] {
            log.append(id, 0, &[entry(id.0[0]), entry(9)]).unwrap();
        }
        log.remove(b).unwrap();
        log.remove(b).unwrap();
    }
    let log = RedbLog::open(folder.path()).unwrap();
    assert_eq!(all(&log), [(a, entry(1)), (a, entry(9)), (c, entry(3)), (c, entry(9))]);
    assert!(log.append(b, 2, &[entry(4)]).is_err(), "nobody goes on where it was");
    log.append(b, 0, &[entry(4)]).unwrap();
}

#[test]
fn floats_keep_every_bit() {
    let folder = tempfile::tempdir().unwrap();
    let log = RedbLog::open(folder.path()).unwrap();
    let awkward = [0.1 + 0.2, f64::from_bits(0x3FE5_5555_5555_5555), 5e-324, -0.0];
    let updates: Vec<Entry> = awkward
        .iter()
        .map(|&norm| {
            let update = crate::coordinator::machine::Update { blob: Hash([0; 32]), samples: 1, norm, metrics: None };
            Entry { at_unix_ms: 0, event: Event::UpdateAccepted { client: ClientId([0; 8]), round: 1, update } }
        })
        .collect();
    log.append(FederationId([1; 8]), 0, &updates).unwrap();
    for ((_, entry), norm) in all(&log).iter().zip(awkward) {
        let Event::UpdateAccepted { update, .. } = &entry.event else { panic!("{entry:?}") };
        assert_eq!(update.norm.to_bits(), norm.to_bits());
    }
}

#[test]
fn contents_are_whole_or_not_there() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::open(root.path()).unwrap();
    let scratch = folder.scratch().unwrap();
    fs::write(scratch.path(), b"content").unwrap();
    let hash = Hash::of(b"content");
    assert_eq!(folder.path(hash), None);
    folder.adopt(&scratch, hash).unwrap();
    assert_eq!(fs::read(folder.path(hash).unwrap()).unwrap(), b"content");
    assert_eq!(folder.list().unwrap(), [hash]);
    let dropped = folder.scratch().unwrap();
    let place = dropped.path().to_owned();
    fs::write(&place, b"half a con").unwrap();
    drop(dropped);
    assert!(!place.exists(), "what did not become a content is deleted");
    // A process that dies drops nothing.
    let left_over = std::mem::ManuallyDrop::new(folder.scratch().unwrap());
    let again = Folder::open(root.path()).unwrap();
    assert!(!left_over.path().exists() && again.path(hash).is_some());
    again.delete(hash).unwrap();
    again.delete(hash).unwrap();
    assert!(again.list().unwrap().is_empty());
}
