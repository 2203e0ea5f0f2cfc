//! Which implementation a matrix is multiplied with. One rule for each kind of machine, from measurements
//! (`benches/quantized.rs`); a choice timed on the user's own device would replace [`Tuning::of_gpu`].

use cubecl::client::Client;

use super::block::WeightKind;

/// A choice of implementations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuning {
    pub cpu: CpuMethod,
    pub gpu: GpuTile,
    /// A matrix of more outputs lies in several buffers on the GPU; `None` splits only what the adapter cannot bind whole.
    pub output_limit: Option<usize>,
}

/// How the CPU multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CpuMethod {
    /// Weights as stored times x rounded to 16 bits per 32 numbers, summed exactly over each block: twice as many products an
    /// instruction as in float32. Float kinds take [`CpuMethod::Float`] instead.
    Integer,
    /// Panels of weights as float32, our own loops.
    Float,
    /// Slices of weights as float32, multiplied by burn: natively that has wider vectors, chosen at run time, and threads.
    Slices,
}

/// Where a GPU kernel keeps what several outputs share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GpuTile {
    /// In the registers of one invocation: no barriers, which software adapters pay dearly for.
    Registers,
    /// In workgroup memory.
    Workgroup,
}

impl Tuning {
    /// The rule for the CPU.
    pub fn of_cpu(kind: WeightKind) -> Self {
        let cpu = if kind.is_quantized() {
            CpuMethod::Integer
        } else if cfg!(target_family = "wasm") {
            CpuMethod::Float
        } else {
            CpuMethod::Slices
        };
        Self { cpu, gpu: GpuTile::Registers, output_limit: None }
    }

    /// The rule for a GPU.
    pub(super) fn of_gpu(client: &Client) -> Self {
        let properties = client.properties();
        let name = properties.identity.name.to_lowercase();
        // A browser may keep the name to itself; SwiftShader's subgroups of 4 no hardware has.
        let software = ["swiftshader", "llvmpipe", "lavapipe", "basic render"].iter().any(|known| name.contains(known))
            || properties.hardware.plane_size_max <= 4;
        let gpu = if software { GpuTile::Registers } else { GpuTile::Workgroup };
        Self { cpu: CpuMethod::Slices, gpu, output_limit: None }
    }
}
