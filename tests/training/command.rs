//! `sigmascope evaluate --weights`: the same runs from the command line.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sigmascope::preprocess::Projected;
use sigmascope::train::{ProjectedScene, TrainedModel};
use sigmascope::weights::Quantization;

use crate::fields::{CLASSES, COMPONENTS, Fields};
use crate::tuning::{encoders, gguf, open};

/// An array as a `.npy` file.
fn npy(path: &Path, kind: &str, shape: &str, data: Vec<u8>) {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    header.push_str(&" ".repeat((header.len() + 11).next_multiple_of(64) - header.len() - 11));
    header.push('\n');
    let start = [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    std::fs::write(path, [start, data].concat()).unwrap();
}

fn evaluate(folder: &Path, arguments: &[&str]) -> Output {
    let common = ["evaluate", "--scene", "cube.npy", "--labels", "labels.npy", "--split", "6+2", "--seeds", "1"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_sigmascope"));
    command.current_dir(folder).args(common).args(["--epochs", "2", "--json"]).args(arguments).output().unwrap()
}

/// A scene of 30 × 26 pixels as `cube.npy` and `labels.npy`.
pub fn write_scene(folder: &Path) {
    let scene = Fields::new(30, 26);
    let Projected { values, .. } = scene.read(0..30, 0..26).unwrap();
    let pixels = 30 * 26;
    let by_pixel = (0..pixels).flat_map(|pixel| (0..COMPONENTS).map(move |band| band * pixels + pixel));
    let cube = by_pixel.flat_map(|at| values[at].to_le_bytes()).collect();
    npy(&folder.join("cube.npy"), "<f4", &format!("(30, 26, {COMPONENTS})"), cube);
    let labels = (0..pixels).map(|pixel| scene.class(pixel / 26, pixel % 26) as u8 + 1).collect();
    npy(&folder.join("labels.npy"), "|u1", "(30, 26)", labels);
}

#[test]
fn adapters_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    write_scene(folder.path());
    let weights = gguf(encoders(5), Quantization::Q8_0);
    std::fs::write(place("base.gguf"), &weights).unwrap();

    let lora = ["--weights", "base.gguf", "--lora-rank", "3", "--lora-targets", "qkv,fc1", "--set", "components=6"];
    let files = ["--save-model", "adapter.safetensors", "--save-merged", "merged.safetensors"];
    let output = evaluate(folder.path(), &[&lora[..], &files].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("base.gguf: ") && errors.contains(" matched"), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["config"]["size"], "nano");
    let adapters = serde_json::json!({ "rank": 3, "alpha": 6.0,
        "targets": { "qkv": true, "proj": false, "fc1": true, "fc2": false } });
    assert_eq!(report["config"]["tuning"]["lora"], adapters);
    assert!(report["trained"].as_u64() < report["parameters"].as_u64());
    assert_eq!(report["base"]["name"], "base.gguf");

    let read = |name: &str| TrainedModel::from_bytes(&std::fs::read(place(name)).unwrap()).unwrap();
    let adapter = read("adapter.safetensors").with_base(open("base.gguf", &weights)).unwrap();
    let merged: Vec<u8> = adapter.merged().unwrap().map(Result::unwrap).collect::<Vec<_>>().concat();
    assert!(merged == std::fs::read(place("merged.safetensors")).unwrap());
    assert_eq!(read("merged.safetensors").classes().len(), CLASSES);

    // Without weights there is nothing to adapt, and weights say their own size.
    for wrong in [&["--lora-rank", "3"][..], &["--weights", "base.gguf", "--model", "base"]] {
        let output = evaluate(folder.path(), wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--weights"), "{wrong:?}");
    }
}
