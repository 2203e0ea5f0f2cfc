//! What the sensor records of a generated scene: mixed pixels, light, noise.

use super::super::teaching::noise::{fractal, gaussian, hash, unit};
use super::ground::Ground;
use super::materials::{AMOUNTS, Materials};
use super::plan::Plan;

/// Points looked at along each side of a pixel.
const FINE: usize = 2;
/// Points of the neighbours that a pixel sees, on each side.
const SPILL: usize = 1;
/// A pixel is labelled where foreign material stays below this share.
const FOREIGN_MAX: f64 = 0.5;

/// A recorded scene.
pub(super) struct Record {
    /// `[row][col][band]`
    pub samples: Vec<f32>,
    /// Class 1, 2, …, 0 where mixed.
    pub labels: Vec<u8>,
    pub objects: Vec<u32>,
}

/// A point of the ground.
struct Point {
    object: u32,
    class: usize,
    /// Another class between the own, and its share.
    foreign: (usize, f64),
    light: f64,
    /// Changes of the amounts, in natural logarithms.
    change: [f64; AMOUNTS],
}

pub(super) fn record(seed: u64, plan: &Plan, materials: &Materials, ground: &Ground, side: usize) -> Record {
    let (width, bands) = (side * FINE + 2 * SPILL, plan.wavelengths_nm.len());
    let place = |at: usize| (at as f64 + 0.5 - SPILL as f64) / FINE as f64;
    let points: Vec<Point> =
        (0..width * width).map(|at| point(seed, plan, ground, place(at % width), place(at / width), at)).collect();
    let spread = spread_of(plan.blur);
    let terms = 1 + AMOUNTS;
    let mut coefficients = vec![0.0; materials.0.len() * terms];
    let mut record = Record {
        samples: Vec::with_capacity(side * side * bands),
        labels: Vec::with_capacity(side * side),
        objects: Vec::with_capacity(side * side),
    };
    let mut spectrum = vec![0.0; bands];
    for row in 0..side {
        for col in 0..side {
            coefficients.fill(0.0);
            for (i, row_weight) in spread.iter().enumerate() {
                for (j, col_weight) in spread.iter().enumerate() {
                    let point = &points[(row * FINE + i) * width + col * FINE + j];
                    let weight = row_weight * col_weight * point.light;
                    let (foreign, share) = point.foreign;
                    for (class, part) in [(point.class, weight * (1.0 - share)), (foreign, weight * share)] {
                        let own = &mut coefficients[class * terms..(class + 1) * terms];
                        own[0] += part;
                        own[1..].iter_mut().zip(&point.change).for_each(|(sum, change)| *sum += part * change);
                    }
                }
            }
            spectrum.fill(0.0);
            for (material, own) in materials.0.iter().zip(coefficients.chunks_exact(terms)) {
                let curves = std::iter::once(&material.base).chain(&material.directions);
                for (curve, factor) in curves.zip(own).filter(|(_, factor)| **factor != 0.0) {
                    spectrum.iter_mut().zip(curve).for_each(|(sum, value)| *sum += factor * value);
                }
            }
            let pixel = (row * side + col) as i64;
            for (band, value) in spectrum.iter().enumerate() {
                let value = value.max(0.002);
                let error =
                    plan.noise[band] * (0.05 * (0.2 + value)).sqrt() * gaussian(seed ^ 0xE1, pixel, band as i64);
                let stripe = 1.0 + plan.stripes * gaussian(seed ^ 0xE2, col as i64, band as i64);
                record.samples.push(((value * stripe + error) * plan.gain[band]) as f32);
            }
            let inside =
                (0..FINE * FINE).map(|k| (row * FINE + SPILL + k / FINE) * width + col * FINE + SPILL + k % FINE);
            let own: Vec<&Point> = inside.map(|at| &points[at]).collect();
            let pure = own.iter().all(|point| point.object == own[0].object && point.foreign.1 < FOREIGN_MAX);
            record.labels.push(if pure { 1 + own[0].class as u8 } else { 0 });
            record.objects.push(own[0].object);
        }
    }
    record
}

/// Weights of the points along one side of what a pixel sees, for a point spread of this width in pixels.
fn spread_of(blur: f64) -> [f64; FINE + 2 * SPILL] {
    let middle = (FINE + 2 * SPILL - 1) as f64 / 2.0;
    let weight = |at: usize| (-0.5 * ((at as f64 - middle) / (blur * FINE as f64)).powi(2)).exp();
    let weights: [f64; FINE + 2 * SPILL] = std::array::from_fn(weight);
    let sum: f64 = weights.iter().sum();
    weights.map(|weight| weight / sum)
}

fn point(seed: u64, plan: &Plan, ground: &Ground, x: f64, y: f64, at: usize) -> Point {
    let object = ground.object(x, y);
    let class = ground.class(object);
    let (own, at, spread) = (i64::from(object), at as i64, plan.spread);
    let change = std::array::from_fn(|amount| {
        let salt = amount as u64;
        spread.object * gaussian(seed ^ 0xC1, own, amount as i64)
            + spread.inside * 2.0 * fractal(seed ^ (0xC20 + salt), x, y, plan.grain, 3)
            + spread.texture * gaussian(seed ^ 0xC3, at, amount as i64)
    });
    let foreign = (hash(seed ^ 0xC4, own, 0) % plan.classes as u64) as usize;
    let gaps = 2.0 * fractal(seed ^ 0xC5, x, y, 5.0, 3).abs();
    let share = (spread.foreign * gaps * (0.3 + 1.4 * unit(seed ^ 0xC6, own, 0))).min(0.7);
    let [smooth, by_object, fine] = spread.light;
    let light = 2.0 * smooth * fractal(seed ^ 0xC7, x, y, 12.0, 3)
        + by_object * gaussian(seed ^ 0xC8, own, 0)
        + fine * gaussian(seed ^ 0xC9, at, 0);
    Point { object, class, foreign: (foreign, share), light: light.clamp(-1.0, 1.0).exp(), change }
}
