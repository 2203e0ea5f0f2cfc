//! How fast frozen linear layers, full attention, layer norm and whole networks are, beside burn's own float32, as JSON lines.
//!
//! `cargo bench --profile dev --bench quantized [filter]` (the dev profile is optimised, and its dependencies are built
//! already). On Vulkan, if there is an adapter; `VK_DRIVER_FILES=/usr/share/vulkan/icd.d/lvp_icd.x86_64.json` chooses Mesa's
//! software one. A filter picks cases or implementations whose name contains it; `device=cpu` or `device=vulkan` before or
//! after it picks one device. Forward passes of Large and Huge run only when a filter names them.
//!
//! On a machine that does other things as well only `of_burn` means something: the median time divided by that of burn's
//! product (or the composed operation, or the dense network), whose runs alternate with ours. `bytes` are those of the
//! weights, the inputs and the outputs, once each.

mod attention;
mod forward;
mod linear;
mod norm;

use std::time::Instant;

use burn::backend::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = arguments.iter().find_map(|argument| argument.strip_prefix("device="));
    let filter = arguments.iter().find(|argument| !argument.contains('=')).cloned().unwrap_or_default();
    if wanted.is_none_or(|name| name == "cpu") {
        run(&Bench { name: "cpu", device: Device::flex(), filter: filter.clone() });
    }
    if wanted.is_none_or(|name| name == "vulkan") {
        let vulkan = [DeviceKind::DefaultDevice, DeviceKind::Cpu]
            .into_iter()
            .find_map(|kind| Device::wgpu_options().graphics_api(WgpuBackend::Vulkan).device_kind(kind).init().ok());
        match vulkan {
            Some(device) => run(&Bench { name: "vulkan", device, filter }),
            None => println!("SKIP Vulkan: no adapter here"),
        }
    }
}

fn run(bench: &Bench) {
    linear::run(bench);
    attention::run(bench);
    norm::run(bench);
    forward::run(bench);
}

struct Bench {
    name: &'static str,
    device: Device,
    filter: String,
}

/// What is measured beside the case: more fields of the record.
struct Work {
    implementation: String,
    flop: f64,
    bytes: usize,
}

impl Bench {
    fn is_cpu(&self) -> bool {
        self.name == "cpu"
    }

    fn wants(&self, case: &str, implementation: &str) -> bool {
        case.contains(&self.filter) || implementation.contains(&self.filter)
    }

    /// Random numbers of size 1.
    fn draw<const D: usize>(&self, shape: [usize; D], seed: u64) -> Tensor<D> {
        Tensor::from_data(TensorData::new(draw(shape.iter().product(), seed), shape), &self.device)
    }

    /// Seconds until the device has done what `run` asks of it.
    fn wait(&self, run: &dyn Fn()) -> f64 {
        let start = Instant::now();
        run();
        self.device.sync().expect("the kernels ran");
        start.elapsed().as_secs_f64()
    }

    /// Runs ours and burn's in turn, so that both meet the same other work on the machine, and prints ours beside burn's.
    fn compare<A, B>(&self, case: &str, work: Work, runs: usize, ours: impl Fn() -> A, burn: impl Fn() -> B) {
        if !self.wants(case, &work.implementation) {
            return;
        }
        let (ours, burn) = (|| drop(ours()), || drop(burn()));
        let first = self.wait(&ours);
        self.wait(&burn);
        let (mut mine, mut theirs): (Vec<f64>, Vec<f64>) =
            (0..runs).map(|_| (self.wait(&ours), self.wait(&burn))).unzip();
        mine.sort_by(f64::total_cmp);
        theirs.sort_by(f64::total_cmp);
        let (median, reference) = (mine[runs / 2], theirs[runs / 2]);
        let Work { implementation, flop, bytes } = work;
        let record = serde_json::json!({
            "case": case, "device": self.name, "implementation": implementation,
            "first_ms": round(first * 1e3), "best_ms": round(mine[0] * 1e3), "median_ms": round(median * 1e3),
            "burn_median_ms": round(reference * 1e3), "of_burn": round(median / reference),
            "bytes": bytes, "gigabyte_per_second": round(bytes as f64 / median / 1e9),
            "gflop_per_second": round(flop / median / 1e9), "best_gflop_per_second": round(flop / mine[0] / 1e9),
        });
        println!("{record}");
    }
}

fn draw(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-1.0f32..1.0)).collect()
}

fn round(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}
