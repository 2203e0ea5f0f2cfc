//! Which implementation a matrix is multiplied with. One rule for each kind of machine, from measurements
//! (`benches/quantized`); on a real GPU, which none of them saw, [`measure`] times the choice once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::backend::Cube;
use burn::tensor::{Device, ExecutionError, Tensor};
use cubecl::client::Client;

use super::block::WeightKind;
use super::{Activation, QuantizedMatrix, quantized_linear};
use crate::kernels::launch::is_software;

/// A choice of implementations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuning {
    pub cpu: CpuMethod,
    pub gpu: GpuTile,
    /// Bytes of the largest buffer that a matrix may lie in on the GPU; a larger one lies in several. `None`: what the adapter
    /// can bind, which is also the most that is ever taken.
    pub binding_limit: Option<usize>,
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

/// What was measured, by the adapter's name, for the life of the program.
static MEASURED: Mutex<BTreeMap<String, GpuTile>> = Mutex::new(BTreeMap::new());

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
        Self { cpu, gpu: GpuTile::Registers, binding_limit: None }
    }

    /// What was measured on this GPU, or the rule.
    pub(super) fn of_gpu(client: &Client) -> Self {
        let known = MEASURED.lock().unwrap_or_else(PoisonError::into_inner).get(&name(client)).copied();
        let rule = if is_software(client) { GpuTile::Registers } else { GpuTile::Workgroup };
        Self { cpu: CpuMethod::Slices, gpu: known.unwrap_or(rule), binding_limit: None }
    }
}

fn name(client: &Client) -> String {
    client.properties().identity.name.clone()
}

/// Times both tiles once on this GPU and remembers the faster for all matrices that are built later; `now_s` is a clock in
/// seconds. On a software adapter and on the CPU nothing is measured: the rule is what was measured there.
///
/// # Errors
/// When the device fails.
pub async fn measure(device: &Device, now_s: impl Fn() -> f64) -> Result<Option<GpuTile>, ExecutionError> {
    let device = device.clone().without_autodiff();
    let Ok(probe) = Tensor::<1>::zeros([1], &device).try_into_primitive::<Cube>() else { return Ok(None) };
    if is_software(&probe.client) {
        return Ok(None);
    }
    let tile = faster(&device, now_s).await?;
    MEASURED.lock().unwrap_or_else(PoisonError::into_inner).insert(name(&probe.client), tile);
    Ok(Some(tile))
}

/// The faster tile for 256 rows and a Q8_0 matrix of Base: the best of some runs of each, in turn, after one that compiles.
pub async fn faster(device: &Device, now_s: impl Fn() -> f64) -> Result<GpuTile, ExecutionError> {
    const SHAPE: [usize; 2] = [768, 768];
    const ROWS: usize = 256;
    const RUNS: usize = 4;
    // Runs that are waited for together, so that waiting weighs little.
    const TOGETHER: usize = 4;
    let bytes = vec![0; SHAPE[0] * SHAPE[1] / 32 * WeightKind::Q8_0.block_bytes()];
    let x = Tensor::<2>::ones([ROWS, SHAPE[1]], device);
    let tiles = [GpuTile::Registers, GpuTile::Workgroup];
    let matrices = tiles.map(|gpu| {
        let tuning = Tuning { cpu: CpuMethod::Slices, gpu, binding_limit: None };
        QuantizedMatrix::tuned(WeightKind::Q8_0, SHAPE, &bytes, device, tuning)
            .unwrap_or_else(|_| unreachable!("the bytes are those of the shape"))
    });
    let mut best = [f64::INFINITY; 2];
    for run in 0..=RUNS {
        for (best, matrix) in best.iter_mut().zip(&matrices) {
            let start = now_s();
            let mut last = x.clone();
            for _ in 0..TOGETHER {
                last = quantized_linear(x.clone(), matrix, None, Activation::None);
            }
            // Reading one number is what waits for all.
            last.slice([0..1, 0..1]).into_data_async().await?;
            if run > 0 {
                *best = best.min(now_s() - start);
            }
        }
    }
    Ok(if best[0] <= best[1] { tiles[0] } else { tiles[1] })
}
