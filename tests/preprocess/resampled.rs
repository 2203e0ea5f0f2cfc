//! Scenes on another wavelength grid, and the statistics that several of them share.

use std::rc::Rc;

use sigmascope::preprocess::{
    BandGathering, FitOptions, PreprocessError, Projection, Resampled, fit_projection, projection_of_moments,
};
use sigmascope::scene::{Cube, Window};

use crate::cube::TestCube;

/// Every sample is its wavelength plus its pixel: linear in both.
fn scene(wavelengths_nm: &[f64]) -> TestCube {
    let bands = wavelengths_nm.len();
    let samples = (0..20).flat_map(|pixel| wavelengths_nm.iter().map(move |nm| nm + f64::from(pixel)));
    let mut cube = TestCube::new(5, 4, bands, samples.collect());
    cube.info.wavelengths_nm = Some(wavelengths_nm.to_vec());
    cube
}

fn all(cube: &dyn Cube) -> Vec<f64> {
    let info = cube.info();
    let mut out = vec![0.0; info.rows * info.cols * info.bands];
    cube.read(&Window { rows: 0..info.rows, cols: 0..info.cols, bands: 0..info.bands }, &mut out).unwrap();
    out
}

#[test]
fn values_lie_on_the_line_between_their_neighbours() {
    // Two detectors whose ranges overlap, one after the other.
    let source = Rc::new(scene(&[400.0, 500.0, 610.0, 600.0, 700.0, 900.0]));
    let grid = [350.0, 400.0, 433.0, 605.0, 650.0, 899.0, 1000.0];
    let resampled = Resampled::new(source, &grid).unwrap();
    assert_eq!((resampled.info().bands, resampled.info().wavelengths_nm.as_deref()), (7, Some(grid.as_slice())));
    let expected: Vec<f64> = (0..20)
        .flat_map(|pixel| [400.0, 400.0, 433.0, 605.0, 650.0, 899.0, 900.0].map(|nm| nm + f64::from(pixel)))
        .collect();
    for (given, expected) in all(&resampled).iter().zip(&expected) {
        assert!((given - expected).abs() < 1e-9, "{given} {expected}");
    }
    // A window in the middle is the middle of the whole.
    let mut part = vec![0.0; 2 * 2 * 3];
    resampled.read(&Window { rows: 2..4, cols: 1..3, bands: 2..5 }, &mut part).unwrap();
    let whole = all(&resampled);
    let middle = [(2, 1), (2, 2), (3, 1), (3, 2)];
    let middle: Vec<f64> =
        middle.iter().flat_map(|(row, col)| whole[(row * 4 + col) * 7 + 2..][..3].to_vec()).collect();
    assert_eq!(part, middle);
    assert!(resampled.read(&Window { rows: 4..6, cols: 0..1, bands: 0..7 }, &mut [0.0; 14]).is_err());
}

#[test]
fn bad_bands_are_passed_over_and_missing_data_stays_missing() {
    let mut source = scene(&[400.0, 500.0, 600.0, 700.0]);
    source.info.good_bands[1] = false;
    source.info.nodata = Some(-1.0);
    source.samples.iter_mut().skip(1).step_by(4).for_each(|value| *value = 1e9);
    source.samples[2] = -1.0; // Pixel 0 at 600 nm.
    source.samples[7] = f64::NAN; // Pixel 1 at 700 nm.
    let resampled = Resampled::new(Rc::new(source), &[400.0, 500.0, 650.0]).unwrap();
    let values = all(&resampled);
    assert_eq!(values[0], 400.0);
    assert!(values[1].is_nan() && values[2].is_nan());
    assert!((values[4] - 501.0).abs() < 1e-9 && values[5].is_nan());
    assert!((values[8] - 652.0).abs() < 1e-9);
}

#[test]
fn scenes_that_do_not_fit_the_grid_are_refused() {
    let wide = scene(&[400.0, 500.0, 600.0]);
    let error = Resampled::new(Rc::new(wide), &[450.0, 800.0]).err().unwrap();
    assert!(matches!(error, PreprocessError::NotCovered { wavelength_nm: 800.0, .. }));
    assert!(error.to_string().contains("400 to 600 nm"), "{error}");
    let mut blind = scene(&[1.0, 2.0, 3.0]);
    blind.info.wavelengths_nm = None;
    let samples = blind.samples.clone();
    let blind = Rc::new(blind);
    assert_eq!(all(&Resampled::new(blind.clone(), &[450.0, 800.0, 900.0]).unwrap()), samples);
    let error = Resampled::new(blind, &[450.0, 800.0]).err().unwrap();
    assert!(matches!(error, PreprocessError::NoWavelengths { bands: 3, expected: 2, .. }));
    let mut dead = scene(&[400.0, 500.0]);
    dead.info.good_bands = vec![false; 2];
    assert!(matches!(Resampled::new(Rc::new(dead), &[450.0]).err(), Some(PreprocessError::NoBands { .. })));
}

/// Without neighbours to share with, gathering and then fitting is fitting.
#[test]
fn one_scene_alone_gets_its_own_projection() {
    let samples = (0..5 * 4 * 3).map(|i| (f64::from(i) * 0.7).sin() + f64::from(i % 3)).collect();
    let mut cube = TestCube::new(5, 4, 3, samples);
    let grid = [500.0, 600.0, 700.0];
    cube.info.wavelengths_nm = Some(grid.to_vec());
    let options = FitOptions::noise_adjusted(2);
    let own = fit_projection(&cube, &options).unwrap();
    let mut gathering = BandGathering::new(&cube).unwrap();
    while gathering.read_next().unwrap() {}
    assert_eq!(gathering.rows(), (10, 10));
    let shared = projection_of_moments("all", &grid, &options, gathering.finish().unwrap()).unwrap();
    assert_eq!(shared, own);
    assert!(own.is_sound());
    assert!(!Projection { mean: vec![f64::NAN; 3], ..own.clone() }.is_sound());
    assert!(!Projection { bands: vec![0, 1, 7], ..own }.is_sound());
}

#[test]
fn a_band_without_data_cannot_be_shared() {
    let mut cube = scene(&[500.0, 600.0]);
    cube.samples.iter_mut().skip(1).step_by(2).for_each(|value| *value = f64::NAN);
    let error = BandGathering::new(&cube).unwrap().finish().unwrap_err();
    assert!(error.to_string().contains("600 nm"), "{error}");
}

#[test]
fn the_projection_that_changes_nothing() {
    let cube = scene(&[500.0, 600.0]);
    let identity = Projection::identity(&[500.0, 600.0]);
    assert!(identity.is_sound());
    let projected = identity.project(&cube, 1..2, 1..2).unwrap();
    assert_eq!(projected.values, [505.0, 605.0]);
}
