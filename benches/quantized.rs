//! How fast frozen linear layers and full attention are, beside burn's own product of float32, as JSON lines.
//!
//! `cargo bench --profile dev --bench quantized [filter]` (the dev profile is optimised, and its dependencies are built
//! already). On Vulkan, if there is an adapter; `VK_DRIVER_FILES=/usr/share/vulkan/icd.d/lvp_icd.x86_64.json` chooses Mesa's
//! software one. A filter picks cases or implementations whose name contains it.
//!
//! On a machine that does other things as well only `of_burn` means something: the median time divided by that of burn's
//! product, whose runs alternate with ours. `bytes` are those of the weights, x and y, once each.

use std::time::Instant;

use burn::backend::Cube;
use burn::backend::flex::Flex;
use burn::backend::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind, Tensor, TensorData, activation::softmax};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sigmascope::kernels::full_attention::{AttentionShape, cpu_forward, full_attention};
use sigmascope::kernels::quantized::{
    Activation, CpuMethod, FrozenLinearKernels, GpuTile, QuantizedMatrix, Tuning, WeightKind, quantized_linear,
};

/// Rows of x, outputs, inputs: 256 tokens of Base's and Huge's widest layers, 100 of Base's spectral encoder, a narrow one,
/// one row.
const LINEAR: [(&str, usize, [usize; 2]); 6] = [
    ("base_qkv", 256, [2304, 768]),
    ("base_fc2", 256, [768, 3072]),
    ("base_spectral_fc1", 100, [3072, 768]),
    ("huge_fc1", 64, [5120, 1280]),
    ("nano_qkv", 1024, [192, 64]),
    ("one_row", 1, [3072, 768]),
];

/// B, H, N, D.
const ATTENTION: [(&str, [usize; 4]); 2] = [("base_attention", [1, 12, 256, 64]), ("nano_attention", [1, 4, 1024, 16])];

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let vulkan = [DeviceKind::DefaultDevice, DeviceKind::Cpu]
        .into_iter()
        .find_map(|kind| Device::wgpu_options().graphics_api(WgpuBackend::Vulkan).device_kind(kind).init().ok());
    if vulkan.is_none() {
        println!("SKIP Vulkan: no adapter here");
    }
    let devices = [("cpu", Some(Device::flex())), ("Vulkan", vulkan)];
    for (name, device) in devices.into_iter().filter_map(|(name, device)| Some((name, device?))) {
        let bench = Bench { name, device, filter: filter.clone() };
        for (case, rows, shape) in LINEAR {
            bench.linear(case, rows, shape);
        }
        for (case, shape) in ATTENTION {
            bench.attention(case, shape);
        }
    }
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
    fn linear(&self, case: &str, rows: usize, [outputs, inputs]: [usize; 2]) {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut draw = |len: usize| (0..len).map(|_| rng.random_range(-1.0f32..1.0)).collect::<Vec<_>>();
        let x = Tensor::<2>::from_data(TensorData::new(draw(rows * inputs), [rows, inputs]), &self.device);
        let grad = Tensor::<2>::from_data(TensorData::new(draw(rows * outputs), [rows, outputs]), &self.device);
        let weights = draw(outputs * inputs);
        let dense =
            Tensor::<2>::from_data(TensorData::new(weights.clone(), [outputs, inputs]), &self.device).transpose();
        let dense = dense.mul_scalar(1.0); // [K, N], row-major, as the model keeps it
        let flop = 2.0 * (rows * outputs * inputs) as f64;
        let moved = (rows * (inputs + outputs)) * 4;

        let burn = || x.clone().matmul(dense.clone());
        let burn_backward = || grad.clone().matmul(dense.clone().transpose());
        for kind in WeightKind::ALL {
            let bytes = stored(kind, &weights);
            for tuning in self.tunings(kind) {
                let build = QuantizedMatrix::tuned(kind, [outputs, inputs], &bytes, &self.device, tuning);
                let matrix = build.expect("a matrix");
                let how = if self.name == "cpu" { format!("{:?}", tuning.cpu) } else { format!("{:?}", tuning.gpu) };
                let work = |pass| Work {
                    implementation: format!("{kind:?} {how}{pass}"),
                    flop,
                    bytes: matrix.bytes() + moved,
                };
                self.compare(case, work(""), || quantized_linear(x.clone(), &matrix, None, Activation::None), burn);
                if kind == WeightKind::Q8_0 && how != "Workgroup" {
                    self.compare(
                        case,
                        work(" GELU"),
                        || quantized_linear(x.clone(), &matrix, None, Activation::Gelu),
                        || sigmascope::kernels::gelu(burn()),
                    );
                }
                if kind.is_quantized() && !matches!(how.as_str(), "Workgroup" | "Integer") {
                    let backward = || self.gradient(grad.clone(), &matrix);
                    self.compare(case, work(" backward"), backward, burn_backward);
                }
            }
        }
    }

    /// The backward pass alone.
    fn gradient(&self, grad: Tensor<2>, matrix: &QuantizedMatrix) -> Tensor<2> {
        if self.name == "cpu" {
            let grad = grad.try_into_primitive::<Flex>().expect("a CPU tensor");
            Tensor::from_primitive::<Flex>(Flex::linear_backward(grad, matrix))
        } else {
            let grad = grad.try_into_primitive::<Cube>().expect("a GPU tensor");
            Tensor::from_primitive::<Cube>(Cube::linear_backward(grad, matrix))
        }
    }

    fn attention(&self, case: &str, shape: [usize; 4]) {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let [batch, heads, tokens, width] = shape;
        let [q, k, v] = [0; 3].map(|_| {
            let data: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0f32..1.0)).collect();
            Tensor::<4>::from_data(TensorData::new(data, shape), &self.device)
        });
        let flop = 4.0 * (batch * heads * tokens * tokens * width) as f64;
        let bytes = 16 * shape.iter().product::<usize>();
        let work = |how| Work { implementation: format!("full attention{how}"), flop, bytes };
        let composed = || {
            let q = q.clone().mul_scalar((width as f64).powf(-0.5));
            softmax(q.matmul(k.clone().swap_dims(2, 3)), 3).matmul(v.clone()).swap_dims(1, 2).reshape([
                batch,
                tokens,
                heads * width,
            ])
        };
        self.compare(case, work(""), || full_attention(q.clone(), k.clone(), v.clone()), composed);
        if self.name == "cpu" {
            let [q, k, v] = [&q, &k, &v].map(|x| x.clone().into_data().try_to_vec::<f32>().expect("float32"));
            let simd = || {
                let out = cpu_forward(&AttentionShape { batch, heads, tokens, head_dim: width }, &q, &k, &v);
                Tensor::<3>::from_data(TensorData::new(out, [batch, tokens, heads * width]), &self.device)
            };
            self.compare(case, work(" SIMD"), simd, composed);
        }
    }

    fn tunings(&self, kind: WeightKind) -> Vec<Tuning> {
        let tuning = Tuning { cpu: CpuMethod::Slices, gpu: GpuTile::Registers, output_limit: None };
        if self.name != "cpu" {
            return [GpuTile::Registers, GpuTile::Workgroup].map(|gpu| Tuning { gpu, ..tuning }).to_vec();
        }
        let methods = [CpuMethod::Slices, CpuMethod::Float, CpuMethod::Integer];
        methods[..if kind.is_quantized() { 3 } else { 2 }].iter().map(|&cpu| Tuning { cpu, ..tuning }).collect()
    }

    /// Runs ours and burn's in turn, so that both meet the same other work on the machine, and prints ours beside burn's.
    fn compare<const A: usize, const B: usize>(
        &self,
        case: &str,
        work: Work,
        ours: impl Fn() -> Tensor<A>,
        burn: impl Fn() -> Tensor<B>,
    ) {
        const RUNS: usize = 9;
        if !(case.contains(&self.filter) || work.implementation.contains(&self.filter)) {
            return;
        }
        let wait = |run: &dyn Fn()| {
            let start = Instant::now();
            run();
            self.device.sync().expect("the kernels ran");
            start.elapsed().as_secs_f64()
        };
        let (ours, burn) = (|| drop(ours()), || drop(burn()));
        let first = wait(&ours);
        wait(&burn);
        let (mut mine, mut theirs): (Vec<f64>, Vec<f64>) = (0..RUNS).map(|_| (wait(&ours), wait(&burn))).unzip();
        mine.sort_by(f64::total_cmp);
        theirs.sort_by(f64::total_cmp);
        let (median, reference) = (mine[RUNS / 2], theirs[RUNS / 2]);
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

/// Weights as stored, quantized in the plainest way.
fn stored(kind: WeightKind, weights: &[f32]) -> Vec<u8> {
    let scaled = |block: &[f32], levels: f32| {
        let largest = block.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let scale = half::f16::from_f32(largest / levels);
        let quants: Vec<f32> = block.iter().map(|x| (x / scale.to_f32()).round().clamp(-levels, levels)).collect();
        (scale.to_le_bytes(), quants)
    };
    let block = |block: &[f32]| -> Vec<u8> {
        match kind {
            WeightKind::F32 => block.iter().flat_map(|x| x.to_le_bytes()).collect(),
            WeightKind::F16 => block.iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect(),
            WeightKind::Q8_0 => {
                let (scale, quants) = scaled(block, 127.0);
                scale.into_iter().chain(quants.iter().map(|&q| (q as i8).cast_unsigned())).collect()
            }
            WeightKind::Q4_0 => {
                let (scale, quants) = scaled(block, 7.0);
                let half = |i: usize| (quants[i] + 8.0) as u8;
                scale.into_iter().chain((0..16).map(|i| half(i) | half(i + 16) << 4)).collect()
            }
        }
    };
    weights.chunks_exact(32).flat_map(block).collect()
}

fn round(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}
