//! Files as people have them, reported in public by those whose programs read them wrongly (tests/fixtures/cases).
//! `expected.json` states for each what the command line must make of it; every case is run as a user would.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const FOLDER: &str = "tests/fixtures/cases";

fn sigmascope(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sigmascope"));
    command.current_dir(Path::new(FOLDER).join("files")).args(arguments);
    command.output().unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

fn expected() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(Path::new(FOLDER).join("expected.json")).expect("expected.json");
    serde_json::from_str(&text).expect("JSON")
}

fn arguments(case: &Value) -> Vec<&str> {
    let given = case["args"].as_array().expect("arguments").iter().map(|argument| argument.as_str().expect("text"));
    std::iter::once(case["cmd"].as_str().expect("a command")).chain(given).collect()
}

/// What a command that must succeed prints as JSON.
fn json(name: &str, output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{name}: {error}; {said}"))
}

/// Runs `inspect` with the samples that the case knows.
fn inspect(name: &str, case: &Value) -> Value {
    let pixels: Vec<String> = case["opens"]["samples"]
        .as_array()
        .expect("samples")
        .iter()
        .map(|sample| format!("{},{},{}", sample[0], sample[1], sample[2]))
        .collect();
    let mut arguments = arguments(case);
    arguments.extend(["--json", "--pixel"]);
    arguments.extend(pixels.iter().map(String::as_str));
    json(name, &sigmascope(&arguments))
}

fn check_scene(name: &str, want: &Value, found: &Value) {
    for key in ["rows", "cols", "bands", "dtype", "samples"] {
        assert_eq!(found[key], want[key], "{name}: {key}");
    }
    assert_eq!(found["good_bands"].as_array().map(Vec::len), want["bands"].as_u64().map(|n| n as usize), "{name}");
    let found = found["wavelengths_nm"].as_array();
    if let Some(want) = want["wavelengths_nm"].as_array() {
        let found = found.unwrap_or_else(|| panic!("{name}: no wavelengths"));
        assert_eq!(found.len(), want.len(), "{name}");
        for (found, want) in found.iter().zip(want) {
            let (found, want) = (found.as_f64().expect("a number"), want.as_f64().expect("a number"));
            assert!((found - want).abs() < 1e-9, "{name}: {found} ≠ {want}");
        }
    }
}

fn notes(found: &Value) -> String {
    let notes = found["notes"].as_array().expect("notes");
    notes.iter().map(|note| note.as_str().expect("text")).collect::<Vec<_>>().join("; ")
}

#[test]
fn scenes_open_with_the_right_samples_or_say_why_not() {
    let mut checked = 0;
    let here = |name: &str, case: &Value| case["cmd"] == "inspect" && name != "n40";
    for (name, case) in expected().iter().filter(|(name, case)| here(name, case)) {
        checked += 1;
        if case["opens"].is_null() {
            let output = sigmascope(&arguments(case));
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{name}: {said}");
            assert!(
                said.contains("Octave") && said.contains("save -v7") && !said.contains("damaged"),
                "{name}: {said}"
            );
            continue;
        }
        check_scene(name, &case["opens"], &inspect(name, case));
    }
    assert_eq!(checked, 9);
}

/// What `expected.json` says in words about each file.
#[test]
fn what_was_not_as_usual_is_said() {
    let expected = expected();
    let found = |name: &str| inspect(name, &expected[name]);
    for (name, words) in [
        ("e01", "frame offsets"),
        ("t20", "8 pages"),
        ("t23", "scale of 0.0001 and an offset of 0.1"),
        ("x90", "more than once"),
        ("e12b", "taken from e12_sidecar.hdr: wavelengths"),
    ] {
        let notes = notes(&found(name));
        assert!(notes.contains(words), "{name}: {notes}");
    }
    // 10⁷ divided by the wavenumber.
    let e08 = found("e08");
    let nm: Vec<f64> = serde_json::from_value(e08["wavelengths_nm"].clone()).expect("wavelengths");
    assert!((nm[0] - 1e7 / 3950.0).abs() < 1e-9 && (nm[7] - 1e7 / 900.0).abs() < 1e-9, "{nm:?}");
    let e04 = found("e04");
    assert_eq!(e04["band_names"][7], "h");
    // The header adds to the image: wavelengths, and the third band is bad.
    let e12 = found("e12b");
    assert_eq!((&e12["wavelengths_nm"][0], &e12["good_bands"][2]), (&450.0.into(), &false.into()));
    for alone in ["e12_sidecar.tif", "e12_sidecar.hdr"] {
        let found = json(alone, &sigmascope(&["inspect", alone, "--json"]));
        assert_eq!(found["wavelengths_nm"], e12["wavelengths_nm"], "{alone}");
    }
    // People read the notes, too.
    let output = sigmascope(&["inspect", "t20_pages.tif"]);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("note         the 8 pages of the file are taken as its bands")
    );
}

#[test]
fn a_folder_named_like_the_scene_is_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["e02_comment_in_list.hdr", "e02_comment_in_list.img"] {
        std::fs::copy(Path::new(FOLDER).join("files").join(file), folder.path().join(file)).expect("a copy");
    }
    let inspect = |name: &str| {
        let path = folder.path().join(name);
        sigmascope(&["inspect", path.to_str().expect("UTF-8"), "--json"])
    };
    // Both are names that the data of this header may have.
    std::fs::create_dir(folder.path().join("e02_comment_in_list")).expect("a folder");
    assert_eq!(json("header", &inspect("e02_comment_in_list.hdr"))["bands"], 8);
    std::fs::create_dir(folder.path().join("e02_comment_in_list.img.hdr")).expect("a folder");
    assert_eq!(json("data", &inspect("e02_comment_in_list.img"))["bands"], 8);
    let refused = inspect("e02_comment_in_list");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("is a folder"), "{said}");
}

/// A tensor without numbers whose other sides have a product beyond any number.
#[test]
fn weights_of_impossible_sides_are_refused_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out.safetensors");
    let output = sigmascope(&["convert", "zero_then_huge.pth", "--out", out.to_str().expect("UTF-8")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("impossibly large") && !said.contains("panicked"), "{said}");
    assert!(!out.exists());
}
