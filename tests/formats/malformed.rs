//! Every broken file of ../shared: what happens, in which words, and how much memory it takes.

use sigmascope::labels::{GroundTruthError, read_labels};
use sigmascope::scene::{Kind, OpenOptions, SceneError, open_path, scan};

use super::memory::peak_of;
use super::{check_windows, shared_data};

/// What has to happen with a file.
enum Outcome {
    /// Opens, reads in full, and says this in its notes (empty: no such demand).
    Opens(&'static str),
    /// [`SceneError::Malformed`] with these words.
    Malformed(&'static [&'static str]),
    /// [`SceneError::Unsupported`] with these words.
    Unsupported(&'static [&'static str]),
    /// [`SceneError::MissingCompanion`] with these words.
    Missing(&'static [&'static str]),
}

use Outcome::{Malformed, Missing, Opens, Unsupported};

const OUTCOMES: &[(&str, Outcome)] = &[
    ("envi_truncated.hdr", Malformed(&["envi_truncated.dat", "176800 bytes in all", "88400", "cut short"])),
    ("envi_lines_lie.hdr", Malformed(&["1000 rows", "cut short or the header belongs to another file"])),
    ("envi_huge.hdr", Malformed(&["200000 rows", "more than any scene has"])),
    ("envi_overflow.hdr", Malformed(&["4294967295", "more than any scene has"])),
    ("envi_zero.hdr", Malformed(&["0 rows", "empty"])),
    ("envi_negative.hdr", Malformed(&["bands = -5", "whole number"])),
    ("envi_dtype99.hdr", Malformed(&["data type = 99"])),
    ("envi_complex.hdr", Unsupported(&["complex"])),
    ("envi_interleave_bup.hdr", Malformed(&["bup", "bsq, bil and bip"])),
    ("envi_offset_past_end.hdr", Malformed(&["after 1000000000 bytes", "176800"])),
    ("envi_wl_short.hdr", Opens("100 wavelengths for 200 bands, ignored")),
    ("envi_wl_text.hdr", Opens("\"wavelength\" in the header holds abc, which is not a number")),
    ("envi_no_magic.hdr", Malformed(&["does not start with the word ENVI"])),
    ("envi_unclosed_brace.hdr", Malformed(&["wavelength", "line 8", "never closed"])),
    ("envi_missing_samples.hdr", Malformed(&["no \"samples\""])),
    ("envi_missing_dtype.hdr", Malformed(&["no \"data type\""])),
    ("envi_hdr_only.hdr", Missing(&["data file is missing", "envi_hdr_only.img"])),
    ("envi_hdr_empty.hdr", Malformed(&["header is empty"])),
    ("envi_hdr_binary.hdr", Malformed(&["does not start with the word ENVI"])),
    ("envi_all_nan.hdr", Opens("")),
    ("envi_constant.hdr", Opens("")),
    ("envi_extra_tail.hdr", Opens("1000 bytes longer than the header says; the rest was ignored")),
    ("mat_truncated.mat", Malformed(&["ends at 34318", "cut short"])),
    ("mat_u_truncated.mat", Malformed(&["ends at 3000", "cut short"])),
    ("mat_header_only.mat", Unsupported(&["it holds nothing"])),
    ("mat_garbage.mat", Malformed(&["not that of a MATLAB file"])),
    ("mat_dims_lie.mat", Malformed(&["cube should have 100000 × 100000 × 1000 samples", "16 bytes are stored"])),
    ("mat_negative_dims.mat", Malformed(&["dimension -2"])),
    ("mat_zlib_bomb.mat", Unsupported(&["512 MiB", "not inflated"])),
    ("mat73_truncated.mat", Unsupported(&["MATLAB 7.3"])),
    ("mat73_corrupt.mat", Unsupported(&["MATLAB 7.3"])),
    ("npy_truncated.npy", Malformed(&["58976", "cut short"])),
    ("npy_huge.npy", Malformed(&["40000000000128 bytes in all", "192"])),
    ("npy_negative.npy", Malformed(&["shape holds -"])),
    ("npy_bad_header.npy", Malformed(&["not evaluated"])),
    ("npy_object.npy", Unsupported(&["Python objects"])),
    ("npy_1d.npy", Unsupported(&["1 dimensions"])),
    ("npy_5d.npy", Unsupported(&["5 dimensions"])),
    ("npy_structured.npy", Unsupported(&["records"])),
    ("npy_zero_dim.npy", Malformed(&["empty"])),
    ("npz_bomb.npz", Unsupported(&["512 MiB", "not inflated"])),
    ("npz_no_arrays.npz", Unsupported(&["no 2-D or 3-D numeric array", "readme.txt"])),
    ("tiff_truncated.tif", Malformed(&["ends at 39188", "cut short"])),
    ("tiff_ifd_loop.tif", Malformed(&["no image width"])),
    ("tiff_ifd_past_end.tif", Malformed(&["directory at byte 2147483647", "outside the file"])),
    ("tiff_huge.tif", Malformed(&["2147483648", "more than any scene has"])),
    ("tiff_missing_strips.tif", Malformed(&["does not say where"])),
    ("tiff_bad_compression.tif", Unsupported(&["compression 9999"])),
    ("tiff_jpg_renamed.tif", Unsupported(&["JPEG picture"])),
    ("h5_truncated.h5", Unsupported(&["HDF5"])),
    ("h5_signature_only.h5", Unsupported(&["HDF5"])),
    ("h5_corrupt.h5", Unsupported(&["HDF5"])),
    ("h5_fill_huge.h5", Unsupported(&["HDF5"])),
    ("h5_no_3d.h5", Unsupported(&["HDF5"])),
    ("h5_link_cycle.h5", Unsupported(&["HDF5"])),
    ("empty.mat", Malformed(&["empty"])),
    ("empty.npy", Malformed(&["empty"])),
    ("empty.tif", Malformed(&["empty"])),
    ("text.mat", Unsupported(&["this is text", "save -v7"])),
    ("gt_wrong_size.npy", Opens("")),
    ("gt_wild_labels.npy", Opens("")),
];

/// A refusal may not take more than this; the largest broken file has half a megabyte.
const REFUSAL_BYTES: usize = 2 << 20;

#[test]
fn every_broken_file_has_its_outcome() {
    let Some(data) = shared_data("the broken files") else { return };
    let folder = data.join("malformed");
    let text = std::fs::read_to_string(folder.join("expected.json")).expect("expected.json");
    let listed: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    let table: std::collections::BTreeSet<&str> = OUTCOMES.iter().map(|(name, _)| *name).collect();
    assert_eq!(table, listed.keys().map(String::as_str).collect(), "the table and expected.json name other files");

    let mut wrong = Vec::new();
    for (name, outcome) in OUTCOMES {
        let path = folder.join(name);
        let (opened, peak) = peak_of(|| open_path(&path, None, &OpenOptions::default()));
        let message = opened.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let words = match (outcome, &opened) {
            (Opens(note), Ok(cube)) => {
                let notes = cube.info().notes.join("; ");
                assert!(notes.contains(note), "{name}: {notes}");
                check_windows(name, cube.as_ref());
                let statistics = scan(cube.as_ref(), &mut |_| true).expect("a scan").expect("not cancelled");
                assert_eq!(statistics.bands.len(), cube.info().bands, "{name}");
                continue;
            }
            (Malformed(words), Err(SceneError::Malformed { .. }))
            | (Unsupported(words), Err(SceneError::Unsupported { .. }))
            | (Missing(words), Err(SceneError::MissingCompanion { .. })) => words,
            _ => {
                wrong.push(format!("{name}: another outcome: {message:?}"));
                continue;
            }
        };
        if words.iter().any(|word| !message.contains(word)) || message.contains('\n') {
            wrong.push(format!("{name}: {message}"));
        }
        if peak >= REFUSAL_BYTES {
            wrong.push(format!("{name}: {peak} bytes for a refusal"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_all_nan_scene_has_no_statistics_and_a_constant_one_no_deviation() {
    let Some(data) = shared_data("all NaN, constant") else { return };
    let statistics = |name: &str| {
        let cube = open_path(&data.join("malformed").join(name), None, &OpenOptions::default()).expect(name);
        scan(cube.as_ref(), &mut |_| true).expect(name).expect("not cancelled")
    };
    let nan = statistics("envi_all_nan.hdr");
    assert_eq!((nan.empty_bands().len(), nan.mean()), (200, None));
    let constant = statistics("envi_constant.hdr");
    assert_eq!((constant.empty_bands().len(), constant.mean()), (0, Some(0.0)));
    assert!(constant.bands.iter().all(|band| band.deviation == 0.0 && band.valid == 221));
}

#[test]
fn labels_that_do_not_fit_or_are_wild_are_refused_in_a_sentence() {
    let Some(data) = shared_data("labels that do not fit") else { return };
    let open = |name: &str| open_path(&data.join("malformed").join(name), None, &OpenOptions::default()).expect(name);
    let wild = open("gt_wild_labels.npy");
    assert_eq!(wild.info().kind, Kind::Labels);
    let error = read_labels(wild.as_ref()).expect_err("wild labels");
    let GroundTruthError::NotAClass { value, row, col, .. } = error else { panic!("{error}") };
    assert!(value == -7.0 || value == 1e6, "{value}");
    assert!(error.to_string().contains(&format!("{value} at row {row}, column {col}")), "{error}");

    let small = read_labels(open("gt_wrong_size.npy").as_ref()).expect("a valid map");
    assert_eq!(small.check_fits(10, 10), Ok(()));
    let error = small.check_fits(145, 145).expect_err("another size");
    assert!(error.to_string().contains("10 rows × 10 columns, but the scene has 145 × 145"), "{error}");
}
