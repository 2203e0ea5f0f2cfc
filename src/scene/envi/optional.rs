//! Fields that a scene can do without: a broken one costs a note, not the file.

use super::super::SampleType;
use super::super::samples::nodata_as_stored;
use super::super::wavelength::{to_nanometres, widths_to_nanometres};
use super::header::Header;

/// What a header says about the bands.
#[derive(Debug, Default)]
pub(super) struct BandFields {
    pub wavelengths_nm: Option<Vec<f64>>,
    pub fwhm_nm: Option<Vec<f64>>,
    pub band_names: Option<Vec<String>>,
    pub good_bands: Option<Vec<bool>>,
}

/// A list of numbers; a list that is none is said and left out.
fn numbers(header: &Header, key: &str, notes: &mut Vec<String>) -> Option<Vec<f64>> {
    match header.numbers(key)? {
        Ok(list) => Some(list),
        Err(item) => {
            notes.push(format!(
                "the list \"{key}\" in the header holds {item}, which is not a number; the list is ignored"
            ));
            None
        }
    }
}

/// Reads the fields of `bands` bands.
pub(super) fn band_fields(header: &Header, bands: usize, notes: &mut Vec<String>) -> BandFields {
    let mut fields = BandFields::default();
    let unit = header.word("wavelength units");
    let centres = numbers(header, "wavelength", notes);
    if let Some(centres) = &centres {
        let (wavelengths, note) = to_nanometres(centres, unit, bands);
        fields.wavelengths_nm = wavelengths;
        notes.extend(note);
    }
    if let (Some(centres), Some(widths)) = (&centres, numbers(header, "fwhm", notes))
        && fields.wavelengths_nm.is_some()
    {
        let (widths, note) = widths_to_nanometres(&widths, centres, unit);
        fields.fwhm_nm = widths;
        notes.extend(note);
    }
    match numbers(header, "bbl", notes) {
        Some(list) if list.len() == bands => fields.good_bands = Some(list.iter().map(|&good| good != 0.0).collect()),
        Some(list) => notes.push(format!("a bad-band list of {} entries for {bands} bands, ignored", list.len())),
        None => {}
    }
    match header.list("band names") {
        Some(names) if names.len() == bands => {
            fields.band_names = Some(names.into_iter().map(one_line).collect());
        }
        // A name may hold a comma; nothing depends on the names, so this is not worth a note.
        _ => {}
    }
    fields
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The value that means "no data".
pub(super) fn nodata(header: &Header, dtype: SampleType, notes: &mut Vec<String>) -> Option<f64> {
    let text = header.word("data ignore value")?;
    let value = text.parse().ok();
    if value.is_none() {
        let shown: String = text.chars().take(40).collect();
        notes.push(format!("the no-data value {shown} in the header is not a number, ignored"));
    }
    value.map(|value| nodata_as_stored(value, dtype))
}

/// Names of the classes, the unlabelled one included.
pub(super) fn class_names(header: &Header) -> Option<Vec<String>> {
    Some(header.list("class names")?.into_iter().map(one_line).collect())
}

/// Red, green and blue of each class.
pub(super) fn class_colors(header: &Header, notes: &mut Vec<String>) -> Option<Vec<[u8; 3]>> {
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

/// The map info, if it has a projection and the six numbers of a grid; it is written out again with maps.
pub(super) fn map_info(header: &Header, notes: &mut Vec<String>) -> Option<String> {
    let text = header.text("map info")?;
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    let grid = items.get(1..7).is_some_and(|grid| grid.iter().all(|item| item.parse().is_ok_and(f64::is_finite)));
    if !grid {
        notes.push("the map info in the header is not a projection and a grid, ignored; maps have no place".to_owned());
    }
    grid.then(|| text.to_owned())
}

/// Says that samples are stored in other units than physical ones: they are read as they are.
pub(super) fn scale_note(header: &Header, notes: &mut Vec<String>) {
    let keys = [
        ("reflectance scale factor", 1.0),
        ("data gain values", 1.0),
        ("data offset values", 0.0),
        ("data reflectance gain values", 1.0),
        ("data reflectance offset values", 0.0),
    ];
    let scales = |&&(key, neutral): &&(&str, f64)| {
        header.numbers(key).is_some_and(|list| list.is_ok_and(|list| list.iter().any(|&number| number != neutral)))
    };
    let found: Vec<&str> = keys.iter().filter(scales).map(|(key, _)| *key).collect();
    if !found.is_empty() {
        notes.push(format!("the header states {}, which are not applied: samples are as stored", found.join(" and ")));
    }
}
