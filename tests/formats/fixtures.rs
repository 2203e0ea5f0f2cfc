//! Small files by independent writers (tests/fixtures/formats/make.py): 9 × 7 × 12, sample = (3 row + 5 col + 7 band) mod 251.

use std::path::Path;
use std::rc::Rc;

use sigmascope::labels::read_labels;
use sigmascope::scene::{
    Cube, Format, Interleave, Kind, MemorySource, OpenOptions, SampleType, SceneError, SharedSource, open, open_path,
    scan, value,
};

use super::memory::peak_of;
use super::{check_windows, fixture, read, whole};

fn open_fixture(name: &str, options: &OpenOptions) -> Result<Box<dyn Cube>, SceneError> {
    open_path(&fixture(name), None, options)
}

/// Opens a fixture that holds the arithmetic scene, and checks each sample.
fn arithmetic(name: &str) -> Box<dyn Cube> {
    let cube = open_fixture(name, &OpenOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    check_arithmetic(name, cube.as_ref());
    cube
}

fn check_arithmetic(name: &str, cube: &dyn Cube) {
    let info = cube.info();
    assert_eq!((info.rows, info.cols, info.bands), (9, 7, 12), "{name}");
    let all = read(cube, &whole(cube)).unwrap_or_else(|error| panic!("{name}: {error}"));
    for (index, value) in all.iter().enumerate() {
        let (row, col, band) = (index / 84, index / 12 % 7, index % 12);
        assert_eq!(*value, ((3 * row + 5 * col + 7 * band) % 251) as f64, "{name} at {row}, {col}, {band}");
    }
    check_windows(name, cube);
}

fn wavelengths() -> Option<Vec<f64>> {
    Some((0..12).map(|band| 400.0 + 50.0 * f64::from(band)).collect())
}

#[test]
fn envi_in_every_type_order_and_interleave() {
    use SampleType::{F32, F64, I16, I32, I64, U8, U16, U32, U64};
    for (code, dtype) in [(1, U8), (2, I16), (3, I32), (4, F32), (5, F64), (12, U16), (13, U32), (14, I64), (15, U64)] {
        let cube = arithmetic(&format!("envi_type{code}.hdr"));
        let info = cube.info();
        assert_eq!((info.format, info.kind, info.dtype), (Format::Envi, Kind::Cube, dtype));
        assert_eq!(info.interleave, [Interleave::Bsq, Interleave::Bil, Interleave::Bip][code % 3]);
        assert_eq!((&info.wavelengths_nm, info.nodata), (&wavelengths(), Some(250.0)));
    }
    // The data file finds its header, too.
    arithmetic("envi_type4.img");
}

fn memory(path: &Path, name: &str) -> SharedSource {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Rc::new(MemorySource::new(name, bytes))
}

#[test]
fn dropped_files_find_each_other() {
    let header = |name: &str| memory(&fixture("envi_type2.hdr"), name);
    let data = |name: &str| memory(&fixture("envi_type2.img"), name);
    let other = || memory(&fixture("c_order.npy"), "notes.txt");
    let options = OpenOptions::default();
    for (h, d) in [
        ("x.hdr", "x.img"),
        ("x.HDR", "X.dat"),
        ("x.hdr", "x.raw"),
        ("x.hdr", "x.bil"),
        ("x.hdr", "x.bsq"),
        ("x.hdr", "x.bip"),
        ("x.hdr", "x"),
        ("x.dat.hdr", "x.dat"),
    ] {
        for files in [vec![header(h), data(d)], vec![data(d), header(h)], vec![data("y.img"), data(d), header(h)]] {
            let cube = open(&files, &options).unwrap_or_else(|error| panic!("{h} + {d}: {error}"));
            check_arithmetic(d, cube.as_ref());
            assert_eq!(cube.info().notes, [""; 0]);
        }
    }
    // A pair is a pair, whatever its names; this is said.
    let cube = open(&[data("a.bin"), header("b.hdr")], &options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(cube.info().notes, ["a.bin taken as the data file"]);

    let refused =
        |files: &[SharedSource]| open(files, &options).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused(&[header("x.hdr")]).contains("data file is missing"));
    assert!(refused(&[header("x.hdr"), data("y.img"), data("z.img")]).contains("data file is missing"));
    assert!(refused(&[data("x.img")]).contains("together with its header"));
    assert!(refused(&[header("x.hdr"), header("y.hdr"), data("x.img")]).contains("several scenes"));
    assert!(refused(&[other(), memory(&fixture("gdal_none.tif"), "b.tif")]).contains("several scenes"));
    assert!(refused(&[]).contains("nothing was chosen"));
    // Content decides, not the extension.
    assert!(open(&[other()], &options).is_ok());
}

#[test]
fn envi_classification_has_names_and_colours() {
    let cube = open_fixture("envi_classes.hdr", &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(cube.info().kind, Kind::Labels);
    let map = read_labels(cube.as_ref()).unwrap_or_else(|error| panic!("{error}"));
    let classes: Vec<_> = map.classes.iter().map(|class| (class.name.as_str(), class.color)).collect();
    assert_eq!(classes, [("corn", [255, 0, 0]), ("grass", [0, 255, 0]), ("oats", [1, 2, 3])]);
    assert_eq!(map.labels[..7], [0, 1, 2, 3, 0, 1, 2]);
}

#[test]
fn matlab_variables() {
    for name in ["many_plain.mat", "many_compressed.mat"] {
        let cube = arithmetic(name);
        let info = cube.info();
        assert_eq!((info.variable.as_deref(), info.dtype), (Some("cube"), SampleType::U16));
        assert_eq!(info.interleave, Interleave::ColumnMajor);
        let options = OpenOptions { variable: Some("gt".to_owned()), band_axis: None };
        let gt = open_fixture(name, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((gt.info().kind, gt.info().bands), (Kind::Labels, 1));
        assert_eq!(value(gt.as_ref(), 1, 2, 0), Ok(1.0));
        let missing = OpenOptions { variable: Some("nothing".to_owned()), band_axis: None };
        let error = open_fixture(name, &missing).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("no array named nothing; it holds cube, gt, wavelength"), "{error}");
    }
    // One pixel a column, in the column order of the image.
    let table = arithmetic("pixel_table.mat");
    assert_eq!(table.info().variable.as_deref(), Some("V"));
    let Err(SceneError::ChooseVariable { choices, .. }) = open_fixture("two_maps.mat", &OpenOptions::default()) else {
        panic!("two maps are no choice")
    };
    assert_eq!(choices.iter().map(|choice| choice.shape.clone()).collect::<Vec<_>>(), [[9, 7], [9, 7]]);
    for (name, words) in [("complex.mat", "complex numbers"), ("odd.mat", "a cell array cell, text text, a struct s")] {
        let error =
            open_fixture(name, &OpenOptions::default()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[test]
fn numpy_orders_types_and_archives() {
    for (name, dtype, interleave) in [
        ("c_order.npy", SampleType::I32, Interleave::Bip),
        ("fortran.npy", SampleType::U16, Interleave::ColumnMajor),
        ("half.npy", SampleType::F16, Interleave::Bip),
        ("plain.npz", SampleType::U8, Interleave::Bip),
        ("deflated.npz", SampleType::U8, Interleave::Bip),
    ] {
        let cube = arithmetic(name);
        assert_eq!((cube.info().dtype, cube.info().interleave), (dtype, interleave), "{name}");
        let variable = name.ends_with("npz").then_some("cube");
        assert_eq!(cube.info().variable.as_deref(), variable, "{name}");
    }
    // 12 × 9 × 7 can be anything: the guess is said, and the user's choice wins.
    let guessed =
        open_fixture("bands_last_axis0.npy", &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    assert!(guessed.info().notes.iter().any(|note| note.contains("axis 2")) || guessed.info().bands == 7);
    let options = OpenOptions { variable: None, band_axis: Some(0) };
    let chosen = open_fixture("bands_last_axis0.npy", &options).unwrap_or_else(|error| panic!("{error}"));
    check_arithmetic("bands first", chosen.as_ref());
    assert_eq!(chosen.info().interleave, Interleave::Bsq);
    let booleans = open_fixture("booleans.npy", &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((booleans.info().kind, value(booleans.as_ref(), 0, 3, 0)), (Kind::Labels, Ok(1.0)));
}

#[test]
fn geotiff_by_gdal_and_tifffile() {
    for (name, dtype, interleave) in [
        ("gdal_deflate_pred2.tif", SampleType::I16, Interleave::Bip),
        ("gdal_zstd_tiles.tif", SampleType::F32, Interleave::Bsq),
        ("gdal_lzw_big.tif", SampleType::U32, Interleave::Bsq),
        ("gdal_packbits.tif", SampleType::F64, Interleave::Bip),
        ("gdal_none.tif", SampleType::U8, Interleave::Bip),
        ("tifffile_planes.tif", SampleType::U64, Interleave::Bsq),
        ("tifffile_half.tif", SampleType::F16, Interleave::Bip),
    ] {
        let cube = arithmetic(name);
        assert_eq!((cube.info().dtype, cube.info().interleave), (dtype, interleave), "{name}");
    }
    let error = open_fixture("gdal_lerc.tif", &OpenOptions::default()).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("compression 34887 (LERC)"), "{error}");
}

#[test]
fn geotiff_metadata_and_georeference() {
    let utm = arithmetic("gdal_deflate_pred2.tif");
    let info = utm.info();
    let nm = info.wavelengths_nm.as_ref().expect("wavelengths");
    assert!(nm.iter().zip(wavelengths().expect("twelve")).all(|(a, b)| (a - b).abs() < 1e-9), "{nm:?}");
    assert_eq!(info.good_bands.iter().position(|good| !good), Some(3));
    assert_eq!(info.nodata, Some(250.0));
    let geo = info.geo.as_ref().expect("a georeference");
    let map_info = geo.map_info.as_deref();
    assert_eq!(map_info, Some("UTM, 1.0000, 1.0000, 500000, 8000000, 30, 30, 33, South, WGS-84, units=Meters"));
    let system = geo.coordinate_system.as_deref().unwrap_or_default();
    assert!(system.contains("UTM_Zone_33S") && system.contains("\"Central_Meridian\",15.0"), "{system}");
    assert!(system.contains("\"False_Northing\",10000000.0"), "{system}");
    let geo = arithmetic("gdal_zstd_tiles.tif").info().geo.clone().expect("a georeference");
    let map_info = geo.map_info.as_deref();
    assert_eq!(map_info, Some("Geographic Lat/Lon, 1.0000, 1.0000, 13, 52, 0.1, 0.1, WGS-84, units=Degrees"));

    let labels = open_fixture("gdal_labels.tif", &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let map = read_labels(labels.as_ref()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        map.classes.iter().map(|class| class.color).collect::<Vec<_>>(),
        [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    );
}

#[test]
fn tiles_that_were_never_written_are_no_data() {
    let cube = open_fixture("gdal_sparse.tif", &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let all = read(cube.as_ref(), &whole(cube.as_ref())).unwrap_or_else(|error| panic!("{error}"));
    for (index, value) in all.iter().enumerate() {
        let written = (32..48).contains(&(index / 64)) && (16..32).contains(&(index % 64));
        assert_eq!(*value, if written { 7.0 } else { -5.0 }, "{index}");
    }
    check_windows("gdal_sparse.tif", cube.as_ref());
    let statistics =
        scan(cube.as_ref(), &mut |_| true).unwrap_or_else(|error| panic!("{error}")).expect("not cancelled");
    assert_eq!((statistics.bands[0].valid, statistics.mean()), (256, Some(7.0)));
}

#[test]
fn a_scan_can_be_cancelled_and_reports_the_share() {
    let cube = arithmetic("envi_type1.hdr");
    assert_eq!(scan(cube.as_ref(), &mut |_| false), Ok(None));
    let mut shares = Vec::new();
    let statistics = scan(cube.as_ref(), &mut |share| {
        shares.push(share);
        true
    });
    assert_eq!(shares.last(), Some(&1.0));
    let band = statistics.unwrap_or_else(|error| panic!("{error}")).expect("not cancelled").bands[0];
    // Band 0 is 3 row + 5 col: mean 12 + 15, variance 9 · 60/9 + 25 · 28/7.
    assert_eq!((band.valid, band.min, band.max, band.mean), (63, 0.0, 54.0, 27.0));
    assert!((band.deviation - 160f64.sqrt()).abs() < 1e-12, "{}", band.deviation);
}

#[test]
fn a_large_file_is_read_in_little_memory() {
    // 1 GiB on disk that takes no room there: holes.
    let folder = tempfile::tempdir().expect("a folder");
    let header = "ENVI\nsamples = 512\nlines = 4096\nbands = 256\ndata type = 12\ninterleave = bsq\nbyte order = 0\n";
    std::fs::write(folder.path().join("large.hdr"), header).expect("a header");
    let data = std::fs::File::create(folder.path().join("large.img")).expect("a file");
    data.set_len(1 << 30).expect("a sparse file");
    let (values, peak) = peak_of(|| {
        let cube = open_path(&folder.path().join("large.hdr"), None, &OpenOptions::default()).expect("opens");
        let rows = cube.preferred_rows();
        let mut out = vec![1.0; rows * 512 * 256];
        cube.read(&sigmascope::scene::Window { rows: 100..100 + rows, cols: 0..512, bands: 0..256 }, &mut out)
            .expect("reads");
        out.iter().all(|&value| value == 0.0) && value(cube.as_ref(), 4095, 511, 255) == Ok(0.0)
    });
    assert!(values);
    assert!(peak < 16 << 20, "{peak}");
}
