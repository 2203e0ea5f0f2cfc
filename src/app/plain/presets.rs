//! Which bands make a colour picture.

use crate::scene::SceneInfo;

/// What the picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    TrueColour,
    /// Near infrared as red: vegetation glows.
    Infrared,
    /// Shortwave infrared: soils, moisture, roofs.
    Swir,
    /// One band in grey.
    Band,
}

/// The presets in the order of the control.
pub const ALL: [Preset; 4] = [Preset::TrueColour, Preset::Infrared, Preset::Swir, Preset::Band];

/// A preset is offered when every wanted wavelength has a band at most so far away.
const FARTHEST_NM: f64 = 60.0;
/// The range that scenes without wavelengths are assumed to cover, as most imaging spectrometers do.
const ASSUMED_NM: (f64, f64) = (400.0, 2500.0);

impl Preset {
    pub fn name(self) -> &'static str {
        match self {
            Self::TrueColour => "True colour",
            Self::Infrared => "Infrared",
            Self::Swir => "SWIR",
            Self::Band => "One band",
        }
    }

    /// Its word for scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::TrueColour => "true-colour",
            Self::Infrared => "infrared",
            Self::Swir => "swir",
            Self::Band => "band",
        }
    }

    /// Wavelengths of red, green and blue in nm.
    pub fn wavelengths_nm(self) -> Option<[f64; 3]> {
        match self {
            Self::TrueColour => Some([650.0, 550.0, 450.0]),
            Self::Infrared => Some([860.0, 650.0, 550.0]),
            Self::Swir => Some([2200.0, 1650.0, 860.0]),
            Self::Band => None,
        }
    }
}

fn is_good(info: &SceneInfo, band: usize) -> bool {
    info.good_bands.get(band).copied().unwrap_or(true)
}

/// The bands of a preset, red first; `None` when the scene does not reach its wavelengths (or for [`Preset::Band`]).
pub fn bands(preset: Preset, info: &SceneInfo) -> Option<[usize; 3]> {
    let wanted = preset.wavelengths_nm()?;
    if info.bands < 3 {
        return None;
    }
    match &info.wavelengths_nm {
        Some(wavelengths) => {
            let mut found = [0; 3];
            for (found, wanted) in found.iter_mut().zip(wanted) {
                let (band, distance) = wavelengths
                    .iter()
                    .enumerate()
                    .filter(|&(band, _)| is_good(info, band))
                    .map(|(band, wavelength)| (band, (wavelength - wanted).abs()))
                    .min_by(|a, b| a.1.total_cmp(&b.1))?;
                if distance > FARTHEST_NM {
                    return None;
                }
                *found = band;
            }
            Some(found)
        }
        None => {
            let (from, to) = ASSUMED_NM;
            let last = (info.bands - 1) as f64;
            Some(wanted.map(|wanted| ((wanted - from) / (to - from) * last).round() as usize))
        }
    }
}

/// The preset that a freshly opened scene is shown with.
pub fn first_choice(info: &SceneInfo) -> Preset {
    ALL.into_iter().find(|&preset| bands(preset, info).is_some()).unwrap_or(Preset::Band)
}

/// The band that the slider starts at: a good one in the middle.
pub fn first_band(info: &SceneInfo) -> usize {
    let middle = info.bands / 2;
    (middle..info.bands).chain(0..middle).find(|&band| is_good(info, band)).unwrap_or(0)
}

/// "band 30 · 652.1 nm", 1-based as users count.
pub fn band_name(info: &SceneInfo, band: usize) -> String {
    match info.wavelengths_nm.as_ref().and_then(|wavelengths| wavelengths.get(band)) {
        Some(wavelength) => format!("band {} · {wavelength:.0} nm", band + 1),
        None => format!("band {}", band + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{Format, Interleave, Kind, SampleType};

    fn scene(bands: usize, wavelengths_nm: Option<Vec<f64>>) -> SceneInfo {
        SceneInfo {
            name: "scene".into(),
            format: Format::Teaching,
            variable: None,
            rows: 4,
            cols: 4,
            bands,
            dtype: SampleType::F32,
            interleave: Interleave::Bip,
            wavelengths_nm,
            fwhm_nm: None,
            band_names: None,
            nodata: None,
            good_bands: vec![true; bands],
            kind: Kind::Cube,
            class_names: None,
            class_colors: None,
            geo: None,
            notes: Vec::new(),
        }
    }

    fn even(from: f64, step: f64, bands: usize) -> Option<Vec<f64>> {
        Some((0..bands).map(|band| from + step * band as f64).collect())
    }

    #[test]
    fn the_nearest_good_band_is_taken() {
        let mut info = scene(211, even(400.0, 10.0, 211));
        assert_eq!(bands(Preset::TrueColour, &info), Some([25, 15, 5]));
        assert_eq!(bands(Preset::Swir, &info), Some([180, 125, 46]));
        info.good_bands[25] = false;
        assert_eq!(bands(Preset::TrueColour, &info), Some([24, 15, 5]));
    }

    #[test]
    fn a_preset_out_of_range_is_not_offered() {
        let visible = scene(60, even(400.0, 5.0, 60));
        assert_eq!(bands(Preset::Swir, &visible), None);
        assert_eq!(first_choice(&visible), Preset::TrueColour);
        let swir = scene(50, even(2000.0, 10.0, 50));
        assert_eq!(first_choice(&swir), Preset::Band);
    }

    #[test]
    fn without_wavelengths_the_fraction_of_the_bands_decides() {
        let info = scene(200, None);
        assert_eq!(bands(Preset::TrueColour, &info), Some([24, 14, 5]));
        assert_eq!(bands(Preset::Swir, &info), Some([171, 118, 44]));
        assert_eq!(bands(Preset::TrueColour, &scene(2, None)), None);
    }
}
