//! The teaching scene: a small landscape with ground truth, made on the spot, so that everything can be tried without a
//! file of one's own.
//!
//! 128 × 128 pixels of 5 m, 120 bands from 380 to 2450 nm, reflectance × 10 000 as an airborne sensor would deliver it after
//! atmospheric correction: mixed pixels at borders, shade of terrain, trees and houses, differences within a class, noise
//! that grows where the sun gives little light, and two windows without signal, marked as bad bands, where water vapour
//! swallows it. It is made up, and says so in its notes; but nothing in it is easier than nature on purpose.

mod landscape;
mod noise;
mod spectra;

use landscape::{Cover, Landscape, Place, SUN};
use noise::{between, fractal, gaussian, unit};
use spectra::{Plants, Soil, Spectra, Surface};

use super::{Cube, Format, Interleave, Kind, SampleType, SceneError, SceneInfo, Window};

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

/// A generated scene and its ground truth.
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

impl TeachingScene {
    /// Makes the scene of a seed: the same seed, the same scene. Takes a fraction of a second and 4 MB.
    pub fn new(seed: u64) -> Self {
        let wavelengths: Vec<f64> =
            (0..BANDS).map(|band| RANGE_NM.0 + (RANGE_NM.1 - RANGE_NM.0) * band as f64 / (BANDS - 1) as f64).collect();
        let opaque = |nm: f64| OPAQUE_NM.iter().any(|(from, to)| (*from..=*to).contains(&nm));
        let good_bands: Vec<bool> = wavelengths.iter().map(|nm| !opaque(*nm)).collect();
        let ground = Ground::new(seed);
        let (samples, truth) = observe(seed, &ground, &wavelengths, &good_bands);
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

    /// Class numbers, row-major: 0 where classes mix and in the gardens of the village, otherwise 1 + the position in
    /// [`TEACHING_CLASSES`].
    pub fn truth(&self) -> &[u8] {
        &self.truth
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
struct Part {
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

/// The surface of a part at a place: the state of its object, and how that differs from place to place.
fn surface(seed: u64, part: &Part, x: f64, y: f64) -> Surface {
    let object = i64::from(part.object);
    let kind = part.cover as i64;
    // The object's own character, and two patterns of the ground that every cover feels: wet hollows and good soil.
    let own = |salt: i64, low: f64, high: f64| between(seed ^ 0x5D1, object, 32 * salt + kind, low, high);
    let wet = fractal(seed ^ 0x5D2, x, y, 22.0, 4);
    let rich = fractal(seed ^ 0x5D3, x, y, 16.0, 4);
    let fine = fractal(seed ^ 0x5D4, x, y, 3.0, 2);
    let soil = Soil {
        brightness: (1.0 + 0.10 * own(9, -1.0, 1.0) - 0.10 * rich + 0.05 * fine).max(0.4),
        moisture: (0.28 + 0.22 * wet + 0.08 * fine).clamp(0.0, 1.0),
        clay: 0.09 + 0.04 * wet,
    };
    let grow = |amount: f64, spread: f64| (amount * (1.0 + spread * (0.7 * rich + 0.3 * fine))).max(0.02);
    match part.cover {
        // Heading wheat begins to turn.
        Cover::Wheat => Surface::Plants(Plants {
            chlorophyll: grow(own(0, 0.62, 0.92), 0.15),
            water: grow(own(1, 0.6, 0.85), 0.1),
            senescence: (own(2, 0.10, 0.38) - 0.08 * rich).clamp(0.0, 0.8),
            petals: 0.0,
            scattering: 0.88,
            leaf_area: grow(own(3, 2.0, 3.2), 0.25) * part.density,
            soil,
        }),
        // Maize has not closed its rows.
        Cover::Maize => Surface::Plants(Plants {
            chlorophyll: grow(own(0, 0.95, 1.15), 0.12),
            water: grow(own(1, 1.0, 1.2), 0.1),
            senescence: 0.0,
            petals: 0.0,
            scattering: 1.0,
            leaf_area: grow(own(3, 0.75, 1.5), 0.35) * part.density,
            soil,
        }),
        Cover::Rapeseed => Surface::Plants(Plants {
            chlorophyll: grow(own(0, 0.75, 1.0), 0.1),
            water: grow(own(1, 1.0, 1.25), 0.08),
            senescence: 0.03,
            petals: (own(2, 0.12, 0.34) + 0.08 * rich).clamp(0.02, 0.7),
            scattering: 1.05,
            leaf_area: grow(own(3, 2.2, 3.4), 0.2) * part.density,
            soil,
        }),
        Cover::Meadow => Surface::Plants(Plants {
            chlorophyll: grow(own(0, 0.7, 1.05), 0.2),
            water: grow(own(1, 0.75, 1.05), 0.15),
            senescence: (own(2, 0.04, 0.22) - 0.12 * wet).clamp(0.0, 0.6),
            petals: 0.02,
            scattering: 0.95,
            leaf_area: grow(own(3, 1.5, 2.8), 0.3) * part.density,
            soil,
        }),
        Cover::Broadleaf => Surface::Plants(Plants {
            chlorophyll: grow(own(0, 1.0, 1.15), 0.15),
            water: grow(1.05, 0.1),
            senescence: 0.05,
            petals: 0.0,
            scattering: 1.0,
            leaf_area: grow(3.6, 0.2),
            soil,
        }),
        // Needles: strong pigments, weak scattering, deep crowns.
        Cover::Conifer => Surface::Plants(Plants {
            chlorophyll: grow(own(0, 1.05, 1.2), 0.15),
            water: grow(1.15, 0.1),
            senescence: 0.08,
            petals: 0.0,
            scattering: 0.72 * (1.0 + 0.12 * fine),
            leaf_area: grow(3.2, 0.2),
            soil,
        }),
        Cover::Garden => Surface::Plants(Plants {
            chlorophyll: grow(0.9, 0.2),
            water: 0.9,
            senescence: 0.1,
            petals: 0.0,
            scattering: 0.95,
            leaf_area: grow(1.6, 0.3) * part.density,
            soil,
        }),
        Cover::Water => Surface::Water {
            turbidity: (0.35 + 0.25 * fractal(seed ^ 0x5D5, x, y, 30.0, 2)).clamp(0.05, 1.0),
            depth: (part.density / 1.8).clamp(0.1, 1.0),
        },
        Cover::Roof => match unit(seed ^ 0x5D6, object, 0) {
            _ if part.density > 1.5 => Surface::Concrete { brightness: own(4, 0.8, 1.15) },
            material if material < 0.62 => Surface::Tiles { weathering: own(5, 0.05, 0.75) },
            material if material < 0.85 => Surface::Slate { brightness: own(6, 0.8, 1.5) },
            _ => Surface::Concrete { brightness: own(4, 0.8, 1.15) },
        },
        Cover::Road => {
            Surface::Asphalt { age: (own(7, 0.35, 0.8) + 0.2 * fractal(seed ^ 0x5D7, x, y, 12.0, 2)).clamp(0.0, 1.0) }
        }
        Cover::Soil => Surface::Soil(Soil {
            brightness: soil.brightness * own(8, 0.85, 1.1) * part.density,
            moisture: (soil.moisture + own(10, -0.12, 0.2)).clamp(0.0, 1.0),
            ..soil
        }),
    }
}
