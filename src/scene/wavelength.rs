//! Band centres in whatever unit a header uses, as nanometres.

/// A unit of the spectral axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanometre,
    Micrometre,
    /// Wavenumber, cm⁻¹.
    PerCentimetre,
    Gigahertz,
    Megahertz,
    /// Not a length: band indices.
    Index,
}

impl Unit {
    /// Reads the unit as ENVI and GDAL write it; `None` when it says nothing.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.trim().to_lowercase().as_str() {
            "nm" | "nanometer" | "nanometers" | "nanometre" | "nanometres" => Self::Nanometre,
            "um" | "µm" | "μm" | "micrometer" | "micrometers" | "micrometre" | "micrometres" | "micron" | "microns" => {
                Self::Micrometre
            }
            "wavenumber" | "wavenumbers" | "cm-1" | "1/cm" | "cm^-1" => Self::PerCentimetre,
            "ghz" | "gigahertz" => Self::Gigahertz,
            "mhz" | "megahertz" => Self::Megahertz,
            "index" => Self::Index,
            _ => return None,
        })
    }

    fn to_nm(self, value: f64) -> Option<f64> {
        match self {
            Self::Nanometre => Some(value),
            Self::Micrometre => Some(value * 1e3),
            Self::PerCentimetre => Some(1e7 / value),
            Self::Gigahertz => Some(299_792_458.0 / value),
            Self::Megahertz => Some(299_792_458.0e3 / value),
            Self::Index => None,
        }
    }
}

/// Turns band centres into nanometres; the second value says what was assumed or why they were left out.
///
/// Without a unit, centres all between 0.1 and 100 are micrometres and above that nanometres: no imaging
/// spectrometer works below 100 nm or beyond 100 µm.
pub(crate) fn to_nanometres(values: &[f64], unit: Option<&str>, bands: usize) -> (Option<Vec<f64>>, Option<String>) {
    if values.len() != bands {
        let note = format!("{} wavelengths for {bands} bands, ignored", values.len());
        return (None, Some(note));
    }
    if values.iter().any(|value| !value.is_finite() || *value <= 0.0) {
        return (None, Some("wavelengths that are not positive, ignored".to_owned()));
    }
    let (unit, note) = match unit.and_then(Unit::parse) {
        Some(Unit::Index) => return (None, Some("wavelengths are only band indices, ignored".to_owned())),
        Some(unit) => (unit, None),
        None if values.iter().all(|value| (0.1..100.0).contains(value)) => {
            (Unit::Micrometre, Some("wavelengths without a unit, taken as micrometres".to_owned()))
        }
        None if values.iter().all(|value| (100.0..100_000.0).contains(value)) => {
            (Unit::Nanometre, Some("wavelengths without a unit, taken as nanometres".to_owned()))
        }
        None => return (None, Some("wavelengths in an unknown unit, ignored".to_owned())),
    };
    (values.iter().map(|&value| unit.to_nm(value)).collect(), note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_nanometres() {
        assert_eq!(to_nanometres(&[0.5], Some("Micrometers"), 1), (Some(vec![500.0]), None));
        assert_eq!(to_nanometres(&[10_000.0], Some("Wavenumber"), 1), (Some(vec![1000.0]), None));
        assert_eq!(to_nanometres(&[500.0], Some("Nanometers"), 1), (Some(vec![500.0]), None));
        let (guessed, note) = to_nanometres(&[0.4, 2.5], None, 2);
        assert_eq!(guessed, Some(vec![400.0, 2500.0]));
        assert!(note.is_some_and(|note| note.contains("micrometres")));
        assert_eq!(to_nanometres(&[1.0], Some("nm"), 2).0, None);
        assert_eq!(to_nanometres(&[f64::NAN], Some("nm"), 1).0, None);
        assert_eq!(to_nanometres(&[1.0], Some("Index"), 1).0, None);
    }
}
