//! Reference numbers, and how far from them is too far.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData, read_sync};
use safetensors::{Dtype, SafeTensors};

/// `../shared` beside the package, or what SIGMASCOPE_SHARED names. Says so when it is not there.
pub fn shared(what: &str) -> Option<PathBuf> {
    let path = match std::env::var_os("SIGMASCOPE_SHARED") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    if path.join("reference").is_dir() {
        return Some(path);
    }
    println!("SKIP {what}: ../shared is not here");
    None
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A tensor of a reference file, integers as numbers too.
#[derive(Debug, Clone)]
pub struct Stored {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Stored {
    pub fn floats(&self) -> Vec<f32> {
        self.values.iter().map(|value| *value as f32).collect()
    }

    pub fn tensor<const D: usize>(&self, device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.floats(), self.shape.clone()), device)
    }
}

pub fn read(path: &Path) -> BTreeMap<String, Stored> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(name, view)| {
            let values = match view.dtype() {
                Dtype::F32 => chunks(view.data(), |chunk| f64::from(f32::from_le_bytes(chunk))),
                Dtype::F64 => chunks(view.data(), f64::from_le_bytes),
                Dtype::I64 => chunks(view.data(), |chunk| i64::from_le_bytes(chunk) as f64),
                other => panic!("{name}: {other:?}"),
            };
            (name.to_string(), Stored { shape: view.shape().to_vec(), values })
        })
        .collect()
}

fn chunks<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    read_sync(tensor.inner().into_data_async()).unwrap().as_slice::<f32>().unwrap().to_vec()
}

/// Largest deviation, and ‖ours - theirs‖ / ‖theirs‖.
#[derive(Debug, Clone, Copy)]
pub struct Deviation {
    pub max_abs: f64,
    pub rel_l2: f64,
}

pub fn deviation(ours: &[f32], theirs: &[f64]) -> Deviation {
    assert_eq!(ours.len(), theirs.len(), "number of values");
    assert!(ours.iter().all(|value| value.is_finite()), "a value is not finite");
    let (mut max_abs, mut difference, mut norm) = (0f64, 0f64, 0f64);
    for (ours, theirs) in ours.iter().zip(theirs) {
        let delta = f64::from(*ours) - theirs;
        max_abs = max_abs.max(delta.abs());
        difference += delta * delta;
        norm += theirs * theirs;
    }
    Deviation { max_abs, rel_l2: (difference / norm.max(f64::MIN_POSITIVE)).sqrt() }
}

/// At most `limit` values, evenly spread: value k is number ⌊k n / m⌋. The fixtures were sampled so.
pub fn sample(values: &[f32], limit: usize) -> Vec<f32> {
    let count = limit.min(values.len());
    (0..count).map(|k| values[k * values.len() / count]).collect()
}

/// The worst of many comparisons, for the report.
#[derive(Default)]
pub struct Worst(Option<(String, Deviation)>);

impl Worst {
    pub fn see(&mut self, name: &str, deviation: Deviation) {
        if self.0.as_ref().is_none_or(|(_, worst)| deviation.rel_l2 > worst.rel_l2) {
            self.0 = Some((name.into(), deviation));
        }
    }

    pub fn report(&self, what: &str) {
        if let Some((name, Deviation { max_abs, rel_l2 })) = &self.0 {
            println!("{what}: worst {name}, rel L2 {rel_l2:.1e}, max abs {max_abs:.1e}");
        }
    }
}

/// A Vulkan device, or a line that says why not. The first tensor operation on a missing adapter would panic.
pub fn vulkan(what: &str) -> Option<Device> {
    use std::sync::OnceLock;
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| Device::wgpu_options().init().ok()).clone();
    if device.is_none() {
        println!("SKIP {what}: no Vulkan adapter");
    }
    device
}
