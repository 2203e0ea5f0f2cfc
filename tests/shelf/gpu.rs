//! What weights take on a GPU, and that letting go of them gives it back.

use std::rc::Rc;

use burn::backend::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use sigmascope::engine::fit::Work;
use sigmascope::engine::memory::{limits, measure, release};
use sigmascope::engine::message::{FitPurpose, MemoryUse};
use sigmascope::model::{Config, HyperSigma, Task, formula};
use sigmascope::train::{Lora, Start, Tuning};
use sigmascope::weights::{Pretrained, Quantization};

use super::{bytes, gguf};

/// A real GPU, otherwise Mesa's lavapipe. `None`, and a line that says so, without either.
fn vulkan() -> Option<Device> {
    let lavapipe = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";
    if std::env::var_os("VK_DRIVER_FILES").is_none() && std::path::Path::new(lavapipe).exists() {
        // SAFETY: the tests read no environment variable at the same time, and the driver has not been loaded yet.
        unsafe { std::env::set_var("VK_DRIVER_FILES", lavapipe) };
    }
    let device = [DeviceKind::DefaultDevice, DeviceKind::Cpu].into_iter().find_map(|kind| {
        let options = Device::wgpu_options().graphics_api(WgpuBackend::Vulkan).device_kind(kind);
        options.init().map_err(|error| println!("no Vulkan device: {error}")).ok()
    });
    if device.is_none() {
        println!("SKIP memory of weights on Vulkan: no adapter here");
    }
    device
}

/// Bytes that are in use on the GPU, and bytes that are taken from it.
fn held(device: &Device) -> (u64, u64) {
    let MemoryUse { gpu_bytes, gpu_reserved_bytes, .. } = measure(Some(device));
    (gpu_bytes.unwrap(), gpu_reserved_bytes.unwrap())
}

#[test]
fn a_network_that_is_dropped_gives_its_memory_back() {
    let Some(device) = vulkan() else { return };
    let network = Config::nano(Task::Segmentation, [64, 64], 8, 6);
    let pretrained = Rc::new(Pretrained::open(bytes("nano.gguf", gguf())).unwrap());
    let lora = Lora::default();
    let network = Config { patch: 8, ..network };
    release(&device);
    let before = held(&device);
    let mut start = Start::new(Some(&pretrained), &network, Some(lora), 0).unwrap();
    let model = HyperSigma::new(&network, &mut start, &device).unwrap();
    let built = held(&device);
    let shape = [1, network.components, network.rows, network.cols];
    let x = Tensor::<4>::from_data(TensorData::new(formula::input(shape.iter().product()), shape), &device);
    drop(model.forward(x).into_data());
    drop(model);
    release(&device);
    let after = held(&device);

    let (quantization, tuning) = (Quantization::Q8_0, Tuning::Lora(lora));
    let work = Work { network, quantization, purpose: FitPurpose::Train, tuning, average: true, checkpointing: false };
    let (said, found) = (work.needs().bytes.weights, built.0 - before.0);
    println!("weights on the GPU: {said} bytes said, {found} found; taken {} before, {} after", before.1, after.1);
    let ratio = found as f64 / said as f64;
    // Constant matrices of the embedding and the head come on top; at this size they count.
    assert!((0.95..1.5).contains(&ratio), "{said} said, {found} found");
    assert!(after.0 <= before.0 + 4096, "{before:?} {built:?} {after:?}");
    assert!(after.1 < built.1, "{before:?} {built:?} {after:?}");
    assert!(limits(&device).binding.is_some_and(|bytes| bytes >= 128 << 20));
}
