//! `sigmascope convert`, as a user runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sigmascope::model::{Config, Task};
use sigmascope::scene::SharedSource;
use sigmascope::weights::{TensorFile, TensorType, gguf::GgufFile};

use super::file;
use super::synthetic::{autoencoder, fine_tuned, safetensors};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sigmascope")).arg("convert").args(arguments).current_dir(folder).output().unwrap()
}

/// Standard output of a run that must succeed.
fn told(folder: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(folder, arguments);
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The sentence of a run that must fail.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(folder, arguments);
    assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{arguments:?}");
    String::from_utf8(stderr).unwrap()
}

fn write(folder: &Path, source: &SharedSource) {
    let mut bytes = vec![0; source.len() as usize];
    source.read_at(0, &mut bytes).unwrap();
    fs::write(folder.join(source.name()), bytes).unwrap();
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_fine_tuned_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let nano = Config::nano(Task::Segmentation, [24, 24], 5, 3);
    write(folder, &safetensors("nano.safetensors", &fine_tuned(&nano), None));

    let text = told(folder, &["nano.safetensors"]);
    assert!(text.contains("HyperSIGMA nano: a fine-tuned network") && text.contains("not written"), "{text}");
    assert_eq!(files(folder), ["nano.safetensors"]);

    let json =
        told(folder, &["nano.safetensors", "--out", "nano.gguf", "-q", "q4_0", "--license", "CC0-1.0", "--json"]);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["bytes"].as_u64(), Some(fs::metadata(folder.join("nano.gguf")).unwrap().len()));
    assert_eq!(report["inputs"][0]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(files(folder), ["nano.gguf", "nano.safetensors"], "nothing else is left");
    let converted = GgufFile::open(file(&folder.join("nano.gguf"))).unwrap();
    assert!(converted.tensors().iter().any(|tensor| tensor.kind == TensorType::Q4_0));
    assert_eq!(converted.description().unwrap().unwrap().license.as_deref(), Some("CC0-1.0"));

    let before = fs::read(folder.join("nano.gguf")).unwrap();
    let sentence = refused(folder, &["nano.safetensors", "--out", "nano.gguf"]);
    assert!(sentence.contains("--force"), "{sentence}");
    assert_eq!(fs::read(folder.join("nano.gguf")).unwrap(), before);
    told(folder, &["nano.safetensors", "--out", "nano.gguf", "--quantization", "f32", "--complete", "--force"]);
    let converted = GgufFile::open(file(&folder.join("nano.gguf"))).unwrap();
    assert!(converted.tensors().iter().any(|tensor| tensor.name == "spec_encoder.blocks.3.attn.qkv.weight"));
    let text = told(folder, &["nano.gguf", "--tile", "16x32", "--classes", "9", "--task", "segmentation"]);
    assert!(text.contains("12 × 12 tokens to 8 × 16") && text.contains("cls.weight"), "{text}");
}

#[test]
fn a_pair() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let tiny = Config::tiny(Task::Segmentation, [64, 64], 100, 1);
    write(folder, &safetensors("a.safetensors", &autoencoder(&tiny, false), None));
    write(folder, &safetensors("b.safetensors", &autoencoder(&tiny, true), None));
    let pair = ["--spatial", "a.safetensors", "--spectral", "b.safetensors"];
    let text = told(folder, &[&pair[..], &["--out", "tiny.gguf"]].concat());
    assert!(text.contains("2 of 4 spectral blocks") && text.contains("pre-trained encoders"), "{text}");
    let text = told(folder, &[&pair[..], &["--procedure", "init-weights", "--tile", "56"]].concat());
    assert!(text.contains("8 × 8 tokens to 7 × 7, bicubic"), "{text}");

    let sentence = refused(folder, &["--spatial", "b.safetensors", "--spectral", "a.safetensors"]);
    assert!(sentence.contains("exchange the files"), "{sentence}");
    let sentence = refused(folder, &["--spatial", "a.safetensors", "--size", "base"]);
    assert!(sentence.contains("48 wide"), "{sentence}");
    for arguments in [&[][..], &["a.safetensors", "--spatial", "a.safetensors"], &["a.safetensors", "--tile", "x"]] {
        refused(folder, arguments);
    }
    assert!(refused(folder, &["missing.pth"]).contains("missing.pth"));
    assert_eq!(files(folder), ["a.safetensors", "b.safetensors", "tiny.gguf"]);
}

/// A failure in the middle leaves neither a part nor a file.
#[test]
fn a_failed_conversion_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let nano = Config::nano(Task::Segmentation, [24, 24], 5, 3);
    let source = safetensors("nano.safetensors", &fine_tuned(&nano), None);
    let mut bytes = vec![0; source.len() as usize];
    source.read_at(0, &mut bytes).unwrap();
    let end = bytes.len();
    // Everything from the middle on becomes infinite.
    bytes[end / 8 * 4..].as_chunks_mut::<4>().0.iter_mut().for_each(|number| *number = f32::INFINITY.to_le_bytes());
    fs::write(folder.join("nano.safetensors"), bytes).unwrap();
    let sentence = refused(folder, &["nano.safetensors", "--out", "out.gguf", "-q", "q8_0"]);
    assert!(sentence.contains("inf") && sentence.contains("q8_0"), "{sentence}");
    assert_eq!(files(folder), ["nano.safetensors"]);
}
