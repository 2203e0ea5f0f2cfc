//! GDAL's own tag: an XML list of items, some of them for one band each.

use super::super::wavelength::to_nanometres;

/// What the items say about the bands.
#[derive(Debug, Default, PartialEq)]
pub(super) struct BandMetadata {
    pub wavelengths_nm: Option<Vec<f64>>,
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

/// Reads wavelengths and bad bands of `bands` bands.
pub(super) fn band_metadata(xml: &str, bands: usize) -> BandMetadata {
    let mut wavelengths = vec![f64::NAN; bands];
    let mut good = vec![true; bands];
    let (mut unit, mut listed, mut micrometres) = (None, false, 0);
    for (name, sample, text) in items(xml) {
        let number = text.parse::<f64>();
        match (name.to_lowercase().as_str(), sample.filter(|&band| band < bands)) {
            ("wavelength", Some(band)) => wavelengths[band] = number.unwrap_or(f64::NAN),
            // GDAL 3.10 and later, domain IMAGERY.
            ("central_wavelength_um", Some(band)) if wavelengths[band].is_nan() => {
                wavelengths[band] = number.unwrap_or(f64::NAN);
                micrometres += 1;
            }
            ("wavelength_units" | "wavelength_unit", _) => unit = Some(text),
            ("bbl", Some(band)) => {
                good[band] = number != Ok(0.0);
                listed = true;
            }
            _ => {}
        }
    }
    if micrometres == bands {
        unit = Some("um".to_owned());
    }
    let mut metadata = BandMetadata { good_bands: listed.then_some(good), ..BandMetadata::default() };
    if wavelengths.iter().any(|wavelength| !wavelength.is_nan()) {
        let (wavelengths, note) = to_nanometres(&wavelengths, unit.as_deref(), bands);
        metadata.wavelengths_nm = wavelengths;
        metadata.notes.extend(note);
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
            <Item name="wavelength" sample="1">0.6</Item><Item name="bbl" sample="1">0</Item>
            <Item name="wavelength" sample="9">7</Item></GDALMetadata>"#;
        let metadata = band_metadata(xml, 2);
        assert_eq!(metadata.wavelengths_nm, Some(vec![500.0, 600.0]));
        assert_eq!(metadata.good_bands, Some(vec![true, false]));
        assert_eq!(band_metadata("<Item name=\"wavelength\" sample=\"0\">1", 1).wavelengths_nm, None);
        assert_eq!(band_metadata("nothing", 1), BandMetadata::default());
    }
}
