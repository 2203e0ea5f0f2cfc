//! The operation through burn, on any device.

use std::sync::OnceLock;

use burn::backend::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind, read_sync};

use crate::official::sampling::{Case, Results};

/// Forward and backward pass through the public function.
pub fn run(case: &Case, device: &Device) -> Results {
    read_sync(case.run(device)).unwrap()
}

/// A Vulkan device: a real one if there is one, otherwise Mesa's lavapipe. `None`, and a line that says so, without either.
pub fn vulkan() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| {
        let lavapipe = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";
        if std::env::var_os("VK_DRIVER_FILES").is_none() && std::path::Path::new(lavapipe).exists() {
            // SAFETY: the tests read no environment variable at the same time, and the driver has not been loaded yet.
            unsafe { std::env::set_var("VK_DRIVER_FILES", lavapipe) };
        }
        [DeviceKind::DefaultDevice, DeviceKind::Cpu].into_iter().find_map(|kind| {
            let options = Device::wgpu_options().graphics_api(WgpuBackend::Vulkan).device_kind(kind);
            options.init().map_err(|error| println!("no Vulkan device: {error}")).ok()
        })
    });
    if device.is_none() {
        println!("SKIP sparse sampling attention on Vulkan: no adapter here");
    }
    device.clone()
}
