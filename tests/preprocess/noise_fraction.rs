//! Minimum noise fractions: the noise is what neighbours differ by.

use sigmascope::preprocess::{FitOptions, Projection, fit_projection};

use crate::cube::TestCube;

const ROWS: usize = 40;
const COLS: usize = 50;
const PIXELS: usize = ROWS * COLS;
const BANDS: usize = 4;
/// What the ridge under the noise may change here: the finest noise, 0.2² / 3, is some thousand times the ridge.
const RIDGE: f64 = 5e-3;

/// Something without a pattern in -1..1.
fn noise(pixel: usize, band: usize) -> f64 {
    let x = ((pixel * 31 + band * 17 + 1) as f64 * 12.9898).sin() * 43758.5453;
    2.0 * (x - x.floor()) - 1.0
}

/// Two smooth signals, a strong and a weak one, under noise that most bands share and that is stronger than both.
fn scene() -> TestCube {
    let mut samples = Vec::new();
    for pixel in 0..PIXELS {
        let (strong, weak) = signals(pixel);
        let shared = 30.0 * noise(pixel, 9);
        samples.push(500.0 + 3.0 * strong + weak + shared + 0.2 * noise(pixel, 0));
        samples.push(400.0 - 3.0 * strong + weak + shared + 0.2 * noise(pixel, 1));
        samples.push(300.0 + strong - weak + shared + 0.2 * noise(pixel, 2));
        samples.push(200.0 + 0.5 * noise(pixel, 3));
    }
    TestCube::new(ROWS, COLS, BANDS, samples)
}

fn signals(pixel: usize) -> (f64, f64) {
    let (row, col) = ((pixel / COLS) as f64, (pixel % COLS) as f64);
    ((row * 0.15).sin(), (col * 0.13).cos())
}

fn fit(cube: &TestCube, options: FitOptions) -> Projection {
    fit_projection(cube, &options).expect("a projection")
}

fn components(cube: &TestCube, projection: &Projection) -> Vec<Vec<f64>> {
    let projected = projection.project(cube, 0..ROWS, 0..COLS).expect("a projected scene");
    projected.values.chunks(PIXELS).map(|plane| plane.iter().map(|value| f64::from(*value)).collect()).collect()
}

/// Half the mean product of neighbours' differences of two planes; pairs of which `valid` refuses a pixel do not count.
fn of_neighbours(a: &[f64], b: &[f64], valid: impl Fn(usize) -> bool) -> f64 {
    let (mut sum, mut pairs) = (0.0, 0);
    for pixel in (0..PIXELS).filter(|pixel| valid(*pixel)) {
        let right = (pixel % COLS + 1 < COLS).then_some(pixel + 1);
        let below = (pixel + COLS < PIXELS).then_some(pixel + COLS);
        for other in right.into_iter().chain(below).filter(|other| valid(*other)) {
            sum += (a[pixel] - a[other]) * (b[pixel] - b[other]);
            pairs += 1;
        }
    }
    sum / 2.0 / f64::from(pairs)
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>()
}

/// Of planes with mean 0.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

/// What defines the transform, computed densely from the projected scene: components are uncorrelated, and so is their
/// noise; in units of its noise, component i has the variance that the projection says.
#[test]
fn components_and_their_noise_are_uncorrelated() {
    for block in [1, 3, 7, ROWS] {
        let cube = TestCube { block, ..scene() };
        let projection = fit(&cube, FitOptions::noise_fractions(BANDS));
        assert!(projection.variance.is_sorted_by(|a, b| a >= b), "{:?}", projection.variance);
        let planes = components(&cube, &projection);
        let noise = |i: usize, j: usize| of_neighbours(&planes[i], &planes[j], |_| true);
        for i in 0..BANDS {
            for j in 0..i {
                assert!(correlation(&planes[i], &planes[j]).abs() < 1e-4, "{i} {j}");
                assert!(noise(i, j).abs() < 1e-3 * (noise(i, i) * noise(j, j)).sqrt(), "{i} {j}: {}", noise(i, j));
            }
            let variance = product(&planes[i], &planes[i]) / (PIXELS - 1) as f64;
            let ratio = variance / noise(i, i) / projection.variance[i];
            assert!((ratio - 1.0).abs() < RIDGE, "block {block}, component {i}: {ratio}");
        }
        let mean_square = planes.iter().map(|plane| product(plane, plane)).sum::<f64>() / (PIXELS * BANDS) as f64;
        assert!((mean_square - 1.0).abs() < 1e-3, "{mean_square}");
    }
}

#[test]
fn signals_come_before_noise_that_bands_share() {
    let cube = scene();
    let planes = components(&cube, &fit(&cube, FitOptions::noise_fractions(2)));
    let mean = |of: fn((f64, f64)) -> f64| (0..PIXELS).map(|pixel| of(signals(pixel))).sum::<f64>() / PIXELS as f64;
    let (means, mut found) = ((mean(|both| both.0), mean(|both| both.1)), [0.0f64; 2]);
    let strong: Vec<f64> = (0..PIXELS).map(|pixel| signals(pixel).0 - means.0).collect();
    let weak: Vec<f64> = (0..PIXELS).map(|pixel| signals(pixel).1 - means.1).collect();
    for (found, signal) in found.iter_mut().zip([&strong, &weak]) {
        // The share of the signal that the two components explain.
        *found = planes.iter().map(|plane| correlation(plane, signal).powi(2)).sum();
    }
    assert!(found[0] > 0.98 && found[1] > 0.9, "{found:?}");
    let adjusted = components(&cube, &fit(&cube, FitOptions::noise_adjusted(1)));
    assert!(correlation(&adjusted[0], &strong).abs() < 0.5, "neighbours are not asked: the shared noise comes first");
}

#[test]
fn pixels_without_data_have_no_neighbours() {
    let mut cube = scene();
    let masked = |pixel: usize| pixel % 7 == 3 || pixel / COLS == 20;
    for pixel in (0..PIXELS).filter(|pixel| masked(*pixel)) {
        cube.samples[pixel * BANDS + 1] = -9999.0;
    }
    cube.info.nodata = Some(-9999.0);
    let projection = fit(&cube, FitOptions::noise_fractions(BANDS));
    let planes = components(&cube, &projection);
    for (plane, variance) in planes.iter().zip(&projection.variance) {
        let valid = (0..PIXELS).filter(|pixel| !masked(*pixel)).count();
        let ratio = product(plane, plane) / (valid - 1) as f64 / of_neighbours(plane, plane, |pixel| !masked(pixel));
        assert!((ratio / variance - 1.0).abs() < RIDGE, "{ratio} {variance}");
    }
}

#[test]
fn a_scene_without_neighbours_or_noise_still_has_components() {
    let mut cube = scene();
    // A chessboard of data: no two neighbours hold any.
    for pixel in (0..PIXELS).filter(|pixel| (pixel / COLS + pixel % COLS).is_multiple_of(2)) {
        cube.samples[pixel * BANDS] = f64::NAN;
    }
    let projection = fit(&cube, FitOptions::noise_fractions(2));
    assert_eq!(projection.len(), 2);
    assert!(projection.components.iter().chain(&projection.divisor).all(|value| value.is_finite()));
}
