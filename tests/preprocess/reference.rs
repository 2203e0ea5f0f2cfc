//! Every array of the reference.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use sigmascope::labels::{OfficialRule, official_split};
use sigmascope::preprocess::{FitOptions, Method, Projection, fit_projection, patch, tile_owner, tile_starts};

use crate::cube::TestCube;

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new("tests/fixtures/preprocess").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A tensor's shape and values.
fn tensor(name: &str) -> (Vec<usize>, Vec<f64>) {
    let bytes = fixture("preprocess.safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let view = file.tensor(name).expect(name);
    let data = view.data();
    let values = match view.dtype() {
        Dtype::F32 => data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
        Dtype::F64 => data.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        Dtype::I64 => data.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
        other => panic!("{name} has the type {other:?}"),
    };
    (view.shape().to_vec(), values)
}

fn json() -> Value {
    serde_json::from_slice(&fixture("preprocess.json")).expect("JSON")
}

fn cube(name: &str) -> TestCube {
    let (shape, values) = tensor(name);
    TestCube::new(shape[0], shape[1], shape[2], values)
}

fn fit(cube: &TestCube, options: &FitOptions) -> Projection {
    fit_projection(cube, options).expect("a sound scene")
}

/// Largest absolute difference, after a check that there is something to compare.
fn deviation(given: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(given.len(), expected.len());
    assert!(!expected.is_empty() && given.iter().all(|value| value.is_finite()));
    given.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Mean, components with their signs, variances and every whitened pixel. The reference is computed in float64, so only
/// the order of summation differs.
fn check_pca(source: &str, expected: &str, options: &FitOptions) {
    let cube = cube(source);
    let projection = fit(&cube, options);
    assert_eq!(projection.len(), 5);
    let (factor, offset) = projection.scaling.map_or((1.0, 0.0), |scaling| (scaling.factor, scaling.offset));
    let same_units: Vec<f64> = tensor(&format!("{expected}_mean")).1;
    assert!(deviation(&projection.mean, &same_units) < 1e-10, "mean, scaled by {factor} from {offset}");
    assert!(deviation(&projection.components, &tensor(&format!("{expected}_components")).1) < 1e-8, "components");
    let variance = tensor(&format!("{expected}_explained_variance")).1;
    assert!(deviation(&projection.variance, &variance) < 1e-9 * variance[0], "variance");

    // [row][col][component]
    let (shape, whitened) = tensor(expected);
    let pixels = shape[0] * shape[1];
    let given: Vec<f64> = (0..pixels)
        .flat_map(|pixel| projection.project_spectrum(cube.spectrum(pixel), None).expect("all pixels hold data"))
        .collect();
    let exact = deviation(&given, &whitened);
    assert!(exact < 1e-7, "{expected}: {exact:e}");

    // The network's input is float32: the same but for its rounding.
    let projected = projection.project(&cube, 0..shape[0], 0..shape[1]).expect("the whole scene");
    assert!(projected.mask.iter().all(|valid| *valid));
    let given: Vec<f64> = (0..pixels)
        .flat_map(|pixel| (0..5).map(move |component| (component, pixel)))
        .map(|(component, pixel)| f64::from(projected.values[component * pixels + pixel]))
        .collect();
    assert!(deviation(&given, &whitened) < 1e-6, "float32");
}

#[test]
fn whitened_pca_equals_the_reference_with_signs() {
    let raw = FitOptions { scale: false, ..FitOptions::whitened(5) };
    check_pca("cube", "pca_cube", &raw);
    check_pca("normal_cube", "pca_normal_cube", &raw);
}

#[test]
fn scaling_makes_no_difference_to_whitened_components() {
    let cube = cube("cube");
    let scaled = fit(&cube, &FitOptions::whitened(5));
    let plain = fit(&cube, &FitOptions { scale: false, ..FitOptions::whitened(5) });
    assert!(scaled.scaling.is_some() && plain.scaling.is_none());
    for pixel in 0..cube.info.rows * cube.info.cols {
        let project = |projection: &Projection| projection.project_spectrum(cube.spectrum(pixel), None).expect("data");
        assert!(deviation(&project(&scaled), &project(&plain)) < 1e-9);
    }
}

#[test]
fn global_scaling_equals_the_reference() {
    let cube = cube("cube");
    let (_, expected) = tensor("normal_cube");
    let scaling = fit(&cube, &FitOptions::whitened(1)).scaling.expect("asked for");
    let given: Vec<f64> = cube.samples.iter().map(|value| (value - scaling.offset) * scaling.factor).collect();
    // The reference is float32.
    assert!(deviation(&given, &expected) < 1e-6);
}

#[test]
fn components_of_the_whole_scene_have_mean_0_and_variance_1() {
    let cube = cube("cube");
    for method in [Method::Pca { components: 12, whiten: true }, Method::Standardise] {
        let projection = fit(&cube, &FitOptions { method, scale: true });
        let projected = projection.project(&cube, 0..24, 0..20).expect("the whole scene");
        for component in projected.values.chunks_exact(24 * 20) {
            let mean = component.iter().map(|v| f64::from(*v)).sum::<f64>() / 480.0;
            let variance = component.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / 479.0;
            assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
        }
    }
}

#[test]
fn windows_and_blocks_do_not_change_the_result() {
    let mut cube = cube("cube");
    let projection = fit(&cube, &FitOptions::whitened(4));
    cube.block = 1000;
    let other = fit(&cube, &FitOptions::whitened(4));
    assert!(deviation(&projection.components, &other.components) < 1e-12);
    let whole = projection.project(&cube, 0..24, 0..20).expect("the whole scene");
    cube.block = 2;
    let part = projection.project(&cube, 5..12, 3..19).expect("a window");
    for component in 0..4 {
        for row in 0..7 {
            for col in 0..16 {
                let part = part.values[(component * 7 + row) * 16 + col];
                assert_eq!(part, whole.values[(component * 24 + row + 5) * 20 + col + 3]);
            }
        }
    }
}

#[test]
fn patches_equal_the_reference() {
    let (shape, source) = tensor("patch_source");
    let (rows, cols, channels) = (shape[0], shape[1], shape[2]);
    // The reference is [row][col][channel], ours [channel][row][col].
    let image: Vec<f32> = (0..channels)
        .flat_map(|channel| (0..rows * cols).map(move |pixel| (pixel, channel)))
        .map(|(pixel, channel)| source[pixel * channels + channel] as f32)
        .collect();
    let (shape, expected) = tensor("patches_w5");
    assert_eq!(shape, [rows * cols, 5, 5, channels]);
    for pixel in 0..rows * cols {
        let window = patch(&image, rows, cols, pixel / cols, pixel % cols, 5);
        for (at, value) in expected[pixel * 25 * channels..][..25 * channels].iter().enumerate() {
            assert_eq!(f64::from(window[(at % channels) * 25 + at / channels]), *value, "pixel {pixel}");
        }
    }
    // One patch a pixel, in row-major order: so the labels of the patches are the labels of the pixels.
    assert_eq!(tensor("patch_labels").1.len(), rows * cols);
}

#[test]
fn tile_starts_equal_the_reference() {
    let json = json();
    let cases = json["tile_starts"].as_object().expect("an object");
    let mut compared = 0;
    for (key, starts) in cases {
        let Some(starts) = starts.as_array() else { continue };
        let sizes: Vec<usize> = key.split('/').map(|part| part.parse().expect("length/tile/overlap")).collect();
        let expected: Vec<usize> = starts.iter().map(|start| start.as_u64().expect("a start") as usize).collect();
        assert_eq!(tile_starts(sizes[0], sizes[1], sizes[2]), Ok(expected), "{key}");
        compared += 1;
    }
    assert_eq!(compared, 14);
}

#[test]
fn tile_owners_equal_the_reference() {
    let (shape, expected) = tensor("tile_owner_41x30_size16_overlap4");
    let owner = tile_owner(shape[0], shape[1], 16, 4).expect("valid sizes");
    let owner: Vec<f64> = owner.into_iter().map(|tile| tile as f64).collect();
    assert_eq!(owner, expected);
}

#[test]
fn splits_equal_the_reference() {
    let labels: Vec<u8> = tensor("split_labels").1.into_iter().map(|label| label as u8).collect();
    let json = json();
    let cases = [
        ("number_seed3704_train10_val5", OfficialRule::Number { train: 10, val: 5 }, 3704),
        ("number_seed0_train20_val20", OfficialRule::Number { train: 20, val: 20 }, 0),
        ("ratio_seed1_train0.05_val0.01", OfficialRule::Ratio { train: 0.05, val: 0.01 }, 1),
    ];
    assert_eq!(json["splits"].as_object().map(|splits| splits.len()), Some(cases.len()));
    for (name, rule, seed) in cases {
        let split = official_split(&labels, 5, rule, seed);
        for (list, given) in [("train", &split.train), ("val", &split.val), ("test", &split.test)] {
            let expected: Vec<u32> =
                serde_json::from_value(json["splits"][name][list].clone()).expect("a list of pixels");
            assert_eq!(given, &expected, "{name} {list}");
        }
    }
}
