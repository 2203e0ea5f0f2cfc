//! The GPU of these tests: a program can open it once.

use std::sync::OnceLock;

use burn::tensor::Device;

/// `None`, and a line that says so, where there is no Vulkan adapter.
pub fn device() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| Device::wgpu_options().init().ok()).clone();
    if device.is_none() {
        println!("SKIP training on a GPU: no Vulkan adapter");
    }
    device
}
