//! The teaching scene: a small landscape with ground truth, made on the spot, so that everything can be tried without a
//! file of one's own.
//!
//! 128 × 128 pixels of 5 m, 120 bands from 380 to 2450 nm, reflectance × 10 000 as an airborne sensor would deliver it after
//! atmospheric correction: mixed pixels at borders, shade of terrain, trees and houses, differences within a class, noise
//! that grows where the sun gives little light, and two windows without signal, marked as bad bands, where water vapour
//! swallows it. It is made up, and says so in its notes; but nothing in it is easier than nature on purpose.

mod covers;
mod landscape;
mod noise;
mod shapes;
mod spectra;

use covers::surface;
use landscape::{Cover, Landscape, Place, SUN};
use noise::{fractal, gaussian};
use spectra::Spectra;

use super::{Cube, Format, Interleave, Kind, SampleType, SceneError, SceneInfo, Window};
use crate::labels::{Class, LabelMap};

/// Rows and columns.
const SIDE: usize = 128;
const BANDS: usize = 120;
/// Band centres of the first and the last band.
const RANGE_NM: (f64, f64) = (380.0, 2450.0);
/// Windows in which water vapour lets no light through.
const OPAQUE_NM: [(f64, f64); 2] = [(1350.0, 1420.0), (1800.0, 1950.0)];
/// Stored = reflectance × this.
const SCALE: f64 = 10_000.0;

/// Points looked at along each side of a pixel.
const FINE: usize = 4;
/// A sensor sees a little of the neighbours: this many points more on each side.
const SPILL: usize = 1;
/// A pixel is labelled where one class covers at least this share of it.
const PURE: f64 = 0.75;

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
        let wavelengths: Vec<f64> =
            (0..BANDS).map(|band| RANGE_NM.0 + (RANGE_NM.1 - RANGE_NM.0) * band as f64 / (BANDS - 1) as f64).collect();
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

/// The landscape on a grid of [`FINE`] points a pixel, with a margin of [`SPILL`] points, and the light on it.
struct Ground {
    seed: u64,
    places: Vec<Place>,
    /// Share of the direct light that arrives: 0 in full shadow.
    sun: Vec<f64>,
}

impl Ground {
    const MARGIN: usize = 12;
    const WIDTH: usize = SIDE * FINE + 2 * Self::MARGIN;

    fn new(seed: u64) -> Self {
        let land = Landscape::new(seed);
        let width = Self::WIDTH;
        let metre = |i: usize| (i as f64 + 0.5 - Self::MARGIN as f64) / FINE as f64;
        let places: Vec<Place> = (0..width * width).map(|at| land.at(metre(at % width), metre(at / width))).collect();
        let sun = (0..width * width)
            .map(|at| {
                let (row, col) = ((at / width) as f64, (at % width) as f64);
                // Walk towards the sun, which stands 50° high, and look for something that rises above the ray.
                let blocked = (1..=12).any(|k| {
                    let step = f64::from(k);
                    let (r, c) = ((row + step * SUN.1).round(), (col + step * SUN.0).round());
                    let inside = r >= 0.0 && c >= 0.0 && r < width as f64 && c < width as f64;
                    let rise = 1.19 * step / FINE as f64;
                    inside && places[r as usize * width + c as usize].height > places[at].height + rise
                });
                if blocked { 0.0 } else { 1.0 }
            })
            .collect();
        Self { seed, places, sun }
    }

    /// Light of the terrain's slopes: gentle hills.
    fn terrain(&self, x: f64, y: f64) -> f64 {
        let height = |x: f64, y: f64| fractal(self.seed ^ 0x3B1, x, y, 60.0, 3);
        let slope =
            (height(x + 1.0, y) - height(x - 1.0, y)) * SUN.0 + (height(x, y + 1.0) - height(x, y - 1.0)) * SUN.1;
        (1.0 - 0.9 * slope).clamp(0.8, 1.2)
    }
}

/// The share of one object in a pixel.
pub(super) struct Part {
    cover: Cover,
    object: u32,
    share: f64,
    direct: f64,
    density: f64,
}

/// What the sensor records, and what a surveyor would note.
fn observe(seed: u64, ground: &Ground, wavelengths: &[f64], good_bands: &[bool]) -> (Vec<i16>, Vec<u8>) {
    let spectra = Spectra::new(wavelengths);
    // Blue sky lights the shadows.
    let sky: Vec<f64> = wavelengths.iter().map(|nm| 0.07 + 0.20 * (450.0 / nm).powi(3)).collect();
    let noise: Vec<f64> = wavelengths.iter().zip(good_bands).map(|(nm, good)| noise_level(*nm, *good)).collect();
    let mut samples = Vec::with_capacity(SIDE * SIDE * BANDS);
    let mut truth = Vec::with_capacity(SIDE * SIDE);
    let mut parts = Vec::new();
    let mut radiance = vec![0f64; BANDS];
    for row in 0..SIDE {
        for col in 0..SIDE {
            truth.push(look(ground, row, col, &mut parts));
            let (x, y) = (col as f64 + 0.5, row as f64 + 0.5);
            let terrain = ground.terrain(x, y);
            radiance.fill(0.0);
            for part in &parts {
                let reflectance = spectra.reflectance(surface(seed, part, x, y));
                for ((sum, r), sky) in radiance.iter_mut().zip(reflectance).zip(&sky) {
                    *sum += part.share * r * (part.direct * terrain * (1.0 - sky) + sky);
                }
            }
            // The sensor's columns differ a little in gain.
            let gain = 1.0 + 0.004 * gaussian(seed ^ 0x4C1, col as i64, 0);
            for (band, value) in radiance.iter().enumerate() {
                let place = (row * SIDE + col) as i64;
                let error =
                    noise[band] * (0.6 + 2.0 * value.max(0.0)).sqrt() * gaussian(seed ^ 0x4C2, place, band as i64);
                let signal = if good_bands[band] { value * gain } else { 0.25 * value };
                samples.push((SCALE * (signal + error)).round().clamp(-2000.0, 16_000.0) as i16);
            }
        }
    }
    (samples, truth)
}

/// Standard deviation of the noise in reflectance: large where the sun or the detector is weak.
fn noise_level(nm: f64, good: bool) -> f64 {
    if !good {
        return 0.12;
    }
    let vapour = [(940.0, 25.0), (1130.0, 25.0), (1385.0, 45.0), (1875.0, 85.0)];
    let near: f64 = vapour.iter().map(|(centre, width)| (-0.5 * ((nm - centre) / width).powi(2)).exp()).sum();
    0.0035 + 0.010 * (-(nm - 380.0) / 40.0).exp() + 0.005 * near + 0.006 * ((nm - 2000.0) / 450.0).max(0.0).powi(2)
}

/// Gathers what a pixel sees into parts, and returns its class.
fn look(ground: &Ground, row: usize, col: usize, parts: &mut Vec<Part>) -> u8 {
    parts.clear();
    let mut own = [0usize; TEACHING_CLASSES.len() + 1];
    let total = ((FINE + 2 * SPILL) * (FINE + 2 * SPILL)) as f64;
    let first = |pixel: usize| Ground::MARGIN + pixel * FINE - SPILL;
    for i in 0..FINE + 2 * SPILL {
        for j in 0..FINE + 2 * SPILL {
            let at = (first(row) + i) * Ground::WIDTH + first(col) + j;
            let place = &ground.places[at];
            let direct = place.light * ground.sun[at];
            if (SPILL..SPILL + FINE).contains(&i) && (SPILL..SPILL + FINE).contains(&j) {
                own[usize::from(class_of(place.cover))] += 1;
            }
            match parts.iter_mut().find(|part| part.cover == place.cover && part.object == place.object) {
                Some(part) => {
                    part.share += 1.0;
                    part.direct += direct;
                    part.density += place.density;
                }
                None => parts.push(Part {
                    cover: place.cover,
                    object: place.object,
                    share: 1.0,
                    direct,
                    density: place.density,
                }),
            }
        }
    }
    for part in parts.iter_mut() {
        part.direct /= part.share;
        part.density /= part.share;
        part.share /= total;
    }
    let needed = (PURE * (FINE * FINE) as f64).ceil() as usize;
    (1..own.len()).find(|class| own[*class] >= needed).map_or(0, |class| class as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean spectrum of the pixels of a class, as reflectance.
    fn mean(scene: &TeachingScene, labels: &LabelMap, class: u8) -> Vec<f64> {
        let members: Vec<usize> = (0..SIDE * SIDE).filter(|pixel| labels.labels[*pixel] == class).collect();
        let of_band =
            |band: usize| members.iter().map(|pixel| f64::from(scene.samples[pixel * BANDS + band])).sum::<f64>();
        (0..BANDS).map(|band| of_band(band) / members.len() as f64 / SCALE).collect()
    }

    fn band(nm: f64) -> usize {
        ((nm - RANGE_NM.0) / (RANGE_NM.1 - RANGE_NM.0) * (BANDS - 1) as f64).round() as usize
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
