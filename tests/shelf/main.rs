//! Weights at hand: the cache on a folder, downloads from a server that breaks off and changes its mind, the catalogue, and a
//! session that loads, keeps, verifies and deletes; and whether networks take the memory that is said.

mod cache;
mod catalogue;
mod download;
mod fit;
mod gpu;
mod http;
#[path = "../formats/memory.rs"]
mod peak;
mod session;
#[path = "../weights/synthetic.rs"]
#[allow(dead_code, reason = "the other half makes pickles")]
mod synthetic;

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use sha2::{Digest, Sha256};
use sigmascope::model::{Config, Task};
use sigmascope::scene::{MemorySource, SharedSource};
use sigmascope::shelf::{Cache, Folder, Store};
use sigmascope::weights::{Checkpoint, Conversion, ConversionOptions, Quantization};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: peak::Counting = peak::Counting;

/// Natively nothing waits for anything else: a future is done after a few looks.
fn block_on<T>(act: impl Future<Output = T>) -> T {
    let mut act = pin!(act);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = act.as_mut().poll(&mut context) {
            return value;
        }
    }
}

fn bytes(name: &str, bytes: Vec<u8>) -> SharedSource {
    Rc::new(MemorySource::new(name, bytes))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All bytes of a source.
fn read(source: &SharedSource) -> Vec<u8> {
    let mut bytes = vec![0; source.len() as usize];
    source.read_at(0, &mut bytes).unwrap();
    bytes
}

/// The small network.
fn nano() -> Config {
    Config::nano(Task::Segmentation, [64, 64], 8, 6)
}

/// A GGUF file of pre-trained encoders.
fn gguf() -> Vec<u8> {
    let pair = pair();
    let options = ConversionOptions { quantization: Quantization::Q8_0, ..Default::default() };
    let mut conversion = Conversion::new(Checkpoint::open(&pair, None).unwrap(), &options).unwrap();
    let mut output = Vec::new();
    while conversion.step(&mut output).unwrap().is_some() {}
    output
}

/// A spatial and a spectral checkpoint.
fn pair() -> [SharedSource; 2] {
    let file = |name: &str, spectral| synthetic::safetensors(name, &synthetic::autoencoder(&nano(), spectral), None);
    [file("spat-vit-nano.safetensors", false), file("spec-vit-nano.safetensors", true)]
}

/// Some day.
fn clock() -> u64 {
    1_800_000_000_000
}

/// A folder for a cache; `limit` is its quota.
fn folder(limit: Option<u64>) -> (TempDir, Rc<dyn Store>) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path().join("weights")).unwrap();
    let folder = match limit {
        Some(bytes) => folder.limited(bytes),
        None => folder,
    };
    (dir, Rc::new(folder))
}

fn cache(store: &Rc<dyn Store>) -> Cache {
    Cache::new(Ok(store.clone()), clock)
}

/// Names of the files in a store.
fn names(store: &Rc<dyn Store>) -> Vec<String> {
    let mut names: Vec<String> = block_on(store.list()).unwrap().into_iter().map(|file| file.name).collect();
    names.sort();
    names
}
