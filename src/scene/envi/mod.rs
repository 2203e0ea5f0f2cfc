//! ENVI: a text header beside a flat file of samples.
//!
//! Format: "ENVI Header Files" and "ENVI Image Files" in the ENVI documentation (NV5 Geospatial).

mod companion;
mod frames;
mod header;
mod optional;
mod sidecar;

pub(crate) use companion::find_data;
// Only a program that sees folders can look for the header of a data file.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use companion::find_header;
use frames::{Frames, Placed};
use header::Header;
pub(crate) use header::is_envi;
pub(crate) use sidecar::Sidecar;

use super::samples::{Endian, Stored};
use super::shape::Shape;
use super::strided::StridedCube;
use super::{Format, GeoReference, Interleave, Kind, SampleType, SceneError, SceneInfo, SharedSource};

/// What a header says, before the data file is looked at.
struct Description {
    info: SceneInfo,
    header_offset: u64,
    frames: Frames,
    placed: Placed,
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
    let Description { mut info, header_offset, frames, placed } = describe(name, &read_header(header)?)?;
    let Some(data) = data else {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        return Err(SceneError::MissingCompanion {
            name: name.to_owned(),
            what: format!(
                "the data file is missing; choose it together with the header ({stem}.img, {stem}.dat or the like)"
            ),
        });
    };
    if data.len() < placed.needed {
        return Err(SceneError::malformed(
            data.name(),
            format!(
                "the header says {} rows × {} columns × {} bands of {} after {header_offset} bytes{}, {} bytes in all, but \
                 the file has {}; it is cut short or the header belongs to another file",
                info.rows,
                info.cols,
                info.bands,
                info.dtype.name(),
                if frames.any() { " and with frame offsets" } else { "" },
                placed.total,
                data.len()
            ),
        ));
    }
    if frames.any() {
        info.notes.push(
            "the frame offsets of the header are applied: extra bytes around lines, bands or pixels are skipped"
                .to_owned(),
        );
    }
    if data.len() > placed.total {
        let rest = size_text(data.len() - placed.total);
        info.notes.push(format!("the file is {rest} longer than the header says; the rest was ignored"));
    }
    Ok(StridedCube { info, source: data.clone(), layout: placed.layout })
}

/// A size for people: exact where it is small.
fn size_text(bytes: u64) -> String {
    match bytes as f64 {
        1.0 => "1 byte".to_owned(),
        few if few < 1e4 => format!("{bytes} bytes"),
        some if some < 1e6 => format!("{:.0} kB", some / 1e3),
        many if many < 1e9 => format!("{:.1} MB", many / 1e6),
        huge => format!("{:.1} GB", huge / 1e9),
    }
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
                format!("\"data type = {code}\" is not an ENVI type; 1, 2, 3, 4, 5, 12, 13, 14 and 15 can be opened"),
            ));
        }
    })
}

/// Refuses what ENVI calls an image but is none, and tells whether the file is a classification.
fn file_type(name: &str, header: &Header) -> Result<Kind, SceneError> {
    let file_type = header.word("file type").unwrap_or("ENVI Standard").to_lowercase();
    if file_type.contains("spectral library") {
        let what = "this is a spectral library (a table of spectra), not an image; choose an image cube instead";
        return Err(SceneError::unsupported(name, what));
    }
    if file_type.contains("meta") || file_type.contains("virtual") {
        let what = "this header only points to other files; open those instead";
        return Err(SceneError::unsupported(name, what));
    }
    if header.word("file compression").is_some_and(|compression| compression != "0") {
        let what = "the data file is compressed; save it uncompressed in ENVI";
        return Err(SceneError::unsupported(name, what));
    }
    Ok(if file_type.contains("classification") { Kind::Labels } else { Kind::Cube })
}

fn interleave(name: &str, header: &Header, bands: u64) -> Result<Interleave, SceneError> {
    Ok(match header.word("interleave").map(str::to_lowercase).as_deref() {
        Some("bsq") => Interleave::Bsq,
        Some("bil") => Interleave::Bil,
        Some("bip") => Interleave::Bip,
        None if bands == 1 => Interleave::Bsq,
        None => {
            let what = "the header has no \"interleave\"; add \"interleave = bsq\", \"bil\" or \"bip\"";
            return Err(SceneError::malformed(name, what));
        }
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            let what = format!("\"interleave = {shown}\" is none of bsq, bil and bip; correct the header");
            return Err(SceneError::malformed(name, what));
        }
    })
}

fn endian(name: &str, header: &Header, dtype: SampleType, notes: &mut Vec<String>) -> Result<Endian, SceneError> {
    match header.optional_count("byte order")? {
        Some(0) => Ok(Endian::Little),
        Some(1) => Ok(Endian::Big),
        None => {
            if dtype.size() > 1 {
                notes.push("the header does not state its byte order, taken as little-endian".to_owned());
            }
            Ok(Endian::Little)
        }
        Some(order) => {
            let what = format!("\"byte order = {order}\" is neither 0 (little-endian) nor 1 (big-endian)");
            Err(SceneError::malformed(name, what))
        }
    }
}

fn describe(name: &str, header: &Header) -> Result<Description, SceneError> {
    let mut kind = file_type(name, header)?;
    let mut notes = header.notes.clone();
    let (cols, rows, bands) = (header.count("samples")?, header.count("lines")?, header.count("bands")?);
    let shape = Shape::checked(name, rows, cols, bands)?;
    let dtype = sample_type(name, header.count("data type")?)?;
    let interleave = interleave(name, header, bands)?;
    let stored = Stored { sample: dtype, endian: endian(name, header, dtype, &mut notes)? };
    let header_offset = header.optional_count("header offset")?.unwrap_or(0);
    let frames = Frames::read(name, header)?;
    let placed = frames.place(header_offset, shape, interleave, stored).ok_or_else(|| {
        SceneError::malformed(name, "the header offset or the frame offsets are beyond any file; correct the header")
    })?;

    let fields = optional::band_fields(header, shape.bands, &mut notes);
    let class_names = optional::class_names(header);
    if shape.bands == 1 && dtype.is_integer() && class_names.is_some() {
        kind = Kind::Labels;
    }
    let geo = GeoReference {
        map_info: optional::map_info(header, &mut notes),
        coordinate_system: header.text("coordinate system string").map(str::to_owned),
    };
    optional::scale_note(header, &mut notes);
    let info = SceneInfo {
        name: name.to_owned(),
        format: Format::Envi,
        variable: None,
        rows: shape.rows,
        cols: shape.cols,
        bands: shape.bands,
        dtype,
        interleave,
        wavelengths_nm: fields.wavelengths_nm,
        fwhm_nm: fields.fwhm_nm,
        band_names: fields.band_names,
        nodata: optional::nodata(header, dtype, &mut notes),
        good_bands: fields.good_bands.unwrap_or_else(|| vec![true; shape.bands]),
        kind,
        class_names,
        class_colors: optional::class_colors(header, &mut notes),
        geo: (geo.map_info.is_some() || geo.coordinate_system.is_some()).then_some(geo),
        notes,
    };
    Ok(Description { info, header_offset, frames, placed })
}

#[cfg(test)]
mod tests {
    use super::size_text;

    #[test]
    fn sizes_for_people() {
        let said = [1, 1000, 1_225_472, 3_456_789_012].map(size_text);
        assert_eq!(said, ["1 byte", "1000 bytes", "1.2 MB", "3.5 GB"]);
    }
}
