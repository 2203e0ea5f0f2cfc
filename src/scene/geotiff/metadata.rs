//! GDAL's own tag: an XML list of items, some of them for one band each.

use super::super::wavelength::{to_nanometres, widths_to_nanometres};

/// What the items say about the bands.
#[derive(Debug, Default, PartialEq)]
pub(super) struct BandMetadata {
    pub wavelengths_nm: Option<Vec<f64>>,
    pub fwhm_nm: Option<Vec<f64>>,
    pub band_names: Option<Vec<String>>,
    /// False for bands whose `bbl` item is 0.
    pub good_bands: Option<Vec<bool>>,
    pub notes: Vec<String>,
}

/// `name`, 0-based band if any, and text of each `<Item>`.
fn items(xml: &str) -> impl Iterator<Item = (&str, Option<usize>, String)> {
    xml.split("<Item").skip(1).filter_map(|item| {
        let (attributes, rest) = item.split_once('>')?;
        let text = rest.split_once("</Item>").map_or("", |(text, _)| text);
        let attribute = |name: &str| {
            let (_, value) = attributes.split_once(&format!(" {name}=\""))?;
            value.split_once('"').map(|(value, _)| value)
        };
        let sample = attribute("sample").and_then(|sample| sample.parse().ok());
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
        Some((attribute("name")?, sample, text.trim().to_owned()))
    })
}

/// The least and the greatest of some numbers, as text.
fn range(numbers: &[f64]) -> String {
    let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low == high { format!("{low}") } else { format!("{low} to {high}") }
}

/// Reads the items of `bands` bands; a sample that is no band, `alpha`, is passed over in their count.
pub(super) fn band_metadata(xml: &str, bands: usize, alpha: Option<usize>) -> BandMetadata {
    let (mut wavelengths, mut widths) = (vec![f64::NAN; bands], vec![f64::NAN; bands]);
    let mut good = vec![true; bands];
    let mut names = vec![String::new(); bands];
    let (mut scales, mut offsets) = (Vec::new(), Vec::new());
    let (mut unit, mut listed, mut micrometres) = (None, false, 0);
    for (name, sample, text) in items(xml) {
        let number = text.parse::<f64>();
        let value = number.clone().unwrap_or(f64::NAN);
        let band = sample
            .filter(|&sample| Some(sample) != alpha)
            .map(|sample| if alpha.is_some_and(|alpha| alpha < sample) { sample - 1 } else { sample });
        match (name.to_lowercase().as_str(), band.filter(|&band| band < bands)) {
            ("wavelength", Some(band)) => wavelengths[band] = value,
            ("fwhm", Some(band)) => widths[band] = value,
            // GDAL 3.10 and later, domain IMAGERY.
            ("central_wavelength_um", Some(band)) if wavelengths[band].is_nan() => {
                wavelengths[band] = value;
                micrometres += 1;
            }
            ("fwhm_um", Some(band)) if widths[band].is_nan() => widths[band] = value,
            ("wavelength_units" | "wavelength_unit", _) => unit = Some(text),
            ("bbl", Some(band)) => {
                good[band] = number != Ok(0.0);
                listed = true;
            }
            ("description", Some(band)) => names[band] = text,
            ("scale", Some(_)) if value.is_finite() => scales.push(value),
            ("offset", Some(_)) if value.is_finite() => offsets.push(value),
            _ => {}
        }
    }
    if micrometres == bands {
        unit = Some("um".to_owned());
    }
    let mut metadata = BandMetadata { good_bands: listed.then_some(good), ..BandMetadata::default() };
    if wavelengths.iter().any(|wavelength| !wavelength.is_nan()) {
        let (nanometres, note) = to_nanometres(&wavelengths, unit.as_deref(), bands);
        metadata.notes.extend(note);
        if nanometres.is_some() && widths.iter().any(|width| !width.is_nan()) {
            let (widths, note) = widths_to_nanometres(&widths, &wavelengths, unit.as_deref());
            metadata.fwhm_nm = widths;
            metadata.notes.extend(note);
        }
        metadata.wavelengths_nm = nanometres;
    }
    metadata.band_names = (bands > 0 && names.iter().all(|name| !name.is_empty())).then_some(names);
    if scales.iter().any(|&scale| scale != 1.0) || offsets.iter().any(|&offset| offset != 0.0) {
        let or = |numbers: Vec<f64>, neutral: f64| range(&if numbers.is_empty() { vec![neutral] } else { numbers });
        metadata.notes.push(format!(
            "the file states a scale of {} and an offset of {} for its bands, which are not applied: samples are as stored",
            or(scales, 1.0),
            or(offsets, 0.0)
        ));
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wavelengths_and_bad_bands() {
        let xml = r#"<GDALMetadata>
            <Item name="wavelength" sample="0">0.5</Item><Item name="wavelength_units" sample="0">Micrometers</Item>
            <Item name="DESCRIPTION" sample="1" role="description">a &lt; b</Item>
            <Item name="fwhm" sample="0">0.01</Item><Item name="fwhm" sample="1">0.02</Item>
            <Item name="wavelength" sample="1">0.6</Item><Item name="bbl" sample="1">0</Item>
            <Item name="wavelength" sample="9">7</Item></GDALMetadata>"#;
        let metadata = band_metadata(xml, 2, None);
        assert_eq!(metadata.wavelengths_nm, Some(vec![500.0, 600.0]));
        assert_eq!(metadata.fwhm_nm, Some(vec![10.0, 20.0]));
        assert_eq!(metadata.good_bands, Some(vec![true, false]));
        assert_eq!((metadata.band_names, metadata.notes), (None, Vec::new()));
        assert_eq!(band_metadata("<Item name=\"wavelength\" sample=\"0\">1", 1, None).wavelengths_nm, None);
        assert_eq!(band_metadata("nothing", 1, None), BandMetadata::default());
    }

    #[test]
    fn an_alpha_sample_is_not_counted() {
        let xml = r#"<Item name="wavelength" sample="0">500</Item><Item name="bbl" sample="1">0</Item>
            <Item name="wavelength" sample="2">600</Item><Item name="DESCRIPTION" sample="0">a</Item>
            <Item name="DESCRIPTION" sample="1">alpha</Item><Item name="DESCRIPTION" sample="2">b</Item>"#;
        let metadata = band_metadata(xml, 2, Some(1));
        assert_eq!(metadata.wavelengths_nm, Some(vec![500.0, 600.0]));
        assert_eq!(metadata.good_bands, None);
        assert_eq!(metadata.band_names, Some(vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn scales_are_said() {
        let xml = r#"<Item name="SCALE" sample="0" role="scale">0.5</Item><Item name="SCALE" sample="1" role="scale">2</Item>"#;
        let notes = band_metadata(xml, 2, None).notes;
        assert!(notes.len() == 1 && notes[0].contains("scale of 0.5 to 2 and an offset of 0"), "{notes:?}");
        assert_eq!(band_metadata(r#"<Item name="SCALE" sample="0">1</Item>"#, 1, None).notes, [""; 0]);
    }
}
