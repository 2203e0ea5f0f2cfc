//! The reference for tests that wait for their device.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, read_sync};

use crate::official::{self, Deviation, Stored, parse};

pub fn read(path: &Path) -> BTreeMap<String, Stored> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse(&bytes).unwrap()
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    read_sync(official::values(tensor)).unwrap()
}

pub fn deviation(ours: &[f32], theirs: &[f64]) -> Deviation {
    official::deviation(ours, theirs).unwrap()
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
