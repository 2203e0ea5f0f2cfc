//! ViT-H, 1.31 billion parameters, in a tab: built by the formula directly as Q4_0, uploaded tensor by tensor.

use burn::backend::Cube;
use burn::tensor::{Device, Tensor, TensorData};
use cubecl::MemoryScope;
use serde_json::json;
use sigmascope::model::{Config, Formula, HyperSigma, Quantizing, Task, formula};
use sigmascope::weights::Quantization;

use crate::official::{Mismatch, ensure, values};

/// Pages of WebAssembly's memory.
const PAGE: usize = 64 << 10;

/// 16 x 16 pixels in patches of 4: 16 spatial tokens, and the official 100 spectral ones. `complete` also builds the 21
/// spectral blocks that change nothing.
fn config(complete: bool) -> Config {
    Config { patch: 4, complete, ..Config::huge(Task::Segmentation, [16; 2], 8, 6) }
}

/// Builds, maps and gives a JSON document of times and bytes; the page counts the GPU's buffers itself.
pub async fn run(device: &Device, complete: bool) -> Result<String, Mismatch> {
    let config = config(complete);
    let started = now_s();
    let mut formula = Formula;
    let mut source = Quantizing::new(&mut formula, Quantization::Q4_0);
    let network = HyperSigma::new(&config, &mut source, device).map_err(|error| Mismatch(error.to_string()))?;
    let build_s = now_s() - started;
    let heap_built = heap();

    let started = now_s();
    let shape = [1, config.components, config.rows, config.cols];
    let input = formula::input(shape.iter().product());
    let input = Tensor::<4>::from_data(TensorData::new(input, shape), device);
    let logits = values(network.forward(input)).await?;
    let map_s = now_s() - started;
    ensure(logits.iter().all(|logit| logit.is_finite()), || "a logit is not finite".to_owned())?;
    let norm = logits.iter().map(|&logit| f64::from(logit).powi(2)).sum::<f64>().sqrt();
    ensure(norm > 0.0, || "all logits are zero".to_owned())?;

    let probe = Tensor::<1>::zeros([1], device).try_into_primitive::<Cube>();
    let probe = probe.map_err(|_| Mismatch("this is no GPU".to_owned()))?;
    let usage = probe.client.memory_report(MemoryScope::Device).usage();
    Ok(json!({
        "complete": complete, "parameters": config.parameter_count(), "build_s": build_s, "map_s": map_s,
        "heap_bytes_built": heap_built, "heap_bytes": heap(),
        "burn_bytes_in_use": usage.bytes_in_use, "burn_bytes_reserved": usage.bytes_reserved,
        "logits": logits.len(), "logits_l2": norm,
    })
    .to_string())
}

fn now_s() -> f64 {
    js_sys::Date::now() / 1000.0
}

/// Bytes of WebAssembly's memory, which only grows: the peak.
fn heap() -> usize {
    core::arch::wasm32::memory_size(0) * PAGE
}
