//! Weights in and out of files: files by independent writers, the official loading procedure against the reference data,
//! ggml's blocks against the `gguf` package, hostile and damaged files, and the memory of a conversion.

#[cfg(all(feature = "cli", feature = "coordinator"))]
mod cli;
mod convert;
mod damaged;
mod formats;
mod hostile;
mod layouts;
mod memory;
#[path = "../formats/memory.rs"]
mod peak;
mod pretraining;
mod quantized;
mod synthetic;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use sigmascope::scene::{FileSource, MemorySource, SharedSource};
use sigmascope::weights::{Conversion, TensorFile, WeightsError, open};

#[global_allocator]
static ALLOCATOR: peak::Counting = peak::Counting;

/// The folder of reference data, or `None` with one line that says what is skipped.
fn reference(what: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("SIGMASCOPE_SHARED").map_or_else(|| "../shared".into(), PathBuf::from);
    let reference = shared.join("reference");
    if reference.join("pretrain_layout").is_dir() {
        return Some(reference);
    }
    println!("SKIP {what}: ../shared is not here");
    None
}

fn fixture(name: &str) -> SharedSource {
    file(&Path::new("tests/fixtures/weights").join(name))
}

fn file(path: &Path) -> SharedSource {
    Rc::new(FileSource::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn bytes(name: &str, bytes: Vec<u8>) -> SharedSource {
    Rc::new(MemorySource::new(name, bytes))
}

fn open_fixture(name: &str) -> Box<dyn TensorFile> {
    open(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All numbers of a tensor.
fn values(file: &dyn TensorFile, name: &str) -> Vec<f32> {
    let index = file.tensors().iter().position(|tensor| tensor.name == name);
    let index = index.unwrap_or_else(|| panic!("{} has no {name}", file.name()));
    let mut values = vec![f32::NAN; file.tensors()[index].len()];
    file.read(index, 0, &mut values).unwrap_or_else(|error| panic!("{}: {name}: {error}", file.name()));
    values
}

/// Runs a conversion to its end.
fn finish(conversion: &mut Conversion) -> Result<Vec<u8>, WeightsError> {
    let mut output = Vec::new();
    let mut before = 0;
    while let Some(progress) = conversion.step(&mut output)? {
        assert!(before <= progress.done && progress.done <= progress.total, "{before} {progress:?}");
        before = progress.done;
    }
    assert_eq!(output.len() as u64, conversion.report().bytes, "the size is known beforehand");
    Ok(output)
}
