//! The operation through burn, with gradients from the autodiff tape, on any device.

use crate::case::{Case, Results};
use burn::backend::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use sigmascope::kernels::sparse_sampling_attention;
use std::sync::OnceLock;

/// Forward and backward pass through the public function.
pub fn run(case: &Case, device: &Device) -> Results {
    let device = device.clone().autodiff();
    let shape = case.shape;
    let leaf =
        |data: &[f32]| Tensor::<4>::from_data(TensorData::new(data.to_vec(), shape.qkv()), &device).require_grad();
    let (q, k, v) = (leaf(&case.q), leaf(&case.k), leaf(&case.v));
    let offsets =
        Tensor::<5>::from_data(TensorData::new(case.offsets.clone(), shape.offsets()), &device).require_grad();
    let upstream = Tensor::<3>::from_data(TensorData::new(case.grad_out.clone(), shape.out()), &device);
    let out = sparse_sampling_attention(q.clone(), k.clone(), v.clone(), offsets.clone(), [shape.rows, shape.cols]);
    assert_eq!(out.dims(), shape.out());
    let grads = (out.clone() * upstream).sum().backward();
    let floats = |data: TensorData| data.try_to_vec::<f32>().expect("float32");
    let grad = |tensor: &Tensor<4>| {
        let grad = tensor.grad(&grads).expect("a gradient");
        assert_eq!(grad.dims(), shape.qkv());
        floats(grad.into_data())
    };
    let grad_offsets = offsets.grad(&grads).expect("a gradient");
    assert_eq!(grad_offsets.dims(), shape.offsets());
    [floats(out.into_data()), grad(&q), grad(&k), grad(&v), floats(grad_offsets.into_data())]
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
