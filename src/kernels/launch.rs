//! How a WGSL text of `shaders/` gets to run on burn's GPU backend.
//!
//! Every kernel stays within WebGPU's default limits: at most 8 storage buffers, 256 invocations and 16 KiB of workgroup
//! memory in a workgroup, at most 65535 workgroups a dimension. Most take 64 invocations and under 1 KiB.
//!
//! A text that the driver refuses fails the launch natively: reading a result gives the error. In the browser nothing can
//! wait for the driver's answer, and a refused kernel leaves its output unwritten; [`self_test`](super::self_test) finds out.

use burn::backend::TensorMetadata;
use burn::backend::wgpu::{CubeDim, CubeTensor, KernelSource, SourceKernel, into_contiguous};
use burn::tensor::{DType, Shape};
use cubecl::client::Client;
use cubecl::prelude::{BufferIOAttr, CubeCount};
use cubecl::server::{Handle, KernelArguments};

/// Invocations of most workgroups, as in the shaders.
pub const GROUP: usize = 64;

/// Workgroups of one dimension, WebGPU's default limit.
const MAX_GROUPS: usize = 65535;

/// How the shaders bind their inputs. Natively several tensors share one buffer, and WebGPU lets a dispatch use a buffer in
/// one way only; in the browser every tensor has its own, and one tensor may then be bound twice.
pub fn input_access() -> &'static str {
    if cfg!(target_family = "wasm") { "read" } else { "read_write" }
}

/// Does a processor pretend to be a GPU? Barriers and workgroup memory then cost far more than they save.
pub fn is_software(client: &Client) -> bool {
    let properties = client.properties();
    let name = properties.identity.name.to_lowercase();
    // A browser may keep the name to itself; SwiftShader's subgroups of 4 no hardware has.
    ["swiftshader", "llvmpipe", "lavapipe", "basic render"].iter().any(|known| name.contains(known))
        || properties.hardware.plane_size_max <= 4
}

/// The tensor in row-major order, copied only when it is not already.
pub fn dense(tensor: CubeTensor) -> CubeTensor {
    assert_eq!(tensor.dtype(), DType::F32, "the kernels take float32 tensors");
    into_contiguous(tensor)
}

/// A tensor on the device of `like`, which a kernel will fill.
pub fn empty(like: &CubeTensor, shape: Shape) -> CubeTensor {
    let handle = like.client.empty(shape.num_elements() * size_of::<f32>());
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, DType::F32)
}

/// Runs one kernel in so many workgroups, spread over x and y; its bindings are the inputs, then the outputs.
pub fn run<K: KernelSource>(client: &Client, kernel: K, groups: usize, inputs: &[&Handle], outputs: &[&Handle]) {
    run_sized(client, kernel, GROUP, groups, inputs, outputs);
}

/// The same for a kernel of another workgroup size, at most 256 invocations.
pub fn run_sized<K: KernelSource>(
    client: &Client,
    kernel: K,
    group: usize,
    groups: usize,
    inputs: &[&Handle],
    outputs: &[&Handle],
) {
    let rows = groups.div_ceil(MAX_GROUPS).max(1);
    assert!(rows <= MAX_GROUPS, "{groups} workgroups are beyond the limit of WebGPU");
    // Rows of equal length, so that at most one workgroup a row has nothing to do.
    let count = CubeCount::Static(groups.div_ceil(rows) as u32, rows as u32, 1);
    let mut arguments = KernelArguments::new();
    for input in inputs {
        arguments = arguments.with_buffer_io((*input).clone().binding(), BufferIOAttr::ReadOnly);
    }
    for output in outputs {
        arguments = arguments.with_buffer_io((*output).clone().binding(), BufferIOAttr::ReadWrite);
    }
    client.launch(Box::new(SourceKernel::new(kernel, CubeDim::new_1d(group as u32))), count, arguments);
}
