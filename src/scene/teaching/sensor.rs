//! What a sensor high above the landscape records: light and shadow, mixed pixels, noise.

use super::covers::surface;
use super::landscape::{Cover, Landscape, Place, SUN};
use super::noise::{fractal, gaussian};
use super::spectra::Spectra;
use super::{BANDS, SIDE, TEACHING_CLASSES, class_of};

/// Stored = reflectance × this.
pub(super) const SCALE: f64 = 10_000.0;

/// Points looked at along each side of a pixel.
const FINE: usize = 4;
/// A sensor sees a little of the neighbours: this many points more on each side.
const SPILL: usize = 1;
/// A pixel is labelled where one class covers at least this share of it.
const PURE: f64 = 0.75;

/// The landscape on a grid of [`FINE`] points a pixel, with a margin of [`SPILL`] points, and the light on it.
pub(super) struct Ground {
    seed: u64,
    places: Vec<Place>,
    /// Share of the direct light that arrives: 0 in full shadow.
    sun: Vec<f64>,
}

impl Ground {
    const MARGIN: usize = 12;
    const WIDTH: usize = SIDE * FINE + 2 * Self::MARGIN;

    pub fn new(seed: u64) -> Self {
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
    pub cover: Cover,
    pub object: u32,
    share: f64,
    direct: f64,
    pub density: f64,
}

/// What the sensor records, and what a surveyor would note.
pub(super) fn observe(seed: u64, ground: &Ground, wavelengths: &[f64], good_bands: &[bool]) -> (Vec<i16>, Vec<u8>) {
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
