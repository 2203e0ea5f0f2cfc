//! Whole networks, quantized, beside the dense one of float32; with the memory that each takes.

use std::time::Instant;

use burn::backend::Cube;
use burn::tensor::{Tensor, TensorData};
use cubecl::MemoryScope;
use sigmascope::model::{
    Config, Formula, HyperSigma, NamedValues, ParameterError, ParameterSource, Quantizing, StoredWeights, Task, formula,
};
use sigmascope::weights::Quantization;

use super::{Bench, round};

const TILE: [usize; 2] = [128, 128];
const COMPONENTS: usize = 20;
const CLASSES: usize = 9;

pub fn run(bench: &Bench) {
    let (task, tile) = (Task::Segmentation, TILE);
    for (case, config, runs) in [
        ("nano_forward", Config::nano(task, tile, COMPONENTS, CLASSES), 7),
        ("base_forward", Config::base(task, tile, COMPONENTS, CLASSES), 5),
        ("large_forward", Config::large(task, tile, COMPONENTS, CLASSES), 3),
        ("huge_forward", Config::huge(task, tile, COMPONENTS, CLASSES), 3),
    ] {
        let large = config.embed_dim > 768;
        if bench.wants(case, "") && (!large || bench.filter.contains(case)) {
            networks(bench, case, &config, &Quantization::ALL, runs);
        }
    }
    // What the browser tests build: one small tile, without and with the blocks that change nothing.
    for (case, complete) in [("huge_tile", false), ("huge_tile_complete", true)] {
        if bench.filter.contains("huge_tile") {
            let config = Config { patch: 4, complete, ..Config::huge(Task::Segmentation, [16; 2], 8, 6) };
            networks(bench, case, &config, &[Quantization::Q4_0], 1);
        }
    }
}

/// One network at a time, so that the memory is its own; the first is what the others are compared with.
fn networks(bench: &Bench, case: &str, config: &Config, quantizations: &[Quantization], runs: usize) {
    let mut first_s = None;
    for &quantization in quantizations {
        println!("{}", forward(bench, case, config, quantization, runs, &mut first_s));
    }
}

fn forward(
    bench: &Bench,
    case: &str,
    config: &Config,
    quantization: Quantization,
    runs: usize,
    plain_s: &mut Option<f64>,
) -> serde_json::Value {
    let before = memory(bench);
    reset_peak();
    let start = Instant::now();
    let mut formula = Formula;
    let mut source = Counting { source: &mut Quantizing::new(&mut formula, quantization), bytes: 0 };
    let network = HyperSigma::new(config, &mut source, &bench.device).expect("a preset");
    let weights = source.bytes;
    let build_s = start.elapsed().as_secs_f64();
    let shape = [1, config.components, config.rows, config.cols];
    let input = formula::input(shape.iter().product());
    let input = Tensor::<4>::from_data(TensorData::new(input, shape), &bench.device);
    let run = || drop(network.forward(input.clone()));
    let first_s = bench.wait(&run);
    let mut seconds: Vec<f64> = (0..runs).map(|_| bench.wait(&run)).collect();
    seconds.sort_by(f64::total_cmp);
    let (best_s, median_s) = (seconds[0], seconds[runs / 2]);
    let plain_s = *plain_s.get_or_insert(median_s);
    let flop = config.forward_flop();
    serde_json::json!({
        "case": case, "device": bench.name, "implementation": format!("network {}", quantization.name()),
        "build_s": round(build_s), "first_s": round(first_s), "best_s": round(best_s), "median_s": round(median_s),
        "of_first": round(median_s / plain_s), "gflop": round(flop / 1e9),
        "gflop_per_second": round(flop / median_s / 1e9), "best_gflop_per_second": round(flop / best_s / 1e9),
        "weight_bytes": weights, "memory_bytes": memory(bench).saturating_sub(before), "process_peak_bytes": peak(),
    })
}

/// Adds up the bytes of what passes.
struct Counting<'a> {
    source: &'a mut dyn ParameterSource,
    bytes: usize,
}

impl ParameterSource for Counting<'_> {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        let values = self.source.values(name, shape)?;
        self.bytes += size_of_val(values.as_slice());
        Ok(values)
    }

    fn unused(&mut self, _: &str, _: &[usize]) -> Result<Option<NamedValues>, ParameterError> {
        Ok(None)
    }

    fn stored(&mut self, name: &str, shape: [usize; 2]) -> Result<Option<StoredWeights>, ParameterError> {
        let stored = self.source.stored(name, shape)?;
        self.bytes += stored.as_ref().map_or(0, |stored| stored.bytes.len());
        Ok(stored)
    }
}

/// What the device holds now: of the GPU what burn has reserved, of the CPU the resident memory of the process.
fn memory(bench: &Bench) -> u64 {
    if bench.is_cpu() {
        return status("VmRSS:");
    }
    let probe = Tensor::<1>::zeros([1], &bench.device).try_into_primitive::<Cube>().expect("a GPU tensor");
    probe.client.memory_cleanup().expect("the device answers");
    probe.client.memory_report(MemoryScope::Device).usage().bytes_reserved
}

/// The most that was resident since [`reset_peak`].
fn peak() -> u64 {
    status("VmHWM:")
}

/// Linux forgets the peak when it is told to; elsewhere it is that of the whole run.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// A field of `/proc/self/status` in bytes; 0 where there is none.
fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
