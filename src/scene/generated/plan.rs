//! What kind of scene a seed becomes.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::materials::smooth_curve;

/// How the land is cut up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Land {
    /// Parcels with straight borders, of about this many pixels.
    Fields(f64),
    /// Irregular stands of about this many pixels across.
    Nature(f64),
    /// Parcels hardly larger than a pixel.
    Town(f64),
}

/// How strongly things vary, in natural logarithms of amounts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    /// From class to class of a family.
    pub class: f64,
    /// From field to field of a class.
    pub object: f64,
    /// From place to place in a field, smoothly.
    pub inside: f64,
    /// From point to point.
    pub texture: f64,
    /// Share of another material between the own.
    pub foreign: f64,
    /// Light: smooth, from field to field, from point to point.
    pub light: [f64; 3],
}

/// A sensor, a land, and how things vary on it.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub wavelengths_nm: Vec<f64>,
    pub good_bands: Vec<bool>,
    /// Standard deviation of the noise of each band, in shares of the mean signal.
    pub noise: Vec<f64>,
    /// Standard deviation of the gain from column to column.
    pub stripes: f64,
    /// What a stored unit stands for, a band each: irradiance where the sensor delivers radiance.
    pub gain: Vec<f64>,
    /// Width of the point spread, pixels.
    pub blur: f64,
    pub land: Land,
    /// Lines of one or two pixels across the land.
    pub roads: usize,
    pub classes: usize,
    pub families: usize,
    pub spread: Spread,
    /// Size of smooth variation inside a field, pixels.
    pub grain: f64,
}

impl Plan {
    pub fn draw(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let bands = random.random_range(44..=224);
        let first: f64 = random.random_range(380.0..460.0);
        let last: f64 = [890.0, 1000.0, 1700.0, 2450.0, 2450.0, 2450.0][random.random_range(0..6)];
        let wavelengths_nm: Vec<f64> =
            (0..bands).map(|band| first + (last - first) * band as f64 / (bands - 1) as f64).collect();
        let mut log = |low: f64, high: f64| (random.random_range(low.ln()..high.ln())).exp();
        let (class, object, inside) = (log(0.03, 0.3), log(0.3, 1.5), log(0.2, 1.2));
        let spread = Spread {
            class,
            object: class * object,
            inside: class * inside,
            texture: class * log(0.15, 1.5),
            foreign: log(0.02, 0.35),
            light: [log(0.005, 0.08), log(0.005, 0.1), log(0.003, 0.04)],
        };
        let land = match random.random_range(0..5) {
            0 => Land::Nature(random.random_range(8.0..24.0)),
            1 => Land::Town((random.random_range(5f64.ln()..50f64.ln())).exp()),
            _ => Land::Fields((random.random_range(60f64.ln()..600f64.ln())).exp()),
        };
        let roads = if matches!(land, Land::Nature(_)) { 0 } else { random.random_range(0..4) };
        let families = random.random_range(2..7usize);
        let classes = random.random_range(families.max(4)..=16);

        let signal_to_noise = (random.random_range(15f64.ln()..400f64.ln())).exp();
        let slow = smooth_curve(&mut random, bands, 0.1);
        let unsteady = random.random_range(0.0..0.8);
        let noise: Vec<f64> = slow
            .iter()
            .map(|slow| {
                let weak = if random.random::<f64>() < 0.04 { random.random_range(2.0..6.0) } else { 1.0 };
                weak / signal_to_noise * (unsteady * slow + random.random_range(-0.4..0.4)).clamp(-3.0, 3.0).exp()
            })
            .collect();
        // Only some files mark their bad bands, and never most of them.
        let marks = random.random::<bool>();
        let limit = 4.0 / signal_to_noise;
        let good_bands: Vec<bool> = noise.iter().map(|noise| !marks || *noise < limit).collect();
        let marked = good_bands.iter().filter(|good| !**good).count();
        let good_bands = if 10 * marked > bands { vec![true; bands] } else { good_bands };
        let radiance = random.random::<bool>();
        let unit: f64 = if random.random::<bool>() { 10_000.0 } else { 1.0 };
        let gain = wavelengths_nm.iter().map(|nm| unit * if radiance { planck(*nm) } else { 1.0 }).collect();
        Self {
            wavelengths_nm,
            good_bands,
            noise,
            stripes: if random.random::<bool>() { random.random_range(0.0..0.006) } else { 0.0 },
            gain,
            blur: random.random_range(0.3..1.0),
            land,
            roads,
            classes,
            families,
            spread,
            grain: random.random_range(6.0..40.0),
        }
    }
}

/// Sunlight as a black body of 5800 K gives it, 1 at its maximum.
fn planck(nm: f64) -> f64 {
    let radiance = |nm: f64| nm.powi(-5) / ((1.4388e7 / (nm * 5800.0)).exp() - 1.0);
    radiance(nm) / radiance(500.0)
}
