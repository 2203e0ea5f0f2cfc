//! ENVI: a text header beside a flat file of samples.
//!
//! Format: "ENVI Header Files" and "ENVI Image Files" in the ENVI documentation (NV5 Geospatial).

mod companion;
mod header;

pub(crate) use companion::find_data;
// Only a program that sees folders can look for the header of a data file.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use companion::find_header;
use header::Header;
pub(crate) use header::is_envi;

use super::samples::{Endian, Stored, nodata_as_stored};
use super::shape::Shape;
use super::strided::{Layout, StridedCube};
use super::wavelength::to_nanometres;
use super::{Format, GeoReference, Interleave, Kind, SampleType, SceneError, SceneInfo, SharedSource};

/// What a header says, before the data file is looked at.
struct Description {
    info: SceneInfo,
    shape: Shape,
    layout: Layout,
}

fn read_header(source: &SharedSource) -> Result<Header, SceneError> {
    let name = source.name();
    if source.len() > Header::MAX {
        return Err(SceneError::malformed(name, "an ENVI header of more than 16 MiB is not a header"));
    }
    let mut bytes = vec![0; source.len() as usize];
    source.read_at(0, &mut bytes)?;
    Header::parse(name, &bytes)
}

/// Opens a header with its data file.
///
/// # Errors
/// The header is broken, or the data file is shorter than the header says.
pub(crate) fn open(header: &SharedSource, data: Option<&SharedSource>) -> Result<StridedCube, SceneError> {
    let name = header.name();
    let Description { mut info, shape, layout } = describe(name, &read_header(header)?)?;
    let Some(data) = data else {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        return Err(SceneError::MissingCompanion {
            name: name.to_owned(),
            what: format!(
                "the data file is missing; choose it together with the header ({stem}.img, {stem}.dat or the like)"
            ),
        });
    };
    let bytes = shape.bytes(info.dtype.size());
    let wanted = layout.base.saturating_add(bytes);
    if data.len() < wanted {
        return Err(SceneError::malformed(
            data.name(),
            format!(
                "the header says {} rows × {} columns × {} bands of {} after {} bytes, {wanted} bytes in all, but the file \
                 has {}; it is cut short or the header belongs to another file",
                info.rows,
                info.cols,
                info.bands,
                info.dtype.name(),
                layout.base,
                data.len()
            ),
        ));
    }
    if data.len() > wanted {
        info.notes.push(format!("{} bytes after the last sample, ignored", data.len() - wanted));
    }
    Ok(StridedCube { info, source: data.clone(), layout })
}

fn sample_type(name: &str, code: u64) -> Result<SampleType, SceneError> {
    Ok(match code {
        1 => SampleType::U8,
        2 => SampleType::I16,
        3 => SampleType::I32,
        4 => SampleType::F32,
        5 => SampleType::F64,
        12 => SampleType::U16,
        13 => SampleType::U32,
        14 => SampleType::I64,
        15 => SampleType::U64,
        6 | 9 => {
            return Err(SceneError::unsupported(
                name,
                format!(
                    "the samples are complex numbers (data type {code}); save their real part or magnitude instead"
                ),
            ));
        }
        _ => {
            return Err(SceneError::malformed(
                name,
                format!("`data type = {code}` is not an ENVI type; 1, 2, 3, 4, 5, 12, 13, 14 and 15 can be opened"),
            ));
        }
    })
}

/// Refuses what ENVI calls an image but is none, and tells whether the file is a classification.
fn file_type(name: &str, header: &Header) -> Result<Kind, SceneError> {
    let file_type = header.text("file type").unwrap_or("ENVI Standard").to_lowercase();
    if file_type.contains("spectral library") {
        let what = "this is a spectral library (a table of spectra), not an image; choose an image cube instead";
        return Err(SceneError::unsupported(name, what));
    }
    if file_type.contains("meta") || file_type.contains("virtual") {
        let what = "this header only points to other files; open those instead";
        return Err(SceneError::unsupported(name, what));
    }
    if header.optional_count("file compression")?.is_some_and(|compression| compression != 0) {
        let what = "the data file is compressed; save it uncompressed in ENVI";
        return Err(SceneError::unsupported(name, what));
    }
    Ok(if file_type.contains("classification") { Kind::Labels } else { Kind::Cube })
}

fn describe(name: &str, header: &Header) -> Result<Description, SceneError> {
    let mut kind = file_type(name, header)?;
    let mut notes = Vec::new();
    let (cols, rows, bands) = (header.count("samples")?, header.count("lines")?, header.count("bands")?);
    let shape = Shape::checked(name, rows, cols, bands)?;
    let dtype = sample_type(name, header.count("data type")?)?;

    let interleave = match header.text("interleave").map(str::to_lowercase).as_deref() {
        Some("bsq") => Interleave::Bsq,
        Some("bil") => Interleave::Bil,
        Some("bip") => Interleave::Bip,
        None if bands == 1 => Interleave::Bsq,
        None => {
            let what = "the header has no `interleave`; add `interleave = bsq`, `bil` or `bip`";
            return Err(SceneError::malformed(name, what));
        }
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            let what = format!("`interleave = {shown}` is none of bsq, bil and bip; correct the header");
            return Err(SceneError::malformed(name, what));
        }
    };
    let strides = match interleave {
        Interleave::Bil => [cols * bands, 1, cols],
        Interleave::Bip => [cols * bands, bands, 1],
        Interleave::Bsq | Interleave::ColumnMajor => [cols, 1, rows * cols],
    };
    let endian = match header.optional_count("byte order")? {
        Some(0) => Endian::Little,
        Some(1) => Endian::Big,
        None => {
            if dtype.size() > 1 {
                notes.push("the header has no `byte order`, taken as little-endian".to_owned());
            }
            Endian::Little
        }
        Some(order) => {
            let what = format!("`byte order = {order}` is neither 0 (little-endian) nor 1 (big-endian)");
            return Err(SceneError::malformed(name, what));
        }
    };
    let wavelengths_nm = header.numbers("wavelength")?.and_then(|values| {
        let (wavelengths, note) = to_nanometres(&values, header.text("wavelength units"), shape.bands);
        notes.extend(note);
        wavelengths
    });
    let good_bands = match header.numbers("bbl")? {
        Some(list) if list.len() == shape.bands => list.iter().map(|&good| good != 0.0).collect(),
        list => {
            if let Some(list) = list {
                notes.push(format!("a bad-band list of {} entries for {bands} bands, ignored", list.len()));
            }
            vec![true; shape.bands]
        }
    };
    let class_names = header.list("class names").map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
    let class_colors = class_colors(header, &mut notes);
    if shape.bands == 1 && dtype.is_integer() && class_names.is_some() {
        kind = Kind::Labels;
    }
    let geo = GeoReference {
        map_info: header.text("map info").map(str::to_owned),
        coordinate_system: header.text("coordinate system string").map(str::to_owned),
    };
    let info = SceneInfo {
        name: name.to_owned(),
        format: Format::Envi,
        variable: None,
        rows: shape.rows,
        cols: shape.cols,
        bands: shape.bands,
        dtype,
        interleave,
        wavelengths_nm,
        nodata: header.number("data ignore value")?.map(|value| nodata_as_stored(value, dtype)),
        good_bands,
        kind,
        class_names,
        class_colors,
        geo: (geo.map_info.is_some() || geo.coordinate_system.is_some()).then_some(geo),
        notes,
    };
    let base = header.optional_count("header offset")?.unwrap_or(0);
    Ok(Description { info, shape, layout: Layout { base, strides, stored: Stored { sample: dtype, endian } } })
}

/// Red, green and blue of each class.
fn class_colors(header: &Header, notes: &mut Vec<String>) -> Option<Vec<[u8; 3]>> {
    let items = header.list("class lookup")?;
    let bytes: Option<Vec<u8>> = items.iter().map(|item| item.parse().ok()).collect();
    match bytes {
        Some(bytes) if bytes.len() % 3 == 0 => Some(bytes.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect()),
        _ => {
            notes.push("a class lookup that is not a list of red, green, blue from 0 to 255, ignored".to_owned());
            None
        }
    }
}
