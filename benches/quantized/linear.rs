//! Frozen linear layers beside burn's product.

use burn::backend::Cube;
use burn::backend::flex::Flex;
use burn::tensor::{Tensor, TensorData};
use sigmascope::kernels::quantized::{
    Activation, CpuMethod, FrozenLinearKernels, GpuTile, QuantizedMatrix, Tuning, WeightKind, quantized_linear,
};
use sigmascope::weights::{TensorType, encode};

use super::{Bench, Work, draw};

/// Rows of x, outputs, inputs: 256 tokens of Base's and Huge's widest layers, 100 of Base's spectral encoder, a narrow one,
/// one row.
const CASES: [(&str, usize, [usize; 2]); 6] = [
    ("base_qkv", 256, [2304, 768]),
    ("base_fc2", 256, [768, 3072]),
    ("base_spectral_fc1", 100, [3072, 768]),
    ("huge_fc1", 64, [5120, 1280]),
    ("nano_qkv", 1024, [192, 64]),
    ("one_row", 1, [3072, 768]),
];

const RUNS: usize = 9;

pub fn run(bench: &Bench) {
    for (case, rows, shape) in CASES {
        if bench.wants(case, "linear") {
            linear(bench, case, rows, shape);
        }
    }
}

fn linear(bench: &Bench, case: &str, rows: usize, [outputs, inputs]: [usize; 2]) {
    let (x, grad) = (bench.draw([rows, inputs], 1), bench.draw([rows, outputs], 2));
    let weights = draw(outputs * inputs, 3);
    let dense = Tensor::<2>::from_data(TensorData::new(weights.clone(), [outputs, inputs]), &bench.device).transpose();
    let dense = dense.mul_scalar(1.0); // [K, N], row-major, as the model keeps it
    let flop = 2.0 * (rows * outputs * inputs) as f64;
    let moved = (rows * (inputs + outputs)) * 4;

    let burn = || x.clone().matmul(dense.clone());
    let burn_backward = || grad.clone().matmul(dense.clone().transpose());
    for kind in WeightKind::ALL {
        let bytes = stored(kind, &weights);
        for tuning in tunings(bench, kind) {
            let build = QuantizedMatrix::tuned(kind, [outputs, inputs], &bytes, &bench.device, tuning);
            let matrix = build.expect("a matrix");
            let how = if bench.is_cpu() { format!("{:?}", tuning.cpu) } else { format!("{:?}", tuning.gpu) };
            let work = |pass| Work {
                implementation: format!("linear {kind:?} {how}{pass}"),
                flop,
                bytes: matrix.bytes() + moved,
            };
            let ours = |activation| quantized_linear(x.clone(), &matrix, None, activation);
            bench.compare(case, work(""), RUNS, || ours(Activation::None), burn);
            if kind == WeightKind::Q8_0 && how != "Workgroup" {
                let gelu = || sigmascope::kernels::gelu(burn());
                bench.compare(case, work(" GELU"), RUNS, || ours(Activation::Gelu), gelu);
            }
            if kind.is_quantized() && !matches!(how.as_str(), "Workgroup" | "Integer") {
                let backward = || gradient(bench, grad.clone(), &matrix);
                bench.compare(case, work(" backward"), RUNS, backward, burn_backward);
            }
        }
    }
}

/// The backward pass alone.
fn gradient(bench: &Bench, grad: Tensor<2>, matrix: &QuantizedMatrix) -> Tensor<2> {
    if bench.is_cpu() {
        let grad = grad.try_into_primitive::<Flex>().expect("a CPU tensor");
        Tensor::from_primitive::<Flex>(Flex::linear_backward(grad, matrix))
    } else {
        let grad = grad.try_into_primitive::<Cube>().expect("a GPU tensor");
        Tensor::from_primitive::<Cube>(Cube::linear_backward(grad, matrix))
    }
}

fn tunings(bench: &Bench, kind: WeightKind) -> Vec<Tuning> {
    let tuning = Tuning { cpu: CpuMethod::Slices, gpu: GpuTile::Registers, binding_limit: None };
    if !bench.is_cpu() {
        return [GpuTile::Registers, GpuTile::Workgroup].map(|gpu| Tuning { gpu, ..tuning }).to_vec();
    }
    let methods = [CpuMethod::Slices, CpuMethod::Float, CpuMethod::Integer];
    methods[..if kind.is_quantized() { 3 } else { 2 }].iter().map(|&cpu| Tuning { cpu, ..tuning }).collect()
}

/// Weights as stored.
fn stored(kind: WeightKind, weights: &[f32]) -> Vec<u8> {
    let kind = match kind {
        WeightKind::F32 => TensorType::F32,
        WeightKind::F16 => TensorType::F16,
        WeightKind::Q8_0 => TensorType::Q8_0,
        WeightKind::Q4_0 => TensorType::Q4_0,
    };
    let mut bytes = Vec::new();
    encode(kind, weights, &mut bytes).expect("numbers of size 1");
    bytes
}
