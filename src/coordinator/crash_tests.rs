//! The process dies before and after each single operation on the store, one after the other. Whatever was answered holds
//! afterwards, and the final model is the one of an undisturbed run.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::aggregate::MODEL_HEADER_MAX;
use super::api::endpoint::Upload;
use super::api::transfer::{Transfer, submit};
use super::machine::{Message, Phase};
use super::runner::{aggregate_if_closed, replay, tick};
use super::service::{Capacity, Coordinator};
use super::slot::Slot;
use super::store::{Blobs, Entry, Folder, Log, RedbLog, Scratch, StoreError};
use super::uploads::put_chunk;
use crate::federation::protocol::{
    BandStatistics, Binding, ClientId, Encoder, FederationId, FinishUpload, Hash, Layout, Reason, Refusal, UpdatePlan,
};
use crate::scene::MemorySource;
use crate::scope::Scope;

/// Burns through at one operation; from then on nothing reaches the disk.
struct Fuse {
    left: AtomicUsize,
    /// Whether the last operation is still done, only its answer lost.
    after: bool,
    dead: AtomicBool,
}

impl Fuse {
    fn around<T, E>(&self, work: impl FnOnce() -> Result<T, E>, died: impl Fn() -> E) -> Result<T, E> {
        if self.dead.load(Ordering::Relaxed) {
            return Err(died());
        }
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.dead.store(true, Ordering::Relaxed);
            if self.after {
                drop(work());
            }
            return Err(died());
        }
        work()
    }
}

struct FragileLog(RedbLog, Arc<Fuse>);

impl Log for FragileLog {
    fn append(&self, federation: FederationId, first: u64, entries: &[Entry]) -> Result<(), StoreError> {
        self.1.around(|| self.0.append(federation, first, entries), || StoreError::Failed("died".into()))
    }

    fn read(&self, each: &mut dyn FnMut(FederationId, Entry)) -> Result<(), StoreError> {
        self.0.read(each)
    }

    fn remove(&self, federation: FederationId) -> Result<(), StoreError> {
        self.1.around(|| self.0.remove(federation), || StoreError::Failed("died".into()))
    }

    fn set_admin(&self, token: Hash) -> Result<(), StoreError> {
        self.0.set_admin(token)
    }

    fn admin(&self) -> Result<Option<Hash>, StoreError> {
        self.0.admin()
    }
}

struct FragileBlobs(Folder, Arc<Fuse>);

impl Blobs for FragileBlobs {
    fn scratch(&self) -> io::Result<Scratch> {
        self.1.around(|| self.0.scratch(), || io::Error::other("died"))
    }

    fn adopt(&self, scratch: &Scratch, hash: Hash) -> io::Result<()> {
        self.1.around(|| self.0.adopt(scratch, hash), || io::Error::other("died"))
    }

    fn path(&self, hash: Hash) -> Option<PathBuf> {
        self.0.path(hash)
    }

    fn delete(&self, hash: Hash) -> io::Result<()> {
        self.1.around(|| self.0.delete(hash), || io::Error::other("died"))
    }

    fn list(&self) -> io::Result<Vec<Hash>> {
        self.0.list()
    }

    fn upload(&self, federation: FederationId, name: &str) -> PathBuf {
        self.0.upload(federation, name)
    }
}

/// A process that is started again when it has died.
struct World {
    folder: TempDir,
    fuse: Arc<Fuse>,
    running: Option<Coordinator>,
    deaths: usize,
    /// What was left of the fuse at the end.
    left: usize,
}

impl World {
    fn new(operations: usize, after: bool) -> Self {
        let fuse = Arc::new(Fuse { left: operations.into(), after, dead: false.into() });
        let mut world = Self { folder: tempfile::tempdir().unwrap(), fuse, running: None, deaths: 0, left: 0 };
        world.open();
        world
    }

    fn open(&mut self) {
        self.running = None;
        let log = FragileLog(RedbLog::open(self.folder.path()).unwrap(), self.fuse.clone());
        let blobs = FragileBlobs(Folder::open(self.folder.path()).unwrap(), self.fuse.clone());
        let capacity =
            Capacity { max_federations: 9, request_rate: 1e6, join_rate: 1e6, body_timeout: Duration::from_secs(1) };
        self.running = Coordinator::open(Box::new(log), Box::new(blobs), Hash([0; 32]), capacity).ok();
    }

    fn coordinator(&self) -> &Coordinator {
        self.running.as_ref().unwrap()
    }

    fn slot(&self, id: FederationId) -> Arc<Slot> {
        self.coordinator().get(id).unwrap()
    }

    /// Tries until the answer arrives, as a client does.
    fn until_told<T>(&mut self, act: impl Fn(&Coordinator) -> Result<T, Refusal>) -> T {
        for _ in 0..5 {
            match act(self.coordinator()) {
                Ok(told) => return told,
                Err(refusal) => assert!(self.fuse.dead.load(Ordering::Relaxed), "{refusal}"),
            }
            self.deaths += 1;
            self.fuse = Arc::new(Fuse { left: usize::MAX.into(), after: false, dead: false.into() });
            self.open();
        }
        panic!("it dies for ever");
    }
}

fn model() -> Vec<u8> {
    let header = br#"{"w":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]},"b":{"dtype":"F32","shape":[3],"data_offsets":[48,60]}}"#;
    let mut bytes = [&(header.len() as u64).to_le_bytes(), header.as_slice()].concat();
    (0..15).for_each(|i| bytes.extend((i as f32 * 0.1 - 0.5).to_le_bytes()));
    bytes
}

fn definition(keep: bool) -> serde_json::Value {
    let document = include_str!("../../docs/federation.md");
    let json = document.split("```json definition\n").nth(1).unwrap().split("```").next().unwrap();
    let mut definition: serde_json::Value = serde_json::from_str(json).unwrap();
    let model = model();
    definition["model"]["weights"] = serde_json::json!({"sha256": Hash::of(&model).to_string(), "bytes": model.len()});
    definition["input"]["wavelengths_nm"] = serde_json::json!([500.0, 600.0]);
    definition["input"]["projection"] = serde_json::json!({"method": "standardise", "scale": true});
    definition["quorum"] = serde_json::json!({"min_clients": 2, "min_fraction": 1.0, "max_clients": 9});
    // So short that a membership whose answer was lost is soon forgotten.
    definition["deadlines"]["presence_s"] = 0.1.into();
    definition["rounds"] = 2.into();
    definition["privacy"]["keep_updates"] = keep.into();
    definition["algorithm"]["server"] = serde_json::json!({"fed_avg_m": {"rate": 1.0, "momentum": 0.5}});
    definition
}

/// Uploads a content and sends what follows.
fn upload(world: &mut World, id: FederationId, client: Option<ClientId>, upload: Upload, bytes: &[u8]) -> Reason {
    world.until_told(|coordinator| {
        let slot = coordinator.get(id).unwrap();
        let transfer = Transfer::new(upload, client);
        let folder = transfer.folder(coordinator, &slot);
        put_chunk(&folder, 0, bytes)?;
        let finish = FinishUpload { sha256: Hash::of(bytes), bytes: bytes.len() as u64, samples: 3, metrics: None };
        submit(coordinator, &slot, &transfer, &finish)
    })
}

/// Until the phase is one of those that are wanted.
fn pass(world: &mut World, id: FederationId, wanted: impl Fn(Phase) -> bool) {
    for _ in 0..500 {
        if wanted(world.slot(id).state().phase) {
            return;
        }
        // A round that the disk has stopped is tried again; the process is started again first.
        world.until_told(|coordinator| {
            let slot = coordinator.get(id).unwrap();
            tick(coordinator, &slot)?;
            aggregate_if_closed(coordinator, &slot)
        });
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("stuck in {:?}", world.slot(id).state().phase);
}

fn binding(id: FederationId, client: ClientId, round: u32, model: Hash) -> Binding {
    Binding { federation: id, client, round, model }
}

/// A whole federation; how often the process died, what was used of the fuse, and the final model.
fn run(operations: usize, after: bool) -> (usize, usize, Hash) {
    let (world, id) = finished(operations, after, false);
    let used = operations.wrapping_sub(world.left);
    (world.deaths, used, world.slot(id).state().model.unwrap())
}

fn finished(operations: usize, after: bool, keep: bool) -> (World, FederationId) {
    let mut world = World::new(operations, after);
    let definition = definition(keep);
    let (id, _) = world.until_told(|coordinator| coordinator.create(definition.to_string()));
    upload(&mut world, id, None, Upload::Model, &model());
    let clients: Vec<ClientId> = (0..2u8)
        .map(|number| {
            // A client whose answer was lost joins anew, under another name.
            let tries = std::cell::Cell::new(0u8);
            world.until_told(|coordinator| {
                tries.set(tries.get() + 1);
                let client = ClientId([number * 16 + tries.get(); 8]);
                coordinator
                    .send(&coordinator.get(id).unwrap(), &Message::Join { client, token: Hash([number; 32]) })?;
                Ok(client)
            })
        })
        .collect();
    world.until_told(|coordinator| {
        let slot = coordinator.get(id).unwrap();
        clients.iter().for_each(|&client| slot.state().saw(client, coordinator.now()));
        match coordinator.send(&slot, &Message::Start) {
            Err(refusal) if refusal.reason == Reason::AlreadyStarted => Ok(Reason::Done),
            answer => answer,
        }
    });
    for (number, &client) in clients.iter().enumerate() {
        let shift = number as f64;
        let statistics = BandStatistics {
            count: 4,
            range: [0.0, 5.0],
            sum: vec![4.0 + shift, 8.0],
            scatter: vec![10.0 + shift, 8.0, 8.0, 20.0],
        };
        let bytes = statistics.to_bytes(&binding(id, client, 0, Hash([0; 32])));
        let told = upload(&mut world, id, Some(client), Upload::Statistics, &bytes);
        assert!(told.is_success(), "{told:?}");
    }
    for round in 1..=2 {
        pass(&mut world, id, |phase| phase == Phase::Training { round });
        let hash = world.slot(id).state().model.unwrap();
        let bytes = std::fs::read(world.coordinator().blobs.path(hash).unwrap()).unwrap();
        let layout = Layout::read(&MemorySource::new("model", bytes), MODEL_HEADER_MAX).unwrap();
        let plan = UpdatePlan::new(&world.slot(id).definition(), &layout).unwrap();
        for (number, &client) in clients.iter().enumerate() {
            let change: Vec<f32> =
                (0..12).map(|i| (i as f32 + round as f32 * 3.0 + number as f32).sin() * 0.1).collect();
            let scopes = [Scope::of(&change).unwrap()];
            let encoded = Encoder::default()
                .encode(&plan, &binding(id, client, round, hash), &[&change[..3], &change], &scopes)
                .unwrap();
            let told = upload(&mut world, id, Some(client), Upload::Update { round }, &encoded.bytes);
            assert!(matches!(told, Reason::Accepted | Reason::Duplicate), "{told:?}");
        }
    }
    pass(&mut world, id, |phase| matches!(phase, Phase::Finished(_)));
    world.left = world.fuse.left.load(Ordering::Relaxed);
    // Once more, so that what the last death has left behind is swept.
    world.fuse = Arc::new(Fuse { left: usize::MAX.into(), after: false, dead: false.into() });
    world.open();
    let state = world.slot(id).state().clone();
    assert_eq!(state.rounds.len(), 2);
    for round in &state.rounds {
        assert_eq!(round.updates.keys().collect::<Vec<_>>(), clients.iter().collect::<Vec<_>>(), "each counted once");
    }
    let held: BTreeSet<Hash> = world.coordinator().blobs.list().unwrap().into_iter().collect();
    let needed: BTreeSet<Hash> =
        world.coordinator().all().iter().flat_map(|slot| slot.state().needed().collect::<Vec<_>>()).collect();
    assert!(held.is_subset(&needed), "contents that nobody needs are gone");
    (world, id)
}

#[test]
fn aggregating_a_kept_history_again_gives_the_same_models() {
    let (world, id) = finished(usize::MAX, false, true);
    let slot = world.slot(id);
    let logged: Vec<Hash> = slot.state().rounds.iter().map(|round| round.result.unwrap()).collect();
    assert_eq!(replay(world.coordinator(), &slot).unwrap(), logged);
    assert_eq!(logged.len(), 2);
    let (without, id) = finished(usize::MAX, false, false);
    assert!(
        replay(without.coordinator(), &without.slot(id)).is_err(),
        "single updates are deleted where that is not asked for"
    );
}

/// Whatever deletion is interrupted at, afterwards the federation is whole or gone, and a second one goes on unharmed.
#[test]
fn dying_while_deleting_leaves_all_or_nothing() {
    for operation in 0.. {
        let mut died = false;
        for after in [false, true] {
            let (mut world, id) = finished(usize::MAX, false, true);
            let other = definition(false).to_string();
            let (other, _) = world.until_told(|coordinator| coordinator.create(other.clone()));
            // The same beginning as that of the one that goes.
            upload(&mut world, other, None, Upload::Model, &model());
            world.fuse = Arc::new(Fuse { left: AtomicUsize::new(operation), after, dead: false.into() });
            world.open();
            let told = world.coordinator().delete(&world.slot(id));
            died |= world.fuse.dead.load(Ordering::Relaxed);
            world.fuse = Arc::new(Fuse { left: usize::MAX.into(), after: false, dead: false.into() });
            world.open();
            let found = world.coordinator().get(id);
            assert!(found.is_none() || told.is_err(), "told that it is gone");
            let needed: BTreeSet<Hash> =
                world.coordinator().all().iter().flat_map(|slot| slot.state().needed().collect::<Vec<_>>()).collect();
            let held: BTreeSet<Hash> = world.coordinator().blobs.list().unwrap().into_iter().collect();
            assert_eq!(held, needed, "operation {operation}");
            if let Some(slot) = found {
                assert_eq!(replay(world.coordinator(), &slot).unwrap().len(), 2, "it is whole");
            }
        }
        if !died {
            assert!(operation > 3, "one from the log, and several contents");
            return;
        }
    }
}

#[test]
fn dying_at_any_operation_changes_no_bit() {
    let (deaths, operations, expected) = run(usize::MAX, false);
    assert_eq!(deaths, 0);
    assert!(operations > 30, "{operations}");
    // Most of it is waiting for the disk.
    const LANES: usize = 8;
    for after in [false, true] {
        std::thread::scope(|scope| {
            for lane in 0..LANES {
                scope.spawn(move || {
                    for operation in (lane..operations).step_by(LANES) {
                        let (_, _, model) = run(operation, after);
                        assert_eq!(
                            model,
                            expected,
                            "died {} operation {operation}",
                            if after { "after" } else { "before" }
                        );
                    }
                });
            }
        });
    }
}
