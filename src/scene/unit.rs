//! Units of the spectral axis, as headers name them.
//!
//! ENVI knows Micrometers, Nanometers, Millimeters, Centimeters, Meters, Wavenumber, Angstroms, GHz, MHz, Index and
//! Unknown; programs write them with symbols, brackets and words around them.

/// Speed of light, metres per second.
const LIGHT: f64 = 299_792_458.0;

/// A unit of the spectral axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    /// A length of that many nanometres.
    Length(f64),
    /// Waves per length of that many nanometres: cm⁻¹ is 10⁷.
    Wavenumber(f64),
    /// That many hertz.
    Frequency(f64),
    /// Not a measure: band numbers.
    Index,
}

impl Unit {
    pub const NANOMETRE: Self = Self::Length(1.0);
    pub const MICROMETRE: Self = Self::Length(1e3);

    /// Reads the unit out of a text such as "Wavenumber (cm-1)", "Nanometers [nm]" or "λ / µm"; `None` where no unit, or
    /// more than one, is named.
    pub fn parse(text: &str) -> Option<Self> {
        let words = words(text);
        let alone = words.len() == 1;
        let mut found: Option<Self> = None;
        let mut inverse = false;
        for (at, word) in words.iter().enumerate() {
            let next = words.get(at + 1).map(String::as_str);
            let unit = match word.as_str() {
                "per" | "inverse" | "reciprocal" => {
                    inverse = true;
                    continue;
                }
                "1" if next == Some("/") => {
                    inverse = true;
                    continue;
                }
                // Seconds after a stroke: a speed is no unit of a spectrum.
                "s" | "sec" | "second" | "seconds" => return None,
                "a" if !alone => continue,
                // "Wave number".
                "wave" if next.is_some_and(|next| next.starts_with("number")) => Self::Wavenumber(1e7),
                word => match (unit_word(word), inverse || next == Some("-1")) {
                    (Some(Self::Length(nm)), true) => Self::Wavenumber(nm),
                    (Some(_), true) => return None,
                    (Some(unit), false) => unit,
                    (None, _) => continue,
                },
            };
            inverse = false;
            match found {
                // "Wavenumber" alone means cm⁻¹; "Wavenumber (m-1)" names its unit behind it.
                Some(Self::Wavenumber(_)) if matches!(unit, Self::Wavenumber(_)) => found = Some(unit),
                Some(other) if other != unit => return None,
                _ => found = Some(unit),
            }
        }
        found
    }

    /// A band centre in nanometres; `None` for band numbers.
    pub fn to_nm(self, value: f64) -> Option<f64> {
        match self {
            Self::Length(nm) => Some(value * nm),
            Self::Wavenumber(nm) => Some(nm / value),
            Self::Frequency(hertz) => Some(LIGHT * 1e9 / hertz / value),
            Self::Index => None,
        }
    }

    /// A width around a centre in nanometres; `None` where it is not positive or reaches beyond zero.
    ///
    /// Where the axis runs against wavelength, the width is the distance of the two edges: 10 cm⁻¹ are 25 nm at 5 µm
    /// and 0.6 nm at 800 nm.
    pub fn width_to_nm(self, width: f64, centre: f64) -> Option<f64> {
        if width.is_nan() || width <= 0.0 {
            return None;
        }
        match self {
            Self::Length(nm) => Some(width * nm),
            Self::Wavenumber(_) | Self::Frequency(_) if width < 2.0 * centre => {
                Some(self.to_nm(centre - width / 2.0)? - self.to_nm(centre + width / 2.0)?)
            }
            _ => None,
        }
    }
}

/// Words in lower case, with the stroke and the exponent -1 as words of their own; brackets and other signs separate.
fn words(text: &str) -> Vec<String> {
    // The micro sign and the Greek letter, superscripts, the ångström with its ring apart.
    let plain: String = text
        .to_lowercase()
        .replace("a\u{30a}", "å")
        .chars()
        .map(|c| match c {
            'µ' | 'μ' => 'u',
            '⁻' | '−' | '–' => '-',
            '¹' => '1',
            c => c,
        })
        .collect();
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = plain.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        match c {
            '/' => words.push("/".to_owned()),
            '-' if chars.peek() == Some(&'1') => {
                chars.next();
                words.push("-1".to_owned());
            }
            _ => {}
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// One word as a unit: a symbol, or a name in either spelling and number.
fn unit_word(word: &str) -> Option<Unit> {
    Some(match word {
        "nm" => Unit::NANOMETRE,
        "um" | "micron" | "microns" => Unit::MICROMETRE,
        "mm" => Unit::Length(1e6),
        "cm" => Unit::Length(1e7),
        "m" => Unit::Length(1e9),
        "å" | "a" | "ang" => Unit::Length(0.1),
        "wavenumber" | "wavenumbers" => Unit::Wavenumber(1e7),
        "index" | "indices" | "indexes" => Unit::Index,
        _ => return named_length(word).or_else(|| frequency(word)),
    })
}

fn named_length(word: &str) -> Option<Unit> {
    let singular = word.strip_suffix('s').unwrap_or(word);
    if ["angstrom", "ångstrom", "ångström", "angström"].contains(&singular) {
        return Some(Unit::Length(0.1));
    }
    let prefix = singular.strip_suffix("meter").or_else(|| singular.strip_suffix("metre"))?;
    Some(Unit::Length(match prefix {
        "" => 1e9,
        "nano" => 1.0,
        "micro" => 1e3,
        "milli" => 1e6,
        "centi" => 1e7,
        _ => return None,
    }))
}

fn frequency(word: &str) -> Option<Unit> {
    let prefix = word.strip_suffix("hertz").or_else(|| word.strip_suffix("hz"))?;
    Some(Unit::Frequency(match prefix {
        "" => 1.0,
        "k" | "kilo" => 1e3,
        "m" | "mega" => 1e6,
        "g" | "giga" => 1e9,
        "t" | "tera" => 1e12,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_envi_with_and_without_words_around_it() {
        let per_cm = Unit::Wavenumber(1e7);
        for (texts, unit) in [
            (
                &["Nanometers", "nm", "NM", "Nanometers [nm]", "Wavelength (nm)", "λ/nm", "wavelength_nm", "nm."][..],
                Unit::NANOMETRE,
            ),
            (&["Micrometers", "um", "µm", "μm", "Micrometers (um)", "microns", "Micrometres, µm"], Unit::MICROMETRE),
            (&["Millimeters", "mm"], Unit::Length(1e6)),
            (&["Centimeters", "cm"], Unit::Length(1e7)),
            (&["Meters", "m", "metre"], Unit::Length(1e9)),
            (&["Angstroms", "Å", "A\u{30a}", "\u{212b}", "Ångström", "A", "Angstroms (A)"], Unit::Length(0.1)),
            (
                &[
                    "Wavenumber",
                    "wavenumbers",
                    "Wavenumber (cm-1)",
                    "cm-1",
                    "cm^-1",
                    "cm⁻¹",
                    "cm**-1",
                    "cm^{-1}",
                    "1/cm",
                    "1 / cm",
                    "per cm",
                    "Inverse centimeters",
                    "Wave number [1/cm]",
                    "wavenumber/cm-1",
                    "cm -1",
                ],
                per_cm,
            ),
            (&["m-1", "Wavenumber (m-1)"], Unit::Wavenumber(1e9)),
            (&["GHz", "Gigahertz", "Frequency (GHz)"], Unit::Frequency(1e9)),
            (&["MHz", "megahertz"], Unit::Frequency(1e6)),
            (&["THz"], Unit::Frequency(1e12)),
            (&["Index", "Band index"], Unit::Index),
        ] {
            for text in texts {
                assert_eq!(Unit::parse(text), Some(unit), "{text}");
            }
        }
        for text in ["", "Unknown", "eV", "nm (um)", "m/s", "GHz-1", "gnanometers", "parsec"] {
            assert_eq!(Unit::parse(text), None, "{text}");
        }
    }

    #[test]
    fn frequencies_become_lengths() {
        assert!(Unit::Frequency(1e9).to_nm(300.0).is_some_and(|nm| (nm - 999_308.193).abs() < 0.001));
        assert!(Unit::Frequency(1e6).to_nm(300_000.0).is_some_and(|nm| (nm - 999_308.193).abs() < 0.001));
    }
}
