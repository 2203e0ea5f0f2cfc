//! ENVI headers as programs write them: what is understood, what costs a note, what is refused.

use std::rc::Rc;

use sigmascope::scene::{Cube, MemorySource, OpenOptions, SceneError, SharedSource, open, value};

use super::check_windows;

const SIZE: &str = "samples = 3\nlines = 2\nbands = 2\ndata type = 1\ninterleave = bsq\nbyte order = 0\n";

fn file(name: &str, bytes: impl Into<Vec<u8>>) -> SharedSource {
    Rc::new(MemorySource::new(name, bytes.into()))
}

/// Opens 2 × 3 × 2 bytes, 0 to 11, behind the header's lines.
fn opened(lines: &str) -> Result<Box<dyn Cube>, SceneError> {
    let data: Vec<u8> = (0..12).collect();
    open(&[file("x.hdr", format!("ENVI\n{SIZE}{lines}")), file("x.img", data)], &OpenOptions::default())
}

fn cube(lines: &str) -> Box<dyn Cube> {
    opened(lines).unwrap_or_else(|error| panic!("{lines}: {error}"))
}

#[test]
fn a_bad_optional_field_costs_a_note_and_nothing_else() {
    for (lines, words) in [
        ("wavelength = {450, x}", "holds x"),
        ("wavelength = {450, 550}\nfwhm = {10}", "1 band widths"),
        ("wavelength = {450, 550}\nfwhm = {10, -1}", "band widths"),
        ("wavelength = {450, 550}\nfwhm = {a, b}", "holds a"),
        ("bbl = {1}", "bad-band list of 1"),
        ("bbl = {1, bad}", "holds bad"),
        ("map info = {UTM, north}", "map info"),
        ("data ignore value = none", "no-data value none"),
        ("class lookup = {1, 2}", "class lookup"),
        ("reflectance scale factor = 10000", "reflectance scale factor"),
        ("wavelength = {450, 550}\nwavelength units = furlongs", "\"furlongs\""),
        ("wavelength = {450, 550}", "taken as nanometres"),
        ("wavelength = {450, 550}\nwavelength units = Micrometers", "unlikely in the stated unit"),
        ("file compression = 0\nbands=2\nbands = 2\nlines = 3\nlines = 2", "\"lines\" more than once"),
    ] {
        let cube = cube(lines);
        let notes = cube.info().notes.join("; ");
        assert!(notes.contains(words) && !notes.contains('`') && cube.info().notes.len() <= 2, "{lines}: {notes}");
        assert_eq!(value(cube.as_ref(), 1, 2, 1), Ok(11.0), "{lines}");
    }
    // Nothing is said about a header that has nothing odd, whatever a program may have written into other fields.
    let silent = cube(
        "description = {a; b}\ndefault bands = {red, green}\nrgb = 7\nwavelength units = nm\nwavelength = {450, 550}\nfwhm = {9, 11}\nband names = {a, b c}",
    );
    let info = silent.info();
    assert_eq!((&info.notes[..], &info.fwhm_nm), (&[][..], &Some(vec![9.0, 11.0])));
    assert_eq!(info.band_names, Some(vec!["a".to_owned(), "b c".to_owned()]));
}

#[test]
fn every_unit_of_envi_gives_the_same_wavelengths() {
    for (unit, centres) in [
        ("Nanometers", "400, 800"),
        ("Micrometers (um)", "0.4, 0.8"),
        ("\u{b5}m", "0.4, 0.8"),
        ("Millimeters", "0.0004, 0.0008"),
        ("Centimeters", "0.00004, 0.00008"),
        ("Meters", "4e-7, 8e-7"),
        ("Angstroms", "4000, 8000"),
        ("Wavenumber (cm-1)", "25000, 12500"),
        ("GHz", "749481.145, 374740.5725"),
        ("MHz", "749481145, 374740572.5"),
        ("Unknown", "400, 800"),
    ] {
        let cube = cube(&format!("wavelength units = {unit}\nwavelength = {{{centres}}}"));
        let nm = cube.info().wavelengths_nm.clone().unwrap_or_else(|| panic!("{unit}: {:?}", cube.info().notes));
        assert!((nm[0] - 400.0).abs() < 1e-6 && (nm[1] - 800.0).abs() < 1e-6, "{unit}: {nm:?}");
    }
    for unit in ["Index", "electron volts"] {
        assert_eq!(cube(&format!("wavelength units = {unit}\nwavelength = {{400, 800}}")).info().wavelengths_nm, None);
    }
}

#[test]
fn frame_offsets_have_two_numbers_and_fit_the_file() {
    for (lines, words) in [
        ("major frame offsets = 16", "major frame offsets = 16"),
        ("minor frame offsets = {1, 2, 3}", "two whole numbers"),
        ("major frame offsets = {-1, 0}", "two whole numbers"),
        ("major frame offsets = {18446744073709551615, 18446744073709551615}", "beyond any file"),
        ("major frame offsets = {0, 3}", "with frame offsets"),
        ("minor frame offsets = {9223372036854775807, 0}", "beyond any file"),
    ] {
        let said = opened(lines).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains(words), "{lines}: {said}");
    }
    for lines in ["major frame offsets = 0", "major frame offsets = {0, 0}\nminor frame offsets = {0,0}"] {
        assert_eq!(cube(lines).info().notes, [""; 0]);
    }
}

/// Extra bytes around every frame, not multiples of a sample, against a writer that goes by ENVI's table of frames.
#[test]
fn frame_offsets_of_every_interleave() {
    let (rows, cols, bands) = (3u64, 4, 5);
    let sample = |row: u64, col: u64, band: u64| (1000 * row + 100 * col + band) as u16;
    let ([before_major, after_major], [before_minor, after_minor]) = ([7, 2], [3, 1]);
    for (interleave, majors, minors, samples) in
        [("bsq", bands, rows, cols), ("bil", rows, bands, cols), ("bip", rows, cols, bands)]
    {
        let mut data = vec![0xee; 11];
        for major in 0..majors {
            data.extend(vec![0xee; before_major]);
            for minor in 0..minors {
                data.extend(vec![0xee; before_minor]);
                for place in 0..samples {
                    let value = match interleave {
                        "bsq" => sample(minor, place, major),
                        "bil" => sample(major, place, minor),
                        _ => sample(major, minor, place),
                    };
                    data.extend(value.to_le_bytes());
                }
                data.extend(vec![0xee; after_minor]);
            }
            data.extend(vec![0xee; after_major]);
        }
        let header = format!(
            "ENVI\nsamples = {cols}\nlines = {rows}\nbands = {bands}\nheader offset = 11\ndata type = 12\nbyte order = 0\n\
             interleave = {interleave}\nmajor frame offsets = {{{before_major}, {after_major}}}\n\
             minor frame offsets = {{{before_minor}, {after_minor}}}\n"
        );
        let files = |data: &[u8]| [file("x.hdr", header.clone()), file("x.img", data)];
        let cube = open(&files(&data), &OpenOptions::default()).unwrap_or_else(|error| panic!("{interleave}: {error}"));
        assert_eq!(cube.info().notes.len(), 1, "{:?}", cube.info().notes);
        for row in 0..rows {
            for col in 0..cols {
                for band in 0..bands {
                    let found = value(cube.as_ref(), row as usize, col as usize, band as usize);
                    assert_eq!(found, Ok(f64::from(sample(row, col, band))), "{interleave} {row}, {col}, {band}");
                }
            }
        }
        check_windows(interleave, cube.as_ref());
        // The bytes behind the last sample may be missing, no others.
        let end = data.len() - after_minor - after_major;
        assert!(open(&files(&data[..end]), &OpenOptions::default()).is_ok());
        assert!(open(&files(&data[..end - 1]), &OpenOptions::default()).is_err());
    }
}

#[test]
fn a_header_beside_a_tiff_adds_to_it_or_is_not_its_own() {
    let folder = std::path::Path::new("tests/fixtures/cases/files");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (header, image) = (read("e12_sidecar.hdr"), read("e12_sidecar.tif"));
    let options = OpenOptions::default();
    for (h, t) in [("a.hdr", "a.tif"), ("a.hdr", "b.tiff"), ("a.tif.hdr", "a.tif"), ("a.hdr", "a.img")] {
        for files in
            [[file(h, header.clone()), file(t, image.clone())], [file(t, image.clone()), file(h, header.clone())]]
        {
            let cube = open(&files, &options).unwrap_or_else(|error| panic!("{h} {t}: {error}"));
            assert_eq!(
                (cube.info().good_bands[2], cube.info().wavelengths_nm.as_ref().map(|nm| nm[7])),
                (false, Some(800.0))
            );
        }
    }
    // Another size: the picture of a scene beside the header of the scene.
    let text = String::from_utf8_lossy(&header).replace("bands = 8", "bands = 9");
    let said = open(&[file("a.hdr", text), file("a.tif", image.clone())], &options).err().map(|e| e.to_string());
    assert!(said.is_some_and(|said| said.contains("12 × 10 × 9") && said.contains("12 × 10 × 8")));
    // Other programs' headers do not stop an image that needs none.
    let cube = open(&[file("a.hdr", "NROWS 12\nNCOLS 10\n"), file("a.tif", image)], &options).expect("the image");
    assert!(cube.info().notes.iter().any(|note| note.contains("ESRI header")), "{:?}", cube.info().notes);
}

#[test]
fn other_formats_are_named_with_a_way_out_whatever_their_extension() {
    for (name, start, words) in [
        ("scene.nc", &b"CDF\x02\0\0\0\0"[..], "NETCDF:FILE:VARIABLE"),
        ("scene.img", b"EHFA_HEADER_TAG\0", "ERDAS"),
        ("scene.lan", b"HEAD74\0\0", "ERDAS"),
        ("cube.mat", b"# Created by Octave 6.4.0\n# name: cube\n", "save -v7"),
        ("cube.mat", b"  1.0  2.0\n  3.0  4.0\n", "save -v7"),
        ("spectra.sli", b"\0\0\x80\x3f", "spectral library"),
        ("scene.tif", b"<!DOCTYPE html>\n", "web page"),
        ("table.csv", b"a,b\n1,2\n", "text file"),
        ("cube.npy", b"\x80\x04\x95\0\0", "pickle"),
        ("scene.tif", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ] {
        let said = open(&[file(name, start)], &OpenOptions::default()).err().map(|error| error.to_string());
        let said = said.unwrap_or_default();
        assert!(said.starts_with(name) && said.contains(words) && !said.contains("damaged"), "{name}: {said}");
    }
}
