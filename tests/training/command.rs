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

/// Ground truth of `write_scene` as 16-bit numbers, each changed.
fn write_labels(folder: &Path, change: impl Fn(usize, u16) -> u16) {
    let scene = Fields::new(30, 26);
    let label = |pixel: usize| change(pixel, scene.class(pixel / 26, pixel % 26) as u16 + 1);
    npy(
        &folder.join("labels.npy"),
        "<u2",
        "(30, 26)",
        (0..30 * 26).flat_map(|pixel| label(pixel).to_le_bytes()).collect(),
    );
}

#[test]
fn what_becomes_of_codes_is_said_and_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    write_scene(folder.path());
    write_labels(folder.path(), |pixel, label| if pixel < 40 { 255 } else { label });
    let tiny = ["--model", "tiny", "--set", "components=4"];
    let report = |more: &[&str]| -> (Value, String) {
        let output = evaluate(folder.path(), &[&tiny, more].concat());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        (serde_json::from_slice(&output.stdout).unwrap(), errors)
    };
    let (found, said) = report(&[]);
    assert_eq!(found["classes"].as_array().unwrap().len(), CLASSES);
    let code = found["codes"].as_array().unwrap().last().unwrap();
    assert_eq!((&code["code"], &code["pixels"], &code["becomes"]), (&255.into(), &40.into(), &"unlabelled".into()));
    assert_eq!(code["guess"], true);
    assert!(said.contains("labels.npy: code 255, 40 pixels: unlabelled (a guess"), "{said}");
    assert!(
        found["notes"].as_array().unwrap().iter().any(|note| note.as_str().unwrap().contains("code 255 (40 pixels)"))
    );
    let samples = found["runs"][0]["samples"].as_array().unwrap();
    let sum = |field: &str| samples.iter().map(|own| own[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!(
        (sum("labelled"), sum("no_data"), sum("train"), sum("val")),
        (30 * 26 - 40, 0, 6 * CLASSES as u64, 2 * CLASSES as u64)
    );
    assert_eq!(sum("test"), 740 - 8 * CLASSES as u64);

    // Told that 255 is a class, it is one, and no guess.
    let (found, _) = report(&["--class", "255"]);
    assert_eq!(found["classes"].as_array().unwrap().len(), CLASSES + 1);
    assert_eq!(found["classes"][CLASSES], "Class 255");
    let output = evaluate(folder.path(), &[&tiny[..], &["--class", "255", "--unlabelled", "255"]].concat());
    assert_eq!(output.status.code(), Some(2));
    // Codes above 255 are classes by rank.
    write_labels(folder.path(), |_, label| 700 + 13 * label);
    let (found, _) = report(&["--unlabelled", "-1"]);
    assert_eq!((found["classes"].as_array().unwrap().len(), &found["classes"][0]), (CLASSES, &"Class 713".into()));
    assert!(found["notes"].to_string().contains("code -1 was chosen but does not occur"));
}

#[test]
fn a_class_without_data_is_said_before_the_accuracy() {
    let folder = tempfile::tempdir().unwrap();
    write_scene(folder.path());
    let scene = Fields::new(30, 26);
    let lost = scene.class(0, 0);
    let Projected { values, .. } = scene.read(0..30, 0..26).unwrap();
    let pixels = 30 * 26;
    // Its pixels lack one band only.
    let value = |pixel: usize, band: usize| {
        let is_lost = band == 1 && scene.class(pixel / 26, pixel % 26) == lost;
        if is_lost { f32::NAN } else { values[band * pixels + pixel] }
    };
    let cube = (0..pixels).flat_map(|pixel| (0..COMPONENTS).flat_map(move |band| value(pixel, band).to_le_bytes()));
    npy(&folder.path().join("cube.npy"), "<f4", &format!("(30, 26, {COMPONENTS})"), cube.collect());
    let output = evaluate(folder.path(), &["--model", "tiny", "--set", "components=4"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let warning = said.find("1 class lost all labelled pixels").expect("a warning");
    assert!(warning < said.find(": OA ").expect("an accuracy"), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let own = &found["runs"][0]["samples"][lost];
    assert!(own["labelled"].as_u64() > Some(0) && own["labelled"] == own["no_data"], "{own}");
    assert_eq!(own["train"], 0);
    assert!(found["runs"][0]["warnings"][0].as_str().unwrap().starts_with("1 class lost all labelled pixels"));
}

#[test]
fn a_header_cannot_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let header = "ENVI\nsamples = 2\nlines = 2\nbands = 1\ndata type = 1\ninterleave = bsq\nbyte order = 0\n\
                  file type = ENVI Classification\nclasses = 3\n\
                  class names = {Unclassified, \x1b]0;owned\x07Wheat\u{202e}, \x1b[2J\u{9b}31mOats}\n";
    std::fs::write(folder.path().join("evil.hdr"), header).unwrap();
    std::fs::write(folder.path().join("evil.img"), [0, 1, 2, 1]).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sigmascope"));
        command.current_dir(folder.path()).args(arguments).output().unwrap()
    };
    let hidden = |text: &str| text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
    for (arguments, part) in [(&["inspect", "evil.hdr"][..], "Wheat"), (&["inspect", "evil.hdr", "--json"], "labels")] {
        let output = run(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains(part) && !hidden(&text), "{text:?}");
    }
    // Refusals quote the header.
    std::fs::write(folder.path().join("evil.hdr"), header.replace("interleave = bsq", "interleave = \x1b[31mred"))
        .unwrap();
    let name = "x".repeat(200) + "\u{1b}[31m.hdr";
    for arguments in [&["inspect", "evil.hdr"][..], &["inspect", &name], &["inspect", "a", &name]] {
        let output = run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(!hidden(&text) && text.lines().all(|line| line.chars().count() <= 300), "{text:?}");
    }
}
