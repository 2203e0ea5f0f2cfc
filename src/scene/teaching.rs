//! The teaching scene: a small landscape with ground truth, made on the spot, so that everything can be tried without a
//! file of one's own.
//!
//! 128 × 128 pixels of 5 m, 120 bands from 380 to 2450 nm, reflectance × 10 000 as an airborne sensor would deliver it after
//! atmospheric correction: mixed pixels at borders, shade of terrain, trees and houses, differences within a class, noise
//! that grows where the sun gives little light, and two windows without signal, marked as bad bands, where water vapour
//! swallows it. It is made up, and says so in its notes; but nothing in it is easier than nature on purpose.

mod covers;
mod landscape;
pub(super) mod noise;
mod sensor;
mod shapes;
pub(super) mod spectra;

use landscape::Cover;
use sensor::{Ground, observe};

use super::{Cube, Format, Interleave, Kind, SampleType, SceneError, SceneInfo, Window};
use crate::labels::{Class, LabelMap};

/// Rows and columns.
const SIDE: usize = 128;
const BANDS: usize = 120;
/// Band centres of the first and the last band.
pub const TEACHING_RANGE_NM: (f64, f64) = (380.0, 2450.0);
/// Windows in which water vapour lets no light through.
const OPAQUE_NM: [(f64, f64); 2] = [(1350.0, 1420.0), (1800.0, 1950.0)];

/// Name and map colour of the classes 1, 2, ….
pub const TEACHING_CLASSES: [(&str, [u8; 3]); 10] = [
    ("Winter wheat", [227, 197, 104]),
    ("Maize", [160, 200, 60]),
    ("Rapeseed", [245, 235, 40]),
    ("Meadow", [112, 206, 124]),
    ("Broadleaf forest", [38, 138, 58]),
    ("Conifer forest", [10, 82, 66]),
    ("Water", [52, 118, 214]),
    ("Roofs", [214, 66, 58]),
    ("Roads", [120, 120, 128]),
    ("Bare soil", [166, 114, 74]),
];

/// A generated scene.
pub struct TeachingScene {
    info: SceneInfo,
    /// `[row][col][band]`.
    samples: Vec<i16>,
    truth: Vec<u8>,
}

/// The number of a class, 0 where the cover has none.
fn class_of(cover: Cover) -> u8 {
    match cover {
        Cover::Wheat => 1,
        Cover::Maize => 2,
        Cover::Rapeseed => 3,
        Cover::Meadow => 4,
        Cover::Broadleaf => 5,
        Cover::Conifer => 6,
        Cover::Water => 7,
        Cover::Roof => 8,
        Cover::Road => 9,
        Cover::Soil => 10,
        Cover::Garden => 0,
    }
}

/// The scene of a seed and its ground truth.
pub fn generate(seed: u64) -> (TeachingScene, LabelMap) {
    let scene = TeachingScene::new(seed);
    let labels = scene.labels();
    (scene, labels)
}

impl TeachingScene {
    /// Makes the scene of a seed: the same seed, the same scene. Takes about half a second and 4 MB.
    pub fn new(seed: u64) -> Self {
        let wavelengths: Vec<f64> = (0..BANDS)
            .map(|band| {
                TEACHING_RANGE_NM.0 + (TEACHING_RANGE_NM.1 - TEACHING_RANGE_NM.0) * band as f64 / (BANDS - 1) as f64
            })
            .collect();
        let opaque = |nm: f64| OPAQUE_NM.iter().any(|(from, to)| (*from..=*to).contains(&nm));
        let good_bands: Vec<bool> = wavelengths.iter().map(|nm| !opaque(*nm)).collect();
        let (samples, truth) = observe(seed, &Ground::new(seed), &wavelengths, &good_bands);
        let info = SceneInfo {
            name: format!("Teaching scene {seed}"),
            format: Format::Teaching,
            variable: None,
            rows: SIDE,
            cols: SIDE,
            bands: BANDS,
            dtype: SampleType::I16,
            interleave: Interleave::Bip,
            wavelengths_nm: Some(wavelengths),
            fwhm_nm: None,
            band_names: None,
            nodata: None,
            good_bands,
            kind: Kind::Cube,
            class_names: None,
            class_colors: None,
            geo: None,
            notes: vec!["made up for teaching: reflectance × 10 000 of a landscape that does not exist".to_owned()],
        };
        Self { info, samples, truth }
    }

    /// Class numbers, row-major: 1 + the position in [`TEACHING_CLASSES`] where one class covers at least three quarters of a
    /// pixel; 0 at borders and in the gardens of the village.
    pub fn truth(&self) -> &[u8] {
        &self.truth
    }

    /// The ground truth with its class table.
    pub fn labels(&self) -> LabelMap {
        let classes = TEACHING_CLASSES.map(|(name, color)| Class { name: name.to_owned(), color }).to_vec();
        LabelMap { rows: SIDE, cols: SIDE, labels: self.truth.clone(), classes }
    }
}

impl Cube for TeachingScene {
    fn info(&self) -> &SceneInfo {
        &self.info
    }

    fn read(&self, window: &Window, out: &mut [f64]) -> Result<(), SceneError> {
        let Window { rows, cols, bands } = window;
        let fits = rows.start <= rows.end && cols.start <= cols.end && bands.start <= bands.end;
        if !fits || rows.end > SIDE || cols.end > SIDE || bands.end > BANDS || out.len() != window.len() {
            return Err(SceneError::Window { window: window.clone(), rows: SIDE, cols: SIDE, bands: BANDS });
        }
        if window.is_empty() {
            return Ok(());
        }
        let pixels = rows.clone().flat_map(|row| cols.clone().map(move |col| row * SIDE + col));
        for (pixel, out) in pixels.zip(out.chunks_exact_mut(bands.len())) {
            let spectrum = &self.samples[pixel * BANDS..][bands.clone()];
            for (out, sample) in out.iter_mut().zip(spectrum) {
                *out = f64::from(*sample);
            }
        }
        Ok(())
    }

    fn preferred_rows(&self) -> usize {
        32
    }
}

#[cfg(test)]
mod tests {
    use super::sensor::SCALE;
    use super::*;

    /// Mean spectrum of the pixels of a class, as reflectance.
    fn mean(scene: &TeachingScene, labels: &LabelMap, class: u8) -> Vec<f64> {
        let members: Vec<usize> = (0..SIDE * SIDE).filter(|pixel| labels.labels[*pixel] == class).collect();
        let of_band =
            |band: usize| members.iter().map(|pixel| f64::from(scene.samples[pixel * BANDS + band])).sum::<f64>();
        (0..BANDS).map(|band| of_band(band) / members.len() as f64 / SCALE).collect()
    }

    fn band(nm: f64) -> usize {
        ((nm - TEACHING_RANGE_NM.0) / (TEACHING_RANGE_NM.1 - TEACHING_RANGE_NM.0) * (BANDS - 1) as f64).round() as usize
    }

    #[test]
    fn a_seed_gives_one_scene() {
        let ((a, labels_a), (b, labels_b), (c, labels_c)) = (generate(5), generate(5), generate(6));
        assert!(a.samples == b.samples && labels_a == labels_b);
        assert!(a.samples != c.samples && labels_a != labels_c);
    }

    #[test]
    fn every_class_has_land_in_every_scene() {
        for seed in 0..5 {
            let counts = generate(seed).1.counts();
            assert!(counts.iter().skip(1).all(|count| *count >= 150), "seed {seed}: {counts:?}");
            assert!((1000..6000).contains(&counts[0]), "seed {seed}: {counts:?}");
        }
    }

    #[test]
    fn classes_have_the_spectra_of_their_kind() {
        let (scene, labels) = generate(0);
        for class in 1..=6 {
            let r = mean(&scene, &labels, class);
            assert!(r[band(850.0)] > 3.0 * r[band(670.0)] && r[band(550.0)] > r[band(670.0)], "{class}: {r:?}");
            assert!(r[band(1450.0)] < r[band(1650.0)] && r[band(1200.0)] < r[band(1100.0)], "{class}: {r:?}");
        }
        let water = mean(&scene, &labels, 7);
        assert!(water[band(560.0)] > 2.0 * water[band(800.0)] && water[band(1650.0)] < 0.03, "{water:?}");
        let soil = mean(&scene, &labels, 10);
        assert!(soil[band(450.0)] < soil[band(650.0)] && soil[band(650.0)] < soil[band(1650.0)], "{soil:?}");
        assert!(soil[band(2205.0)] < soil[band(2140.0)], "{soil:?}");
    }

    #[test]
    fn bands_without_light_are_marked_and_noisy() {
        let (scene, _) = generate(0);
        let info = scene.info();
        let wavelengths = info.wavelengths_nm.as_ref().expect("wavelengths");
        let roughness = |band: usize| {
            let difference = |pixel: usize| {
                f64::from(scene.samples[pixel * BANDS + band]) - f64::from(scene.samples[(pixel + 1) * BANDS + band])
            };
            (0..SIDE * SIDE - 1).map(|pixel| difference(pixel).powi(2)).sum::<f64>().sqrt()
        };
        assert_eq!(info.good_bands.iter().filter(|good| !**good).count(), 13);
        for (band, nm) in wavelengths.iter().enumerate() {
            let opaque = OPAQUE_NM.iter().any(|(from, to)| (*from..=*to).contains(nm));
            assert_eq!(info.good_bands[band], !opaque);
            assert!(!opaque || roughness(band) > 2.0 * roughness(super::tests::band(1650.0)));
        }
    }

    /// Ten pixels a class and the nearest mean spectrum: far better than guessing, far from perfect. So there is something
    /// to learn, and a method can show what it is worth.
    #[test]
    fn it_is_neither_hopeless_nor_trivial() {
        for seed in 0..3 {
            let (scene, labels) = generate(seed);
            let split = crate::labels::random_split(&labels, 10, 0, seed).expect("all classes have pixels");
            let good: Vec<usize> = (0..BANDS).filter(|band| scene.info.good_bands[*band]).collect();
            let spectrum = |pixel: u32| {
                let samples = &scene.samples[pixel as usize * BANDS..];
                good.iter().map(|band| f64::from(samples[*band])).collect::<Vec<_>>()
            };
            let means: Vec<Vec<f64>> = (1..=TEACHING_CLASSES.len() as u8)
                .map(|class| {
                    let members: Vec<Vec<f64>> = split
                        .train
                        .iter()
                        .filter(|pixel| pixel.class == class)
                        .map(|pixel| spectrum(pixel.index))
                        .collect();
                    (0..good.len()).map(|band| members.iter().map(|member| member[band]).sum::<f64>() / 10.0).collect()
                })
                .collect();
            let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            let right = split.test.iter().filter(|pixel| {
                let spectrum = spectrum(pixel.index);
                let nearest = (0..means.len())
                    .min_by(|a, b| distance(&means[*a], &spectrum).total_cmp(&distance(&means[*b], &spectrum)));
                nearest.map(|class| class + 1) == Some(usize::from(pixel.class))
            });
            let overall = right.count() as f64 / split.test.len() as f64;
            assert!((0.5..0.9).contains(&overall), "seed {seed}: {overall}");
        }
    }

    #[test]
    fn windows() {
        let (scene, _) = generate(0);
        let mut out = vec![0.0; 2 * 3 * 4];
        let window = Window { rows: 7..9, cols: 125..128, bands: 50..54 };
        scene.read(&window, &mut out).expect("inside");
        assert_eq!(out[4 * 4 + 1], f64::from(scene.samples[(8 * SIDE + 126) * BANDS + 51]));
        assert!(scene.read(&Window { rows: 7..9, cols: 126..129, bands: 50..54 }, &mut out).is_err());
        assert!(scene.read(&window, &mut out[1..]).is_err());
        assert_eq!(scene.read(&Window { rows: 7..7, cols: 0..3, bands: 0..4 }, &mut []), Ok(()));
    }
}
