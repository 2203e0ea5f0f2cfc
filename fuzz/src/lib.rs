//! What every target does with its bytes: open them as the page does, and read the corners of what opens.

use std::rc::Rc;

use sigmascope::labels::read_labels;
use sigmascope::scene::{Cube, MemorySource, OpenOptions, SharedSource, Window, open};
use sigmascope::weights::{self, Checkpoint, Conversion, ConversionOptions};

/// A file in memory.
pub fn file(name: &str, bytes: &[u8]) -> SharedSource {
    Rc::new(MemorySource::new(name, bytes.to_vec()))
}

/// Opens the files by the guess and by each band axis, and reads the corners. Only panics and memory count.
pub fn exercise(files: &[SharedSource]) {
    for band_axis in [None, Some(0), Some(1)] {
        if let Ok(cube) = open(files, &OpenOptions { variable: None, band_axis }) {
            read_corners(cube.as_ref());
        }
    }
}

fn read_corners(cube: &dyn Cube) {
    let info = cube.info();
    assert_eq!(info.good_bands.len(), info.bands);
    assert!((1..=info.rows).contains(&cube.preferred_rows()));
    for row in [0, info.rows - 1] {
        let (cols, bands) = (info.cols.saturating_sub(8)..info.cols, 0..info.bands.min(64));
        let window = Window { rows: row..row + 1, cols, bands };
        let mut out = vec![0.0; window.len()];
        // Damaged samples are an error, which is a fine answer.
        let _ = cube.read(&window, &mut out);
    }
    if info.rows * info.cols < 1 << 16 {
        let _ = read_labels(cube);
    }
}

/// Opens a weights file, reads the start of every tensor, and plans its conversion.
pub fn exercise_weights(source: &SharedSource) {
    if let Ok(file) = weights::open(source) {
        for (index, tensor) in file.tensors().iter().enumerate() {
            let mut out = vec![0.0; tensor.len().min(256)];
            // Damaged numbers are an error, which is a fine answer.
            let _ = file.read(index, tensor.len() - out.len(), &mut out);
        }
    }
    if let Ok(checkpoint) = Checkpoint::open(&[source.clone()], None) {
        let _ = Conversion::new(checkpoint, &ConversionOptions::default());
    }
}

/// A fuzz target of one weights file whose beginning is given.
#[macro_export]
macro_rules! one_weights_file {
    ($start:expr) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            let start: &[u8] = $start;
            let whole = if bytes.starts_with(start) { bytes.to_vec() } else { [start, bytes].concat() };
            $crate::exercise_weights(&$crate::file("x", &whole));
        });
    };
}

/// A fuzz target of one file whose beginning is given, so that the fuzzer need not find the signature.
#[macro_export]
macro_rules! one_file {
    ($name:literal, $start:expr) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            let start: &[u8] = $start;
            let whole = if bytes.starts_with(start) { bytes.to_vec() } else { [start, bytes].concat() };
            $crate::exercise(&[$crate::file($name, &whole)]);
        });
    };
}
