//! The reference cases of `shared/reference/ssa_op`, and random inputs.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sigmascope::kernels::SamplingShape;
use std::path::{Path, PathBuf};

/// Small cases, kept with the tests.
pub const SMALL: [&str; 5] = ["tiny", "square", "nonsquare", "outside", "integer_offsets"];
/// The size of the real spectral encoder, read from `../shared`.
pub const LARGE: &str = "spectral_base";

/// Inputs of the operation and what the official code made of them.
pub struct Case {
    pub name: String,
    pub shape: SamplingShape,
    pub q: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
    pub offsets: Vec<f32>,
    pub grad_out: Vec<f32>,
    pub expected: Vec<Expected>,
}

/// One tensor of the official code.
pub struct Expected {
    pub name: &'static str,
    pub values: Vec<f32>,
    /// Limits of the README: relative L2 and largest difference.
    pub relative: f64,
    pub absolute: f64,
}

/// The outputs of one implementation, in the order of [`RESULTS`].
pub type Results = [Vec<f32>; 5];

pub const RESULTS: [&str; 5] = ["out", "grad_q", "grad_k", "grad_v", "grad_offsets"];

pub fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = SMALL
        .iter()
        .map(|name| read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ssa_op"), name))
        .collect();
    match shared() {
        Some(folder) => cases.push(read(&folder, LARGE)),
        None => println!("SKIP ssa_op/{LARGE}: ../shared is not here"),
    }
    cases
}

fn shared() -> Option<PathBuf> {
    let root = match std::env::var_os("SIGMASCOPE_SHARED") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    let folder = root.join("reference/ssa_op");
    folder.is_dir().then_some(folder)
}

fn read(folder: &Path, name: &str) -> Case {
    let json = std::fs::read(folder.join(format!("{name}.json"))).expect("the case's JSON");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("valid JSON");
    let size = |key: &str| json[key].as_u64().expect("a size") as usize;
    let shape = SamplingShape {
        batch: size("batch"),
        heads: size("heads"),
        rows: size("grid_height"),
        cols: size("grid_width"),
        head_dim: size("head_dim"),
        points: size("points"),
    };
    let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).expect("the case's tensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("valid safetensors");
    let floats = |key: &str| {
        let tensor = tensors.tensor(key).ok()?;
        assert_eq!(tensor.dtype(), safetensors::Dtype::F32);
        let values: Vec<f32> =
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Some(values)
    };
    let input = |key: &str| floats(key).expect("an input of the case");
    let expected: Vec<Expected> = RESULTS
        .into_iter()
        .filter_map(|name| {
            let absolute = if name == "grad_offsets" { 2e-4 } else { 5e-5 };
            Some(Expected { name, values: floats(name)?, relative: 5e-6, absolute })
        })
        .collect();
    // Only whole-numbered offsets leave out their gradient.
    assert_eq!(expected.len(), if name == "integer_offsets" { 4 } else { 5 }, "{name}");
    Case {
        name: name.to_string(),
        shape,
        q: input("q"),
        k: input("k"),
        v: input("v"),
        offsets: input("offsets"),
        grad_out: input("grad_out"),
        expected,
    }
}

impl Case {
    /// Random inputs of size 1 and offsets of up to `reach` cells; nothing is expected.
    pub fn random(shape: SamplingShape, reach: f32, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw =
            |len: usize, scale: f32| -> Vec<f32> { (0..len).map(|_| rng.random_range(-1.0f32..1.0) * scale).collect() };
        let qkv = shape.qkv().iter().product();
        Case {
            name: format!("random {shape:?}, reach {reach}, seed {seed}"),
            shape,
            q: draw(qkv, 1.0),
            k: draw(qkv, 1.0),
            v: draw(qkv, 1.0),
            grad_out: draw(qkv, 1.0),
            offsets: draw(shape.offsets().iter().product(), reach),
            expected: Vec::new(),
        }
    }

    /// Panics unless every tensor of the official code is met within its limits.
    pub fn check(&self, how: &str, results: &Results) {
        for expected in &self.expected {
            let index = RESULTS.iter().position(|&name| name == expected.name).expect("a known tensor");
            let (relative, absolute) = distance(&results[index], &expected.values);
            let what = format!("{} on {how}: {}", self.name, expected.name);
            println!("{what}: relative L2 {relative:.1e}, largest {absolute:.1e}");
            assert!(relative <= expected.relative && absolute <= expected.absolute, "{what} {relative:e} {absolute:e}");
        }
    }
}

/// Relative L2 distance and largest difference. NaN anywhere makes both NaN, which no limit accepts.
pub fn distance(values: &[f32], expected: &[f32]) -> (f64, f64) {
    assert_eq!(values.len(), expected.len());
    let (mut error, mut norm, mut largest) = (0.0f64, 0.0f64, 0.0f64);
    for (&value, &expected) in values.iter().zip(expected) {
        let difference = (f64::from(value) - f64::from(expected)).abs();
        error += difference * difference;
        norm += f64::from(expected).powi(2);
        largest = if difference.is_nan() { f64::NAN } else { largest.max(difference) };
        if largest.is_nan() {
            return (f64::NAN, f64::NAN);
        }
    }
    ((error / norm.max(f64::MIN_POSITIVE)).sqrt(), largest)
}
