//! Every readable file of ../shared against expected.json, whose values come from independent readers.

use std::path::Path;

use serde_json::Value;
use sigmascope::scene::{Kind, OpenOptions, SceneError, inspect, open_path, scan, value};

use super::{check_windows, same, shared_data};

fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("nan") => f64::NAN,
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        _ => value.as_f64().expect("a number"),
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-8 * b.abs().max(1.0)
}

/// What expected.json says in words only.
fn check_note(name: &str, path: &Path) -> bool {
    let opened = open_path(path, None, &OpenOptions::default());
    let refused = |words: &[&str]| match &opened {
        Err(SceneError::Unsupported { what, .. }) => {
            for word in words {
                assert!(what.contains(word), "{name}: {what}");
            }
        }
        Err(other) => panic!("{name}: {other}"),
        Ok(_) => panic!("{name} opens"),
    };
    match name {
        "formats/envi/library.hdr" => refused(&["spectral library"]),
        "formats/mat/v5_struct.mat" => refused(&["a struct S"]),
        "formats/mat/v4_2d.mat" => refused(&["level-4", "-v7"]),
        "formats/mat/v73_u16_gzip.mat" | "formats/mat/v73_f64_contiguous.mat" => refused(&["MATLAB 7.3", "-v7"]),
        _ if name.starts_with("formats/hdf5/") => refused(&["HDF5"]),
        _ => return false,
    }
    true
}

#[test]
fn every_readable_file_has_the_values_of_independent_readers() {
    let Some(data) = shared_data("the readable files") else { return };
    let text = std::fs::read_to_string(data.join("expected.json")).expect("expected.json");
    let expected: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("JSON");
    let mut checked = 0;
    for (name, want) in &expected {
        let path = data.join(name);
        if !check_note(name, &path) {
            check_file(name, &path, want);
        }
        checked += 1;
    }
    assert!(checked >= 80, "only {checked} files");
}

fn check_file(name: &str, path: &Path, want: &Value) {
    let variables = want["variables"].as_object();
    let opened = open_path(path, None, &OpenOptions::default());
    if let Some(variables) = variables {
        let Err(SceneError::ChooseVariable { choices, .. }) = opened else { panic!("{name}: no choice is asked for") };
        assert_eq!(choices.len(), variables.len(), "{name}");
        for choice in choices {
            let shape: Vec<usize> = serde_json::from_value(variables[&choice.name].clone()).expect("a shape");
            assert_eq!(choice.shape, shape, "{name}");
            let options = OpenOptions { variable: Some(choice.name.clone()), band_axis: None };
            let cube = open_path(path, None, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(cube.info().variable.as_ref(), Some(&choice.name), "{name}");
            check_windows(name, cube.as_ref());
        }
        return;
    }
    let cube = opened.unwrap_or_else(|error| panic!("{name}: {error}"));
    let info = cube.info();
    let count = |key: &str| want[key].as_u64().map(|n| n as usize);
    assert_eq!(Some(info.rows), count("rows"), "{name}");
    assert_eq!(Some(info.cols), count("cols"), "{name}");
    assert_eq!(Some(info.bands), count("bands"), "{name}");
    assert_eq!(info.good_bands.len(), info.bands, "{name}");

    for sample in want["samples"].as_array().expect("samples") {
        let at = |i: usize| sample[i].as_u64().expect("an index") as usize;
        let got = value(cube.as_ref(), at(0), at(1), at(2)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let want = number(&sample[3]);
        // One description was made with a reader that rounds doubles to single precision.
        let equal = if name == "scenes/samson/samson_1.mat" { got as f32 == want as f32 } else { same(got, want) };
        assert!(equal, "{name} at {sample}: {got}");
    }
    let inspection = inspect(cube.as_ref(), &[[0, 0, 0]]).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mean = inspection.mean.expect("a mean");
    assert!(close(mean, number(&want["mean"])), "{name}: mean {mean} ≠ {}", want["mean"]);

    let kind = if want["kind"] == "labels" { Kind::Labels } else { Kind::Cube };
    assert_eq!(info.kind, kind, "{name}");
    if let Some(variable) = want["variable"].as_str() {
        assert_eq!(info.variable.as_deref(), Some(variable), "{name}");
    }
    if let Some(ends) = want["wavelength_first_last"].as_array() {
        let scale = if want["wavelength_units"] == "um" { 1e3 } else { 1.0 };
        let wavelengths =
            info.wavelengths_nm.as_ref().unwrap_or_else(|| panic!("{name}: no wavelengths, {:?}", info.notes));
        assert_eq!(wavelengths.len(), info.bands, "{name}");
        // expected.json has one more digit than some headers do.
        for (got, end) in [(wavelengths[0], &ends[0]), (wavelengths[info.bands - 1], &ends[1])] {
            assert!((got - number(end) * scale).abs() < 0.011, "{name}: {got} ≠ {end}");
        }
    } else {
        assert_eq!(info.wavelengths_nm, None, "{name}");
    }
    if let Some(nodata) = want.get("nodata") {
        assert_eq!(info.nodata, nodata.as_f64(), "{name}");
    }
    if let Some(classes) = count("classes") {
        assert_eq!(info.class_names.as_ref().map(Vec::len), Some(classes), "{name}");
        assert_eq!(info.class_colors.as_ref().map(Vec::len), Some(classes), "{name}");
    }
    let bad: Vec<usize> = (0..info.bands).filter(|&band| !info.good_bands[band]).collect();
    if let Some(bands) = want.get("bad_bands_0based") {
        assert_eq!(serde_json::to_value(&bad).expect("JSON"), *bands, "{name}");
    }
    let statistics = scan(cube.as_ref(), &mut |_| true).expect("a scan").expect("not cancelled");
    let empty = statistics.empty_bands();
    match want.get("all_nodata_bands_0based") {
        Some(bands) => {
            assert_eq!(serde_json::to_value(&empty).expect("JSON"), *bands, "{name}");
            let good = statistics.good_bands(info);
            assert!((0..info.bands).all(|band| good[band] != (empty.contains(&band) || bad.contains(&band))), "{name}");
        }
        None => assert_eq!(empty, [0; 0], "{name}"),
    }
    check_windows(name, cube.as_ref());
}
