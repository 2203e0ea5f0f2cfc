//! The cache on a folder.

use std::fs;
use std::rc::Rc;

use proptest::prelude::*;
use sigmascope::model::{Config, Task};
use sigmascope::shelf::{Cache, Folder, ShelfError, Store, StoreFile, WeightsSummary};
use sigmascope::weights::{Counts, LoadReport, Origin, Quantization};

use super::{block_on, cache, clock, folder, names, read, sha256};

fn summary(bytes: usize) -> WeightsSummary {
    WeightsSummary {
        title: "HyperSIGMA Tiny".into(),
        size: Some("tiny".into()),
        quantization: Quantization::Q8_0,
        origin: Origin::Pretraining,
        bytes: bytes as u64,
        parameters: 7,
        complete: false,
        classes: 0,
        license: Some("MIT".into()),
        source: None,
    }
}

fn report() -> LoadReport {
    LoadReport {
        inputs: Vec::new(),
        origin: Origin::Pretraining,
        size: None,
        network: Config::tiny(Task::Segmentation, [32, 32], 8, 6),
        quantization: None,
        bytes: 0,
        counts: Counts::of(&[]),
        notes: vec!["a note".into()],
        tensors: Vec::new(),
    }
}

/// Keeps some bytes; gives their id.
fn keep(cache: &Cache, name: &str, bytes: &[u8]) -> String {
    let mut incoming = block_on(cache.begin(name, Some(bytes.len() as u64))).unwrap();
    for piece in bytes.chunks(1000) {
        block_on(incoming.append(piece)).unwrap();
    }
    let arrived = block_on(incoming.finish()).unwrap();
    assert!(block_on(cache.commit(&arrived, name, &summary(bytes.len()), &report())).unwrap());
    arrived.sha256
}

#[test]
fn what_is_kept_is_there_after_a_reload() {
    let (_dir, store) = folder(None);
    let bytes: Vec<u8> = (0..5000).map(|i| (i % 251) as u8).collect();
    let id = keep(&cache(&store), "a.gguf", &bytes);
    assert_eq!(id, sha256(&bytes));
    let later = cache(&store);
    let listing = block_on(later.list()).unwrap();
    assert_eq!(listing.notices, Vec::<String>::new());
    let [entry] = &listing.entries[..] else { panic!("one entry") };
    assert_eq!((entry.weights.id.as_str(), entry.weights.name.as_str()), (id.as_str(), "a.gguf"));
    assert_eq!((&entry.weights.summary, &entry.report), (&summary(5000), &report()));
    assert_eq!(entry.weights.stored_ms, clock());
    assert!(listing.bytes_used > 5000 && listing.bytes_used < 10_000);
    let (_, source) = block_on(later.open(&id)).unwrap();
    assert_eq!((source.name(), read(&source)), ("a.gguf", bytes));
}

#[test]
fn entries_are_deleted_one_by_one_and_together() {
    let (_dir, store) = folder(None);
    let cache = cache(&store);
    let first = keep(&cache, "a.gguf", b"one");
    let second = keep(&cache, "b.gguf", b"two");
    block_on(cache.delete(&first)).unwrap();
    block_on(cache.delete(&first)).unwrap();
    assert!(matches!(block_on(cache.open(&first)).err(), Some(ShelfError::Unknown { .. })));
    assert_eq!(read(&block_on(cache.open(&second)).unwrap().1), b"two");
    assert_eq!(names(&store).len(), 2);
    block_on(cache.clear()).unwrap();
    assert_eq!(names(&store), Vec::<String>::new());
    // A name from outside leads nowhere else.
    for id in ["", "..", "../../etc/passwd", &"g".repeat(64), &"A".repeat(64)] {
        assert!(block_on(cache.open(id)).is_err() && block_on(cache.delete(id)).is_ok(), "{id}");
    }
}

#[test]
fn the_same_weights_twice_are_one_entry() {
    let (_dir, store) = folder(None);
    let cache = cache(&store);
    let id = keep(&cache, "a.gguf", b"the same");
    assert_eq!(keep(&cache, "b.gguf", b"the same"), id);
    let listing = block_on(cache.list()).unwrap();
    assert_eq!(listing.entries.len(), 1);
    assert_eq!(listing.entries[0].weights.name, "b.gguf");
    assert_eq!(names(&store).len(), 2, "the older data are gone");
    assert_eq!(read(&block_on(cache.open(&id)).unwrap().1), b"the same");
}

#[test]
fn leftovers_go_and_what_is_being_written_stays() {
    let (dir, store) = folder(None);
    let cache = cache(&store);
    let id = keep(&cache, "a.gguf", b"kept");
    let path = |name: &str| dir.path().join("weights").join(name);
    fs::write(path("123-0.gguf"), b"a tab was closed").unwrap();
    fs::write(path(&format!("{}.json", "0".repeat(64))), b"{ half a json").unwrap();
    fs::write(
        path("0123456789abcdef.resume"),
        br#"{"url":"u","file":"123-0.gguf","validator":null,"total":null,"started_ms":5}"#,
    )
    .unwrap();
    let mut incoming = block_on(cache.begin("b.gguf", None)).unwrap();
    block_on(incoming.append(b"not yet whole")).unwrap();
    assert_eq!(names(&store).len(), 6);
    let listing = block_on(cache.list()).unwrap();
    assert_eq!(listing.entries.len(), 1);
    assert_eq!(names(&store).len(), 3, "the entry's two files and the one that is written: {:?}", names(&store));
    block_on(incoming.append(b", but soon")).unwrap();
    let arrived = block_on(incoming.finish()).unwrap();
    assert_eq!(read(&arrived.source), b"not yet whole, but soon");
    assert!(block_on(cache.open(&id)).is_ok());
}

#[test]
fn an_entry_whose_data_are_cut_short_is_deleted_and_named() {
    let (dir, store) = folder(None);
    let cache = cache(&store);
    let id = keep(&cache, "a.gguf", b"whole at first");
    let data = names(&store).into_iter().find(|name| name.ends_with(".gguf")).unwrap();
    fs::write(dir.path().join("weights").join(data), b"whole").unwrap();
    let listing = block_on(cache.list()).unwrap();
    assert!(listing.entries.is_empty() && listing.notices[0].contains("a.gguf"), "{:?}", listing.notices);
    assert_eq!(names(&store), Vec::<String>::new());
    assert!(block_on(cache.open(&id)).is_err());
}

#[test]
fn without_a_store_everything_is_in_memory_and_said_so() {
    let cache = Cache::new(Err("a private window".to_owned()), clock);
    let mut incoming = block_on(cache.begin("a.gguf", Some(3))).unwrap();
    block_on(incoming.append(b"abc")).unwrap();
    let arrived = block_on(incoming.finish()).unwrap();
    assert_eq!((read(&arrived.source), arrived.notice.as_deref()), (b"abc".to_vec(), Some("a private window")));
    assert!(!block_on(cache.commit(&arrived, "a.gguf", &summary(3), &report())).unwrap());
    assert_eq!(block_on(cache.list()).unwrap().notices, ["a private window"]);
    let error = block_on(cache.with_memory(10).begin("b.gguf", Some(11))).err().unwrap();
    assert!(matches!(error, ShelfError::NoRoom { needed: 11, most: 10, .. }), "{error}");
}

#[test]
fn a_quota_is_seen_before_it_is_met() {
    let (_dir, store) = folder(Some(10_000));
    let cache = cache(&store);
    let incoming = block_on(cache.begin("a.gguf", Some(20_000))).unwrap();
    let arrived = block_on(incoming.finish()).unwrap();
    assert!(arrived.stored.is_none() && arrived.notice.is_some());
    assert_eq!(names(&store), Vec::<String>::new());
    assert_eq!(block_on(cache.list()).unwrap().quota.map(|quota| quota.total_bytes), Some(10_000));
}

/// No room for the entry's JSON: the weights are there until the page is reloaded, and then a leftover.
#[test]
fn a_quota_met_by_the_last_bytes_is_no_error() {
    let (_dir, store) = folder(Some(10_000));
    let full = cache(&store);
    let mut incoming = block_on(full.begin("a.gguf", Some(9_900))).unwrap();
    block_on(incoming.append(&[7; 9_900])).unwrap();
    let arrived = block_on(incoming.finish()).unwrap();
    assert!(!block_on(full.commit(&arrived, "a.gguf", &summary(9_900), &report())).unwrap());
    block_on(full.list()).unwrap();
    assert_eq!(read(&arrived.source), [7; 9_900]);
    assert!(names(&store).len() == 1);
    block_on(cache(&store).list()).unwrap();
    assert_eq!(names(&store), Vec::<String>::new());
}

proptest! {
    /// Whatever lies in the folder, listing gives whole entries only and does not fail.
    #[test]
    fn any_folder_is_listed(files in proptest::collection::vec(("[a-z0-9]{1,8}(\\.json|\\.resume|\\.gguf|)", proptest::collection::vec(any::<u8>(), 0..64)), 0..6)) {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in &files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let store: Rc<dyn Store> = Rc::new(Folder::new(dir.path()).unwrap());
        let cache = cache(&store);
        let id = keep(&cache, "a.gguf", b"whole");
        let listing = block_on(cache.list()).unwrap();
        prop_assert_eq!(listing.entries.len(), 1);
        prop_assert_eq!(&listing.entries[0].weights.id, &id);
        prop_assert_eq!(names(&store).len(), 2);
    }

    /// Pieces of any length give the bytes and the hash of the whole, in the store and in memory.
    #[test]
    fn pieces_of_any_length_are_one_file(lengths in proptest::collection::vec(0usize..5000, 1..20), quota in proptest::option::of(0u64..40_000)) {
        let (_dir, store) = folder(quota);
        let cache = cache(&store);
        let mut incoming = block_on(cache.begin("a.gguf", None)).unwrap();
        let mut bytes = Vec::new();
        for (number, length) in lengths.into_iter().enumerate() {
            let piece: Vec<u8> = (0..length).map(|i| (i * 7 + number) as u8).collect();
            block_on(incoming.append(&piece)).unwrap();
            bytes.extend(piece);
        }
        let arrived = block_on(incoming.finish()).unwrap();
        prop_assert_eq!(&arrived.sha256, &sha256(&bytes));
        prop_assert!(read(&arrived.source) == bytes);
        prop_assert_eq!(arrived.stored.is_none(), quota.is_some_and(|quota| quota < bytes.len() as u64));
    }
}

#[test]
fn a_folder_reads_what_it_writes() {
    let (_dir, store) = folder(Some(100));
    let file: Rc<dyn StoreFile> = block_on(store.write("a")).unwrap();
    file.write_at(0, b"0123456789").unwrap();
    file.truncate(4).unwrap();
    file.write_at(4, b"AB").unwrap();
    let mut out = [0; 6];
    file.read_at(0, &mut out).unwrap();
    assert_eq!((&out, file.len().unwrap(), file.is_empty().unwrap()), (b"0123AB", 6, false));
    assert!(file.read_at(3, &mut out).is_err());
    assert_eq!(file.write_at(6, &[0; 95]), Err(sigmascope::shelf::StoreError::Full));
    block_on(store.remove("a")).unwrap();
    block_on(store.remove("a")).unwrap();
    assert!(block_on(store.read("a", "title")).is_err());
}
