//! Scenes that real files bring: masks, dead bands, constants, other sensors.

use sigmascope::preprocess::{FitOptions, Method, PreprocessError, Projection, ProjectionFit, fit_projection};

use crate::cube::TestCube;

/// A scene of `bands` bands with two independent sources of variation and a little of a third.
fn scene(rows: usize, cols: usize, bands: usize) -> TestCube {
    let mut samples = Vec::new();
    for pixel in 0..rows * cols {
        let (a, b, c) = ((pixel as f64 * 0.37).sin(), (pixel as f64 * 1.91).cos(), (pixel as f64 * 5.3).sin());
        for band in 0..bands {
            let x = band as f64 / bands as f64;
            samples.push(1000.0 + 300.0 * a * (1.0 + x) + 80.0 * b * (6.0 * x).sin() + 5.0 * c * (40.0 * x).cos());
        }
    }
    TestCube::new(rows, cols, bands, samples)
}

fn fit(cube: &TestCube, components: usize) -> Result<Projection, PreprocessError> {
    fit_projection(cube, &FitOptions::whitened(components))
}

#[test]
fn masked_pixels_take_no_part_and_become_0() {
    let clean = scene(8, 9, 10);
    let mut masked = scene(8, 9, 10);
    masked.info.nodata = Some(-9999.0);
    // The same scene one row longer: its pixels are NaN, infinite or no-data in one band or in all.
    masked.info.rows = 9;
    let first = clean.spectrum(0).to_vec();
    for col in 0..9 {
        let mut spectrum = first.clone();
        match col % 3 {
            0 => spectrum[col] = f64::NAN,
            1 => spectrum.fill(-9999.0),
            _ => spectrum[col] = f64::NEG_INFINITY,
        }
        masked.samples.extend(spectrum);
    }
    let (expected, given) = (fit(&clean, 3).expect("clean"), fit(&masked, 3).expect("masked"));
    assert_eq!(expected.bands, given.bands);
    for (a, b) in expected.components.iter().chain(&expected.mean).zip(given.components.iter().chain(&given.mean)) {
        assert!((a - b).abs() < 1e-9);
    }
    let projected = given.project(&masked, 0..9, 0..9).expect("the whole scene");
    assert_eq!(projected.mask.iter().filter(|valid| !**valid).count(), 9);
    for component in projected.values.chunks_exact(81) {
        assert!(component[72..].iter().all(|value| *value == 0.0));
        assert!(component.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn float32_nodata_is_recognised() {
    let mut cube = scene(5, 5, 4);
    cube.info.nodata = Some(-3.4028235e38);
    for value in &mut cube.samples[..4] {
        *value = f64::from(f32::MIN);
    }
    assert!(!fit(&cube, 2).expect("24 pixels").project(&cube, 0..5, 0..5).expect("whole").mask[0]);
}

#[test]
fn bad_and_dead_bands_are_left_out() {
    let mut cube = scene(8, 9, 10);
    cube.info.good_bands[3] = false;
    // Band 7 holds nothing although the file does not say so; band 5 lacks one pixel and stays.
    for pixel in 0..72 {
        cube.samples[pixel * 10 + 3] = 1e9 * pixel as f64;
        cube.samples[pixel * 10 + 7] = f64::NAN;
    }
    cube.samples[5] = f64::NAN;
    let projection = fit(&cube, 3).expect("8 bands");
    assert_eq!(projection.bands, [0, 1, 2, 4, 5, 6, 8, 9]);
    let mask = projection.project(&cube, 0..8, 0..9).expect("whole").mask;
    assert_eq!(mask.iter().position(|valid| !valid), Some(0));
    assert_eq!(mask.iter().filter(|valid| **valid).count(), 71);
}

#[test]
fn constant_bands_are_harmless() {
    let mut cube = scene(8, 9, 6);
    for pixel in 0..72 {
        cube.samples[pixel * 6 + 2] = 0.1;
    }
    for method in [Method::Standardise, Method::Pca { components: 6, whiten: true }] {
        let options = FitOptions { method, scale: false };
        let projection = fit_projection(&cube, &options).expect("a scene");
        let values = projection.project(&cube, 0..8, 0..9).expect("whole").values;
        assert!(values.iter().all(|value| value.is_finite() && value.abs() < 20.0));
        if method == Method::Standardise {
            assert!(values[2 * 72..3 * 72].iter().all(|value| value.abs() < 1e-6));
        }
    }
}

#[test]
fn fewer_independent_bands_than_components() {
    // Three sources in ten bands: three components, not ten with noise blown up.
    assert_eq!(fit(&scene(8, 9, 10), 20).expect("rank 3").len(), 3);
    // Two pixels have one direction.
    assert_eq!(fit(&scene(1, 2, 10), 5).expect("rank 1").len(), 1);
    let wide = fit(&scene(9, 9, 2), 30).expect("two bands");
    assert_eq!((wide.len(), wide.components.len()), (2, 4));
    let total: f64 = wide.explained_ratio().iter().sum();
    assert!((total - 1.0).abs() < 1e-12);
}

#[test]
fn large_offsets_do_not_cancel() {
    // A variance of 1 on an offset of a billion: a one-pass sum of squares would lose all digits.
    let mut samples = Vec::new();
    for pixel in 0..100 {
        let value = f64::from(pixel % 2) * 2.0 - 1.0;
        samples.extend([1e9 + value, 1e9 - 3.0 * value]);
    }
    let cube = TestCube::new(10, 10, 2, samples);
    let options = FitOptions { method: Method::Pca { components: 1, whiten: false }, scale: false };
    let projection = fit_projection(&cube, &options).expect("a scene");
    assert!((projection.variance[0] - 10.0 * 100.0 / 99.0).abs() < 1e-5, "{}", projection.variance[0]);
}

#[test]
fn scenes_without_anything_to_learn() {
    let constant = TestCube::new(4, 4, 3, vec![0.3; 48]);
    assert!(matches!(fit(&constant, 2), Err(PreprocessError::Constant { .. })));
    let one_pixel = TestCube::new(1, 1, 3, vec![1.0, 2.0, 3.0]);
    assert!(matches!(fit(&one_pixel, 2), Err(PreprocessError::Constant { .. })));
    let empty = TestCube::new(4, 4, 3, vec![f64::NAN; 48]);
    assert!(matches!(fit(&empty, 2), Err(PreprocessError::NoData { .. })));
    let mut bad = scene(4, 4, 3);
    bad.info.good_bands.fill(false);
    assert!(matches!(fit(&bad, 2), Err(PreprocessError::NoBands { .. })));
    let mut huge = scene(4, 4, 3);
    huge.samples[7] = 1e200;
    assert!(matches!(fit(&huge, 2), Err(PreprocessError::TooLarge { .. })));
    assert_eq!(fit(&scene(4, 4, 3), 0), Err(PreprocessError::NoComponents));
    assert!(matches!(fit(&TestCube::new(0, 4, 3, Vec::new()), 1), Err(PreprocessError::NoData { .. })));
}

#[test]
fn fitting_goes_block_by_block() {
    let cube = scene(10, 4, 3);
    let mut fit = ProjectionFit::new(&cube, FitOptions::whitened(1)).expect("a scene");
    let mut reports = Vec::new();
    while fit.read_next().expect("a scene") {
        reports.push(fit.rows());
    }
    assert_eq!(reports.first(), Some(&(3, 20)));
    assert_eq!(reports.last(), Some(&(20, 20)));
    assert!(reports.is_sorted());
    let stepwise = fit.finish().expect("a scene");
    assert_eq!(stepwise, fit_projection(&cube, &FitOptions::whitened(1)).expect("a scene"));
}

#[test]
fn a_projection_knows_its_sensor() {
    let mut cube = scene(6, 6, 5);
    cube.info.wavelengths_nm = Some(vec![400.0, 500.0, 600.0, 700.0, 800.0]);
    let projection = fit(&cube, 2).expect("a scene");
    let bytes = postcard::to_stdvec(&projection).expect("to bytes");
    let kept: Projection = postcard::from_bytes(&bytes).expect("from bytes");
    assert_eq!(kept, projection);

    cube.info.wavelengths_nm = Some(vec![404.0, 504.0, 604.0, 704.0, 804.0]);
    assert!(kept.project(&cube, 0..6, 0..6).is_ok());
    cube.info.wavelengths_nm = Some(vec![400.0, 500.0, 600.0, 900.0, 1000.0]);
    let error = kept.project(&cube, 0..6, 0..6).expect_err("another sensor");
    assert!(matches!(error, PreprocessError::Wavelength { band: 3, .. }), "{error}");
    let error = kept.project(&scene(6, 6, 4), 0..6, 0..6).expect_err("four bands");
    assert!(matches!(error, PreprocessError::Bands { bands: 4, expected: 5, .. }), "{error}");
    let error = kept.project(&scene(6, 6, 5), 0..7, 0..6).expect_err("seven rows");
    assert!(matches!(error, PreprocessError::Window { last_row: 6, .. }), "{error}");
    assert!(kept.project(&scene(6, 6, 5), 3..3, 0..6).is_err());
}
