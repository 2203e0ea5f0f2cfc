//! How fast sparse sampling attention is, as one line of JSON a measurement.
//!
//! `cargo bench --profile dev --bench ssa` (the dev profile is optimised, and its dependencies are built already). On Vulkan,
//! if there is an adapter; `VK_DRIVER_FILES=/usr/share/vulkan/icd.d/lvp_icd.x86_64.json` chooses Mesa's software one.
//!
//! A point costs 16 D floating point operations forward and 40 D backward (8 D for each of the corners' inner products, 8 D
//! for each weighted sum); the figures count these only.

use burn::backend::Cube;
use burn::backend::wgpu::{CubeTensor, WgpuBackend};
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use sigmascope::kernels::{
    KeyGradient, SamplingInputs, SamplingKernels, SamplingShape, cpu_backward, cpu_forward, gpu_backward, reference,
};
use std::hint::black_box;
use std::time::Instant;

/// What is run, in JSON's `case`: our Nano on an Indian Pines tile (145 / 8), Base on a 128 tile, Base's spectral encoder.
const SHAPES: [(&str, SamplingShape); 3] = [
    ("nano", SamplingShape { batch: 1, heads: 3, rows: 18, cols: 18, head_dim: 64, points: 8 }),
    ("base", SamplingShape { batch: 1, heads: 12, rows: 16, cols: 16, head_dim: 64, points: 8 }),
    ("base_spectral", SamplingShape { batch: 1, heads: 12, rows: 10, cols: 10, head_dim: 64, points: 8 }),
];

fn main() {
    let vulkan = vulkan();
    for (name, shape) in SHAPES {
        let inputs = Inputs::random(&shape);
        let bench = Bench { name, shape };
        inputs.on_the_cpu(&bench);
        match &vulkan {
            Some(device) => inputs.on_the_gpu(&bench, device),
            None => println!("SKIP {name} on Vulkan: no adapter here"),
        }
    }
}

fn vulkan() -> Option<Device> {
    [DeviceKind::DefaultDevice, DeviceKind::Cpu]
        .into_iter()
        .find_map(|kind| Device::wgpu_options().graphics_api(WgpuBackend::Vulkan).device_kind(kind).init().ok())
}

struct Bench {
    name: &'static str,
    shape: SamplingShape,
}

impl Bench {
    /// The best of several runs after a first one that is not counted (buffers, pipelines). On a machine that does other
    /// things as well, the processor time of this process is the steadier figure (a software adapter uses all cores).
    fn run(&self, pass: &str, implementation: &str, mut work: impl FnMut()) {
        const RUNS: u32 = 9;
        work();
        let mut best = f64::INFINITY;
        let before = processor_seconds();
        for _ in 0..RUNS {
            let start = Instant::now();
            work();
            best = best.min(start.elapsed().as_secs_f64());
        }
        let processor = before.zip(processor_seconds()).map(|(from, to)| round((to - from) / f64::from(RUNS) * 1e3));
        let SamplingShape { batch, heads, rows, cols, head_dim, points } = self.shape;
        let per_point = if pass == "forward" { 16 } else { 40 } * head_dim;
        let operations = batch * heads * rows * cols * points * per_point;
        let record = serde_json::json!({
            "operation": "sparse sampling attention", "case": self.name, "pass": pass, "implementation": implementation,
            "batch": batch, "heads": heads, "rows": rows, "cols": cols, "head_dim": head_dim, "points": points,
            "milliseconds": round(best * 1e3), "processor_milliseconds": processor, "gflop_per_second": round(operations as f64 / best / 1e9),
        });
        println!("{record}");
    }
}

/// Processor time of all threads so far, where the system tells (Linux).
fn processor_seconds() -> Option<f64> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    let nanoseconds: u64 = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    Some(nanoseconds as f64 / 1e9)
}

fn round(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

struct Inputs {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    offsets: Vec<f32>,
    grad_out: Vec<f32>,
}

impl Inputs {
    /// Values of size 1, offsets of up to two cells.
    fn random(shape: &SamplingShape) -> Self {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut draw =
            |len: usize, scale: f32| (0..len).map(|_| rng.random_range(-1.0f32..1.0) * scale).collect::<Vec<_>>();
        let qkv = shape.qkv().iter().product();
        let offsets = shape.offsets().iter().product();
        Self {
            q: draw(qkv, 1.0),
            k: draw(qkv, 1.0),
            v: draw(qkv, 1.0),
            offsets: draw(offsets, 2.0),
            grad_out: draw(qkv, 1.0),
        }
    }

    fn on_the_cpu(&self, bench: &Bench) {
        let Self { q, k, v, offsets, grad_out } = self;
        let shape = &bench.shape;
        bench.run("forward", "cpu reference", || drop(black_box(reference::forward(shape, q, k, v, offsets))));
        bench.run("forward", "cpu", || drop(black_box(cpu_forward(shape, q, k, v, offsets))));
        bench.run("backward", "cpu reference", || {
            drop(black_box(reference::backward(shape, q, k, v, offsets, grad_out)))
        });
        bench.run("backward", "cpu", || drop(black_box(cpu_backward(shape, q, k, v, offsets, grad_out))));
    }

    fn on_the_gpu(&self, bench: &Bench, device: &Device) {
        let shape = bench.shape;
        let qkv = |data: &[f32]| primitive(Tensor::<4>::from_data(TensorData::new(data.to_vec(), shape.qkv()), device));
        let offsets = Tensor::<5>::from_data(TensorData::new(self.offsets.clone(), shape.offsets()), device);
        let grad_out = Tensor::<3>::from_data(TensorData::new(self.grad_out.clone(), shape.out()), device);
        let inputs: SamplingInputs<Cube> =
            SamplingInputs { q: qkv(&self.q), k: qkv(&self.k), v: qkv(&self.v), offsets: primitive(offsets) };
        let grad_out = primitive(grad_out);
        let wait = || device.sync().expect("the kernels ran");
        bench.run("forward", "Vulkan", || {
            black_box(Cube::ssa_forward(inputs.clone(), shape));
            wait();
        });
        for (name, key_gradient) in
            [("Vulkan, gather", KeyGradient::Gather), ("Vulkan, compare-and-swap", KeyGradient::CompareAndSwap)]
        {
            bench.run("backward", name, || {
                black_box(gpu_backward(key_gradient, inputs.clone(), grad_out.clone(), shape));
                wait();
            });
        }
    }
}

fn primitive<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    tensor.try_into_primitive::<Cube>().expect("a GPU tensor")
}
