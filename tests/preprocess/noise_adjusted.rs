//! Noise-adjusted components: bands that others explain count, loud bands of noise do not.

use sigmascope::preprocess::{FitOptions, Projection, fit_projection};

use crate::cube::TestCube;

const PIXELS: usize = 40 * 50;

/// Something without a pattern in -1..1.
fn noise(pixel: usize, band: usize) -> f64 {
    let x = ((pixel * 31 + band * 17 + 1) as f64 * 12.9898).sin() * 43758.5453;
    2.0 * (x - x.floor()) - 1.0
}

/// What four of the five bands share.
fn signal(pixel: usize) -> f64 {
    (pixel as f64 * 0.013).sin()
}

/// Four bands of the signal with a little noise, and one of loud noise alone.
fn scene() -> TestCube {
    let mut samples = Vec::new();
    for pixel in 0..PIXELS {
        for band in 0..4 {
            samples.push(500.0 + 10.0 * (band + 1) as f64 * (signal(pixel) + 0.05 * noise(pixel, band)));
        }
        samples.push(500.0 + 300.0 * noise(pixel, 4));
    }
    TestCube::new(40, 50, 5, samples)
}

fn fit(options: FitOptions) -> Projection {
    fit_projection(&scene(), &options).expect("a projection")
}

fn components(projection: &Projection) -> Vec<Vec<f64>> {
    let projected = projection.project(&scene(), 0..40, 0..50).expect("a projected scene");
    projected.values.chunks(PIXELS).map(|plane| plane.iter().map(|value| f64::from(*value)).collect()).collect()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let product = |f: fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - mean_a, b - mean_b)).sum::<f64>();
    product(|a, b| a * b) / (product(|a, _| a * a) * product(|_, b| b * b)).sqrt()
}

#[test]
fn the_shared_signal_comes_first_not_the_loudest_band() {
    let signal: Vec<f64> = (0..PIXELS).map(signal).collect();
    let whitened = components(&fit(FitOptions::whitened(2)));
    assert!(correlation(&whitened[0], &signal).abs() < 0.1, "the loud band is the first principal component");
    let adjusted = components(&fit(FitOptions::noise_adjusted(2)));
    assert!(correlation(&adjusted[0], &signal).abs() > 0.995, "{}", correlation(&adjusted[0], &signal));
}

#[test]
fn components_are_uncorrelated_fall_in_strength_and_have_mean_square_1() {
    let planes = components(&fit(FitOptions::noise_adjusted(4)));
    let strength: Vec<f64> =
        planes.iter().map(|plane| plane.iter().map(|value| value * value).sum::<f64>() / PIXELS as f64).collect();
    assert!(strength.is_sorted_by(|a, b| a >= b), "{strength:?}");
    assert!((strength.iter().sum::<f64>() / 4.0 - 1.0).abs() < 1e-3, "{strength:?}");
    for i in 0..4 {
        for j in 0..i {
            assert!(correlation(&planes[i], &planes[j]).abs() < 1e-4);
        }
    }
}

#[test]
fn each_band_is_divided_by_what_the_others_leave_unexplained() {
    // The noise band is explained by no other: its factor is one over its own deviation, so all adjusted bands together
    // have that variance 1 from it.
    let projection = fit(FitOptions::noise_adjusted(5));
    let row = (0..5).max_by(|a, b| {
        let loading = |k: &usize| projection.components[k * 5 + 4].abs();
        loading(a).total_cmp(&loading(b))
    });
    let row = row.expect("five components");
    assert!((projection.variance[row] - 1.0).abs() < 0.05, "{:?}", projection.variance);
    // The four others explain each other to a twentieth of the signal's amplitude and better.
    assert!(projection.variance[0] > 500.0, "{:?}", projection.variance);
}
