//! Properties: no bytes make a reader panic or take more than a bounded amount of memory, and what is written by the
//! book is read back.

use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sigmascope::scene::{MemorySource, OpenOptions, SceneError, SharedSource, Window, open, value};

use super::memory::peak_of;
use super::{fixture, read, whole};

/// The most that opening a small file and reading a corner of it may take: two decoded TIFF chunks of the size below
/// which any expansion is believed (64 MiB), a zstd window (32 MiB), and some.
const PEAK: usize = 224 << 20;

fn file(name: &str, bytes: Vec<u8>) -> SharedSource {
    Rc::new(MemorySource::new(name, bytes))
}

/// Opens and reads the corners; the result does not matter, panics and memory do.
fn exercise(files: &[SharedSource], options: &OpenOptions) {
    let ((), peak) = peak_of(|| {
        let cube = match open(files, options) {
            Ok(cube) => cube,
            Err(error) => {
                let message = error.to_string();
                assert!(message.len() > 10 && message.len() < 20_000, "{message}");
                return;
            }
        };
        let info = cube.info().clone();
        assert!(info.rows > 0 && info.cols > 0 && info.bands > 0);
        assert_eq!(info.good_bands.len(), info.bands);
        assert!(info.wavelengths_nm.as_ref().is_none_or(|wavelengths| wavelengths.len() == info.bands));
        assert!((1..=info.rows).contains(&cube.preferred_rows()));
        // Errors are fine: the damage may lie in the samples.
        for row in [0, info.rows - 1] {
            for band in [0, info.bands - 1] {
                let _ = value(cube.as_ref(), row, info.cols - 1, band);
            }
            let window = Window { rows: row..row + 1, cols: 0..info.cols.min(40), bands: 0..info.bands.min(40) };
            let _ = read(cube.as_ref(), &window);
        }
    });
    assert!(peak < PEAK, "{peak} bytes");
}

/// Beginnings that lead into each of the readers.
const STARTS: &[(&str, &[u8])] = &[
    ("x.bin", b""),
    ("x.hdr", b"ENVI\n"),
    ("x.npy", b"\x93NUMPY\x01\x00"),
    ("x.npz", b"PK\x03\x04"),
    ("x.tif", b"II\x2a\0\x08\0\0\0"),
    ("x.tif", b"MM\0\x2b\0\x08\0\0\0\0\0\0\0\0\0\x10"),
    ("x.mat", b"MATLAB 5.0 MAT-file, Platform: nowhere, Created on: never                                                                   \0\x01IM"),
];

const FIXTURES: &[&str] = &[
    "many_plain.mat",
    "many_compressed.mat",
    "pixel_table.mat",
    "odd.mat",
    "c_order.npy",
    "fortran.npy",
    "plain.npz",
    "deflated.npz",
    "gdal_deflate_pred2.tif",
    "gdal_zstd_tiles.tif",
    "gdal_lzw_big.tif",
    "gdal_packbits.tif",
    "gdal_none.tif",
    "gdal_labels.tif",
    "gdal_sparse.tif",
    "tifffile_planes.tif",
    "tifffile_half.tif",
];

const CASES: &[&str] = &["t20_pages.tif", "t23_scale.tif", "e12_sidecar.tif", "m51_octave.mat"];

/// A change to some bytes: most of the structure is near the start.
fn mutations() -> impl Strategy<Value = Vec<(Index, bool, u8)>> {
    vec((any::<Index>(), any::<bool>(), prop_oneof![any::<u8>(), select(vec![0, 1, 0x7f, 0x80, 0xff])]), 1..6)
}

fn mutate(bytes: &mut [u8], mutations: &[(Index, bool, u8)]) {
    for (index, near_start, byte) in mutations {
        let len = if *near_start { bytes.len().min(400) } else { bytes.len() };
        if len > 0 {
            bytes[index.index(len)] = *byte;
        }
    }
}

fn options() -> impl Strategy<Value = OpenOptions> {
    (
        prop_oneof![3 => Just(None), 1 => Just(Some("cube".to_owned()))],
        prop_oneof![3 => Just(None), 1 => (0usize..4).prop_map(Some)],
    )
        .prop_map(|(variable, band_axis)| OpenOptions { variable, band_axis })
}

/// `key = value` lines with the keys that matter and values of every kind.
fn envi_header() -> impl Strategy<Value = String> {
    let keys = vec![
        "samples",
        "lines",
        "bands",
        "data type",
        "interleave",
        "byte order",
        "header offset",
        "wavelength",
        "wavelength units",
        "bbl",
        "class names",
        "class lookup",
        "data ignore value",
        "file type",
        "map info",
        "file compression",
        "major frame offsets",
        "minor frame offsets",
        "fwhm",
        "band_names",
        "wavelengths",
        "reflectance scale factor",
    ];
    let values = prop_oneof![
        select(vec!["1", "2", "3", "7", "12", "0", "-1", "4294967296", "18446744073709551615", "1e30", "nan", "", "x"])
            .prop_map(str::to_owned),
        select(vec!["bsq", "BIL", "bip", "bup", "nm", "um", "ENVI Classification", "ENVI Standard"])
            .prop_map(str::to_owned),
        select(vec!["Wavenumber (cm-1)", "1/cm", "Angstroms", "GHz", "{3, 1}", "{18446744073709551615, 1}", "{9, 9}"])
            .prop_map(str::to_owned),
        vec(select(vec!["1", "0", "400", "-3", "nan", "red", "", "\n;", "7 8"]), 0..14)
            .prop_map(|items| format!("{{{}}}", items.join(", "))),
        "\\PC{0,30}",
    ];
    let line = (select(keys), values).prop_map(|(key, value)| format!("{key} = {value}\n"));
    (vec(line, 0..16), any::<bool>()).prop_map(|(lines, complete)| {
        let tail = "samples = 3\nlines = 4\nbands = 2\ndata type = 2\ninterleave = bsq\nbyte order = 0\n";
        format!("ENVI\n{}{}", lines.concat(), if complete { tail } else { "" })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes_are_survived(start in select(STARTS.to_vec()), tail in vec(any::<u8>(), 0..700), options in options()) {
        let (name, start) = start;
        exercise(&[file(name, [start, &tail[..]].concat())], &options);
    }

    #[test]
    fn mutated_files_are_survived(name in select(FIXTURES.to_vec()), mutations in mutations(), cut in any::<Index>(), keep in 0..4, options in options()) {
        let mut bytes = std::fs::read(fixture(name)).expect("a fixture");
        mutate(&mut bytes, &mutations);
        if keep == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        exercise(&[file(name, bytes)], &options);
    }

    #[test]
    fn random_envi_headers_are_survived(header in envi_header(), data in vec(any::<u8>(), 0..600)) {
        exercise(&[file("x.hdr", header.into_bytes()), file("x.img", data)], &OpenOptions::default());
    }

    #[test]
    fn any_text_behind_the_word_envi_is_survived(text in any::<String>(), ends in select(vec!["\n", "\r", "\r\n"])) {
        let header = format!("ENVI\n{text}\nsamples=2\nlines=1\nbands=1\ndata type=1\n").replace('\n', ends);
        exercise(&[file("x.hdr", header.clone().into_bytes()), file("x.img", vec![1, 2])], &OpenOptions::default());
        // A header of any kind beside an image that needs none.
        let image = std::fs::read(fixture("gdal_none.tif")).expect("a fixture");
        exercise(&[file("x.hdr", header.into_bytes()), file("x.tif", image)], &OpenOptions::default());
    }

    #[test]
    fn mutated_pages_are_survived(name in select(CASES.to_vec()), mutations in mutations(), cut in any::<Index>(), keep in 0..4) {
        let mut bytes = std::fs::read(format!("tests/fixtures/cases/files/{name}")).expect("a case");
        mutate(&mut bytes, &mutations);
        if keep == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        exercise(&[file(name, bytes)], &OpenOptions::default());
    }

    #[test]
    fn random_numpy_headers_are_survived(version in 0u8..4, text in "[{}()\\[\\]'\":, TrueFalsdcptonhx<>|iuf0-9L-]{0,90}", data in vec(any::<u8>(), 0..300)) {
        let mut bytes = vec![0x93, b'N', b'U', b'M', b'P', b'Y', version, 0];
        if version == 1 {
            bytes.extend((text.len() as u16).to_le_bytes());
        } else {
            bytes.extend((text.len() as u32).to_le_bytes());
        }
        bytes.extend(text.as_bytes());
        bytes.extend(data);
        exercise(&[file("x.npy", bytes)], &OpenOptions::default());
    }
}

/// One of the sample types, with its ENVI code and NumPy name, and its bytes for a whole number from -100 to 100 (or
/// its absolute value).
#[derive(Debug, Clone, Copy)]
struct Kind {
    envi: u8,
    numpy: &'static str,
    signed: bool,
    big: fn(f64) -> [u8; 8],
    size: usize,
}

macro_rules! kinds {
    ($(($envi:literal, $numpy:literal, $signed:literal, $type:ty)),*) => {
        &[$(Kind {
            envi: $envi,
            numpy: $numpy,
            signed: $signed,
            big: |value| {
                let mut bytes = [0; 8];
                bytes[..size_of::<$type>()].copy_from_slice(&(value as $type).to_be_bytes());
                bytes
            },
            size: size_of::<$type>(),
        }),*]
    };
}

const KINDS: &[Kind] = kinds![
    (1, "u1", false, u8),
    (2, "i2", true, i16),
    (3, "i4", true, i32),
    (4, "f4", true, f32),
    (5, "f8", true, f64),
    (12, "u2", false, u16),
    (13, "u4", false, u32),
    (14, "i8", true, i64),
    (15, "u8", false, u64)
];

impl Kind {
    fn encode(self, values: impl Iterator<Item = f64>, big: bool) -> Vec<u8> {
        values
            .flat_map(|value| {
                let mut bytes = (self.big)(value)[..self.size].to_vec();
                if !big {
                    bytes.reverse();
                }
                bytes
            })
            .collect()
    }

    fn clamp(self, value: i8) -> f64 {
        if self.signed { f64::from(value) } else { f64::from(value).abs() }
    }
}

/// Shape and samples `[row][col][band]` of a small scene.
fn scene() -> impl Strategy<Value = ((usize, usize, usize), Vec<i8>)> {
    (1usize..7, 1usize..7, 1usize..9)
        .prop_flat_map(|shape| (Just(shape), vec(-100i8..=100, shape.0 * shape.1 * shape.2)))
}

fn same_samples(
    files: &[SharedSource],
    options: &OpenOptions,
    shape: (usize, usize, usize),
    want: &[f64],
) -> Result<(), TestCaseError> {
    let opened: Result<_, SceneError> = open(files, options);
    let cube = opened.map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!((cube.info().rows, cube.info().cols, cube.info().bands), shape);
    let all = read(cube.as_ref(), &whole(cube.as_ref())).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(&all[..], want);
    Ok(())
}

proptest! {
    #[test]
    fn envi_round_trips(
        ((rows, cols, bands), samples) in scene(), kind in select(KINDS), big in any::<bool>(),
        interleave in select(vec!["bsq", "bil", "bip"]), offset in 0usize..40, header_first in any::<bool>(),
        major in [0usize..9, 0usize..9], minor in [0usize..5, 0usize..5],
    ) {
        let want: Vec<f64> = samples.iter().map(|&sample| kind.clamp(sample)).collect();
        let at = |row: usize, col: usize, band: usize| want[(row * cols + col) * bands + band];
        let total = rows * cols * bands;
        let stored = (0..total).map(|i| match interleave {
            "bsq" => at(i / cols % rows, i % cols, i / cols / rows),
            "bil" => at(i / cols / bands, i % cols, i / cols % bands),
            _ => at(i / bands / cols, i / bands % cols, i % bands),
        });
        let header = format!(
            "ENVI\nsamples={cols}\nlines={rows}\nbands={bands}\nheader offset={offset}\ndata type={}\ninterleave={interleave}\nbyte order={}\nmajor frame offsets={{{}, {}}}\nminor frame offsets={{{}, {}}}\n",
            kind.envi, u8::from(big), major[0], major[1], minor[0], minor[1]
        );
        let (samples, minors) = match interleave {
            "bsq" => (cols, rows),
            "bil" => (cols, bands),
            _ => (bands, cols),
        };
        let fill = |bytes: usize| vec![0xaa; bytes];
        let framed = |inside: Vec<u8>, [before, after]: [usize; 2]| [fill(before), inside, fill(after)].concat();
        let minor_frames: Vec<Vec<u8>> =
            kind.encode(stored, big).chunks(samples * kind.size).map(|frame| framed(frame.to_vec(), minor)).collect();
        let frames: Vec<Vec<u8>> = minor_frames.chunks(minors).map(|frames| framed(frames.concat(), major)).collect();
        let data = [fill(offset), frames.concat()].concat();
        let mut files = [file("x.hdr", header.into_bytes()), file("x.dat", data)];
        if !header_first {
            files.reverse();
        }
        same_samples(&files, &OpenOptions::default(), (rows, cols, bands), &want)?;
    }

    #[test]
    fn numpy_round_trips(
        ((rows, cols, bands), samples) in scene(), kind in select(KINDS), big in any::<bool>(),
        fortran in any::<bool>(), band_axis in 0usize..3, version in 1u8..4,
    ) {
        let want: Vec<f64> = samples.iter().map(|&sample| kind.clamp(sample)).collect();
        let shape = [[bands, rows, cols], [rows, bands, cols], [rows, cols, bands]][band_axis];
        let total = rows * cols * bands;
        let stored = (0..total).map(|i| {
            let [a, b, c] = shape;
            let index = if fortran { [i % a, i / a % b, i / a / b] } else { [i / c / b, i / c % b, i % c] };
            let (row, col) = [(index[1], index[2]), (index[0], index[2]), (index[0], index[1])][band_axis];
            want[(row * cols + col) * bands + index[band_axis]]
        });
        let order = if big { '>' } else { '<' };
        let python = if fortran { "True" } else { "False" };
        let text = format!(
            "{{'descr': '{order}{}', 'fortran_order': {python}, 'shape': ({}, {}, {}), }}\n", kind.numpy, shape[0], shape[1], shape[2]
        );
        let mut bytes = vec![0x93, b'N', b'U', b'M', b'P', b'Y', version, 0];
        if version == 1 {
            bytes.extend((text.len() as u16).to_le_bytes());
        } else {
            bytes.extend((text.len() as u32).to_le_bytes());
        }
        bytes.extend(text.as_bytes());
        bytes.extend(kind.encode(stored, big));
        let options = OpenOptions { variable: None, band_axis: Some(band_axis) };
        same_samples(&[file("x.npy", bytes)], &options, (rows, cols, bands), &want)?;
    }
}
