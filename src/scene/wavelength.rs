//! Band centres and widths in whatever unit a file uses, as nanometres.

use super::unit::Unit;

/// Where imaging spectrometers work, nanometres: from the ultraviolet to the far infrared.
const PLAUSIBLE_NM: std::ops::RangeInclusive<f64> = 100.0..=100_000.0;

/// What a file says about its unit.
enum Stated<'a> {
    Unit(Unit),
    /// Nothing, or ENVI's "Unknown".
    Nothing,
    /// A text that names no unit known here.
    Other(&'a str),
}

fn stated(text: Option<&str>) -> Stated<'_> {
    match text.map(str::trim) {
        None | Some("") => Stated::Nothing,
        Some(text) if ["unknown", "none", "n/a", "undefined"].contains(&text.to_lowercase().as_str()) => {
            Stated::Nothing
        }
        Some(text) => Unit::parse(text).map_or(Stated::Other(text), Stated::Unit),
    }
}

fn plausible(nanometres: &[f64]) -> bool {
    nanometres.iter().all(|nm| PLAUSIBLE_NM.contains(nm))
}

/// The unit to read band centres in, and what was assumed; `Err` says why they cannot be read.
///
/// Without a unit, centres all between 0.1 and 100 are micrometres and above that nanometres: no imaging
/// spectrometer works below 100 nm or beyond 100 µm.
fn unit_of(values: &[f64], text: Option<&str>) -> Result<(Unit, Option<String>), String> {
    match stated(text) {
        Stated::Unit(Unit::Index) => Err("wavelengths are only band indices, ignored".to_owned()),
        Stated::Unit(unit) => Ok((unit, None)),
        Stated::Other(text) => {
            Err(format!("the wavelength unit \"{}\" is not known, so that the wavelengths are not used", shown(text)))
        }
        Stated::Nothing if values.iter().all(|value| (0.1..100.0).contains(value)) => {
            Ok((Unit::MICROMETRE, Some("wavelengths without a unit, taken as micrometres".to_owned())))
        }
        Stated::Nothing if values.iter().all(|value| (100.0..100_000.0).contains(value)) => {
            Ok((Unit::NANOMETRE, Some("wavelengths without a unit, taken as nanometres".to_owned())))
        }
        Stated::Nothing => Err("wavelengths in an unknown unit, ignored".to_owned()),
    }
}

/// Says when lengths make sense only in a unit a thousand times (or a million times) as large or small.
fn contradiction(values: &[f64], unit: Unit, text: &str, nanometres: &[f64]) -> Option<String> {
    let Unit::Length(_) = unit else { return None };
    if plausible(nanometres) {
        return None;
    }
    let fits = |factor: &f64| plausible(&nanometres.iter().map(|nm| nm * factor).collect::<Vec<_>>());
    let factor = [1e-3, 1e3, 1e-6, 1e6, 1e-9, 1e9].into_iter().find(fits)?;
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let nm = [low, high].map(|value| unit.to_nm(value).unwrap_or(value) * factor);
    Some(format!(
        "wavelengths of {low} to {high} are unlikely in the stated unit, {}; {} to {} nm would fit. They are taken as stated",
        shown(text),
        short(nm[0]),
        short(nm[1])
    ))
}

/// The beginning of a header's own words.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// Two decimals at most.
fn short(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Turns band centres into nanometres; the second value says what was assumed or why they were left out.
pub(crate) fn to_nanometres(values: &[f64], unit: Option<&str>, bands: usize) -> (Option<Vec<f64>>, Option<String>) {
    if values.len() != bands {
        let note = format!("{} wavelengths for {bands} bands, ignored", values.len());
        return (None, Some(note));
    }
    if values.iter().any(|value| !value.is_finite() || *value <= 0.0) {
        return (None, Some("wavelengths that are not positive, ignored".to_owned()));
    }
    let (read_as, note) = match unit_of(values, unit) {
        Ok(found) => found,
        Err(note) => return (None, Some(note)),
    };
    let nanometres: Option<Vec<f64>> = values.iter().map(|&value| read_as.to_nm(value)).collect();
    let Some(nanometres) = nanometres.filter(|list| list.iter().all(|nm| nm.is_finite() && *nm > 0.0)) else {
        return (None, Some("wavelengths beyond any measure, ignored".to_owned()));
    };
    let note = note.or_else(|| contradiction(values, read_as, unit.unwrap_or_default(), &nanometres));
    (Some(nanometres), note)
}

/// Turns widths of bands (FWHM) into nanometres: they are in the unit of the band centres, `values`. `None`, with a
/// reason, where they are not one positive number a band; silent where the centres themselves have no known unit.
pub(crate) fn widths_to_nanometres(
    widths: &[f64],
    values: &[f64],
    unit: Option<&str>,
) -> (Option<Vec<f64>>, Option<String>) {
    if widths.len() != values.len() {
        return (None, Some(format!("{} band widths (FWHM) for {} bands, ignored", widths.len(), values.len())));
    }
    let Ok((unit, _)) = unit_of(values, unit) else { return (None, None) };
    let convert = |(&width, &centre): (&f64, &f64)| unit.width_to_nm(width, centre).filter(|nm| nm.is_finite());
    match widths.iter().zip(values).map(convert).collect::<Option<Vec<f64>>>() {
        Some(nanometres) => (Some(nanometres), None),
        None => (None, Some("band widths (FWHM) that are not positive, or wider than their place, ignored".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_nanometres() {
        assert_eq!(to_nanometres(&[0.5], Some("Micrometers"), 1), (Some(vec![500.0]), None));
        assert_eq!(to_nanometres(&[10_000.0], Some("Wavenumber"), 1), (Some(vec![1000.0]), None));
        assert_eq!(to_nanometres(&[500.0], Some("Nanometers"), 1), (Some(vec![500.0]), None));
        assert_eq!(to_nanometres(&[5000.0], Some("Angstroms"), 1), (Some(vec![500.0]), None));
        let (guessed, note) = to_nanometres(&[0.4, 2.5], None, 2);
        assert_eq!(guessed, Some(vec![400.0, 2500.0]));
        assert!(note.is_some_and(|note| note.contains("micrometres")));
        assert_eq!(to_nanometres(&[0.4, 2.5], Some("Unknown"), 2), to_nanometres(&[0.4, 2.5], None, 2));
        assert_eq!(to_nanometres(&[1.0], Some("nm"), 2).0, None);
        assert_eq!(to_nanometres(&[f64::NAN], Some("nm"), 1).0, None);
        assert_eq!(to_nanometres(&[1.0], Some("Index"), 1).0, None);
        assert_eq!(to_nanometres(&[1e-320], Some("cm-1"), 1).0, None);
    }

    #[test]
    fn an_unknown_unit_is_named_and_nothing_is_guessed() {
        for unit in ["Electron volts", "furlongs", "nm or um", "m/s"] {
            let (nanometres, note) = to_nanometres(&[450.0, 800.0], Some(unit), 2);
            assert_eq!(nanometres, None, "{unit}");
            assert!(note.is_some_and(|note| note.contains(unit)), "{unit}");
        }
    }

    #[test]
    fn a_unit_that_the_numbers_contradict_is_said() {
        for (values, unit, fit) in [
            ([450.0, 800.0], "Micrometers", "450 to 800 nm"),
            ([0.45, 0.8], "Nanometers", "450 to 800 nm"),
            ([450.0, 800.0], "Meters", "450 to 800 nm"),
        ] {
            let (nanometres, note) = to_nanometres(&values, Some(unit), 2);
            assert!(nanometres.is_some());
            let note = note.unwrap_or_default();
            assert!(note.contains(fit) && note.contains(unit), "{note}");
        }
        // Thermal infrared and terahertz as they should be.
        assert_eq!(to_nanometres(&[8.0, 14.0], Some("um"), 2).1, None);
        assert_eq!(to_nanometres(&[300.0, 900.0], Some("GHz"), 2).1, None);
    }

    #[test]
    fn widths_follow_their_centres() {
        assert_eq!(widths_to_nanometres(&[0.01], &[0.5], Some("Micrometers")), (Some(vec![10.0]), None));
        assert_eq!(widths_to_nanometres(&[0.01], &[0.5], None), (Some(vec![10.0]), None));
        // 10 cm⁻¹ around 2000 cm⁻¹ reach from 4987.53 to 5012.53 nm.
        let (widths, _) = widths_to_nanometres(&[10.0], &[2000.0], Some("Wavenumber (cm-1)"));
        assert!(widths.is_some_and(|widths| (widths[0] - (1e7 / 1995.0 - 1e7 / 2005.0)).abs() < 1e-9));
        assert!(widths_to_nanometres(&[5000.0], &[2000.0], Some("cm-1")).1.is_some());
        assert!(widths_to_nanometres(&[1.0, 2.0], &[500.0], Some("nm")).1.is_some_and(|note| note.contains('2')));
        assert_eq!(widths_to_nanometres(&[1.0], &[500.0], Some("furlongs")), (None, None));
    }
}
