//! Frozen linear layers against float64 on the dequantized weights.

use crate::device;
use burn::tensor::{Device, Tensor, TensorData};
use half::f16;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sigmascope::kernels::gelu;
use sigmascope::kernels::quantized::{
    Activation, CpuMethod, GpuTile, MatrixError, QuantizedMatrix, Tuning, WeightKind, quantized_linear,
};

const QUANTIZED: [WeightKind; 2] = [WeightKind::Q8_0, WeightKind::Q4_0];

/// `[N, K]` of every projection: qkv, proj, sampling offsets, fc1, fc2 of Nano, Base, Large and Huge.
const SHAPES: [[usize; 2]; 20] = [
    [192, 64],
    [64, 64],
    [64, 64],
    [256, 64],
    [64, 256],
    [2304, 768],
    [768, 768],
    [192, 768],
    [3072, 768],
    [768, 3072],
    [3072, 1024],
    [1024, 1024],
    [256, 1024],
    [4096, 1024],
    [1024, 4096],
    [3840, 1280],
    [1280, 1280],
    [256, 1280],
    [5120, 1280],
    [1280, 5120],
];

/// One multiplication: weights as stored and as float32, x, bias, upstream gradient.
struct Case {
    kind: WeightKind,
    rows: usize,
    outputs: usize,
    inputs: usize,
    bytes: Vec<u8>,
    weights: Vec<f32>,
    x: Vec<f32>,
    bias: Vec<f32>,
    upstream: Vec<f32>,
}

impl Case {
    fn new(kind: WeightKind, rows: usize, [outputs, inputs]: [usize; 2], seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (bytes, weights) = stored(kind, outputs * inputs, &mut rng);
        let mut draw = |len: usize| (0..len).map(|_| rng.random_range(-1.0f32..1.0)).collect::<Vec<_>>();
        let (mut x, bias, upstream) = (draw(rows * inputs), draw(outputs), draw(rows * outputs));
        // Rows of very different sizes, a block of zeros, an outlier: what rounding x could spoil.
        x.iter_mut().enumerate().for_each(|(at, x)| *x *= [1.0, 1e-3, 30.0][at / inputs % 3]);
        x[..32].fill(0.0);
        *x.last_mut().expect("not empty") = 50.0;
        Self { kind, rows, outputs, inputs, bytes, weights, x, bias, upstream }
    }

    fn matrix(&self, device: &Device, tuning: Tuning) -> QuantizedMatrix {
        QuantizedMatrix::tuned(self.kind, [self.outputs, self.inputs], &self.bytes, device, tuning).expect("a matrix")
    }

    fn x(&self, device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(self.x.clone(), [self.rows, self.inputs]), device)
    }

    /// Forward, with gradients of x and of the bias, if there is one.
    fn run(&self, device: &Device, tuning: Tuning, bias: bool) -> Vec<Vec<f32>> {
        let matrix = self.matrix(device, tuning);
        let device = device.clone().autodiff();
        let x = self.x(&device).require_grad();
        let bias = bias.then(|| Tensor::<1>::from_floats(self.bias.as_slice(), &device).require_grad());
        let upstream = TensorData::new(self.upstream.clone(), [self.rows, self.outputs]);
        let y = quantized_linear(x.clone(), &matrix, bias.clone(), Activation::None);
        assert_eq!(y.dims(), [self.rows, self.outputs]);
        let grads = (y.clone() * Tensor::from_data(upstream, &device)).sum().backward();
        let mut results = vec![floats(y.into_data()), floats(x.grad(&grads).expect("a gradient").into_data())];
        results.extend(bias.map(|bias| floats(bias.grad(&grads).expect("a gradient").into_data())));
        results
    }

    /// The plain inference call, GELU fused.
    fn infer(&self, device: &Device, tuning: Tuning, bias: bool, activation: Activation) -> Vec<f32> {
        let bias = bias.then(|| Tensor::<1>::from_floats(self.bias.as_slice(), device));
        floats(quantized_linear(self.x(device), &self.matrix(device, tuning), bias, activation).into_data())
    }

    /// Checks y, all of it or some thousand elements, and returns the largest error as a share of what is allowed.
    fn check_forward(&self, how: &str, tuning: Tuning, y: &[f32], bias: bool, activation: Activation) -> f64 {
        let k = self.inputs;
        self.check(how, y, [self.rows, self.outputs], |row, output| {
            let (x, w) = (&self.x[row * k..][..k], &self.weights[output * k..][..k]);
            let mut sum = if bias { f64::from(self.bias[output]) } else { 0.0 };
            let (mut size, mut rounded) = (sum.abs(), 0.0);
            for (x, w) in x.chunks(32).zip(w.chunks(32)) {
                let largest = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                for (&x, &w) in x.iter().zip(w) {
                    let term = f64::from(x) * f64::from(w);
                    sum += term;
                    size += term.abs();
                    rounded += f64::from(w.abs()) * f64::from(largest) / 65534.0;
                }
            }
            let mut allowed = rounding(k, size);
            if tuning.cpu == CpuMethod::Integer && QUANTIZED.contains(&self.kind) {
                allowed += rounded;
            }
            match activation {
                Activation::None => (sum, allowed),
                // Its slope is below 1.13; its error function is off by 1.5e-7.
                Activation::Gelu => (sum * normal_cdf(sum), 1.13 * allowed + 5e-7 * (1.0 + sum.abs())),
            }
        })
    }

    fn check_gradient(&self, how: &str, gradient: &[f32]) -> f64 {
        let (n, k) = (self.outputs, self.inputs);
        self.check(how, gradient, [self.rows, k], |row, input| {
            let (mut sum, mut size) = (0.0, 0.0);
            for (output, &upstream) in self.upstream[row * n..][..n].iter().enumerate() {
                let term = f64::from(upstream) * f64::from(self.weights[output * k + input]);
                sum += term;
                size += term.abs();
            }
            (sum, rounding(n, size))
        })
    }

    fn check(
        &self,
        how: &str,
        values: &[f32],
        [rows, columns]: [usize; 2],
        expected: impl Fn(usize, usize) -> (f64, f64),
    ) -> f64 {
        assert_eq!(values.len(), rows * columns);
        // A step that meets every column and every row sooner or later; the last element always.
        let step = (values.len() / 4000) | 1;
        let mut worst = 0.0f64;
        for at in (0..values.len()).step_by(step).chain([values.len() - 1]) {
            let (expected, allowed) = expected(at / columns, at % columns);
            let error = (f64::from(values[at]) - expected).abs();
            assert!(
                error <= allowed,
                "{how}, {:?} {} x {}, {} rows: element ({}, {}) is {} instead of {expected}, allowed {allowed:e}",
                self.kind,
                self.outputs,
                self.inputs,
                self.rows,
                at / columns,
                at % columns,
                values[at],
            );
            worst = worst.max(error / allowed.max(f64::MIN_POSITIVE));
        }
        worst
    }
}

/// What float32 may be off by in a sum of `terms` products whose sizes add up to `size`: 5 √terms · 2^-24 of it. Rounding
/// errors of either sign add up like a random walk (Higham and Mary 2019); the guaranteed bound, terms · 2^-24, would let a
/// wrong weight through.
fn rounding(terms: usize, size: f64) -> f64 {
    (5.0 * (terms as f64).sqrt() + 4.0) * 2.0f64.powi(-24) * size
}

fn floats(data: TensorData) -> Vec<f32> {
    data.try_to_vec::<f32>().expect("float32")
}

/// Random stored weights of size 1 over √32, and the same as float32.
fn stored(kind: WeightKind, len: usize, rng: &mut ChaCha8Rng) -> (Vec<u8>, Vec<f32>) {
    let (mut bytes, mut weights) = (Vec::new(), Vec::new());
    for _ in 0..len / 32 {
        let scale = f16::from_f32(rng.random_range(-0.3f32..0.3) / if kind == WeightKind::Q4_0 { 8.0 } else { 128.0 });
        match kind {
            WeightKind::F32 | WeightKind::F16 => {
                for _ in 0..32 {
                    let number = rng.random_range(-0.3f32..0.3);
                    if kind == WeightKind::F32 {
                        bytes.extend(number.to_le_bytes());
                        weights.push(number);
                    } else {
                        bytes.extend(f16::from_f32(number).to_le_bytes());
                        weights.push(f16::from_f32(number).to_f32());
                    }
                }
            }
            WeightKind::Q8_0 => {
                bytes.extend(scale.to_le_bytes());
                for _ in 0..32 {
                    let q: i8 = rng.random();
                    bytes.push(q.cast_unsigned());
                    weights.push(f32::from(q) * scale.to_f32());
                }
            }
            WeightKind::Q4_0 => {
                bytes.extend(scale.to_le_bytes());
                let halves: [[u8; 2]; 16] = std::array::from_fn(|_| [rng.random_range(0..16), rng.random_range(0..16)]);
                bytes.extend(halves.iter().map(|[low, high]| low | high << 4));
                for half in [0, 1] {
                    weights.extend(halves.iter().map(|pair| (f32::from(pair[half]) - 8.0) * scale.to_f32()));
                }
            }
        }
    }
    (bytes, weights)
}

/// The normal distribution function, by Simpson's rule.
fn normal_cdf(x: f64) -> f64 {
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x.abs() > 9.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let h = x / 400.0;
    let inner: f64 = (1..400).map(|i| density(f64::from(i) * h) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    0.5 + h / 3.0 * (density(0.0) + inner + density(x))
}

fn cpu(method: CpuMethod) -> Tuning {
    Tuning { cpu: method, gpu: GpuTile::Registers, output_limit: None }
}

fn gpu(tile: GpuTile, output_limit: Option<usize>) -> Tuning {
    Tuning { cpu: CpuMethod::Slices, gpu: tile, output_limit }
}

const METHODS: [CpuMethod; 3] = [CpuMethod::Integer, CpuMethod::Float, CpuMethod::Slices];
const TILES: [GpuTile; 2] = [GpuTile::Registers, GpuTile::Workgroup];

#[test]
fn flex_meets_float64_at_every_shape_of_the_models() {
    for (at, shape) in SHAPES.into_iter().enumerate() {
        for kind in QUANTIZED {
            let case = Case::new(kind, [64, 7, 1, 33][at % 4], shape, at as u64);
            for method in METHODS {
                let tuning = cpu(method);
                let [y, gradient] = case.run(&Device::flex(), tuning, false).try_into().expect("two results");
                let how = format!("{method:?}");
                let forward = case.check_forward(&how, tuning, &y, false, Activation::None);
                let backward = case.check_gradient(&how, &gradient);
                println!("{how}, {kind:?} {shape:?}: {forward:.2} and {backward:.2} of the allowed error");
            }
        }
    }
}

#[test]
fn flex_meets_float64_with_many_rows() {
    for (rows, shape) in [(1024, [192, 64]), (1024, [768, 768]), (256, [3072, 768]), (256, [1024, 4096])] {
        for kind in WeightKind::ALL {
            let case = Case::new(kind, rows, shape, 3);
            for method in METHODS {
                let tuning = cpu(method);
                let y = case.infer(&Device::flex(), tuning, true, Activation::None);
                case.check_forward(&format!("{method:?}"), tuning, &y, true, Activation::None);
            }
        }
    }
}

#[test]
fn bias_and_gelu_are_part_of_the_kernels() {
    for kind in WeightKind::ALL {
        let case = Case::new(kind, 7, [90, 160], 5);
        for (bias, activation) in
            [(false, Activation::None), (true, Activation::None), (false, Activation::Gelu), (true, Activation::Gelu)]
        {
            let mut runs: Vec<(String, Device, Tuning)> =
                METHODS.map(|method| (format!("{method:?}"), Device::flex(), cpu(method))).to_vec();
            if let Some(vulkan) = device::vulkan() {
                runs.extend(TILES.map(|tile| (format!("{tile:?}"), vulkan.clone(), gpu(tile, None))));
            }
            for (how, device, tuning) in runs {
                let y = case.infer(&device, tuning, bias, activation);
                case.check_forward(&format!("{how}, bias {bias}, {activation:?}"), tuning, &y, bias, activation);
            }
        }
    }
}

#[test]
fn vulkan_meets_float64_at_every_shape_of_the_models() {
    let Some(vulkan) = device::vulkan() else { return };
    for (at, shape) in SHAPES.into_iter().enumerate() {
        let kind = QUANTIZED[at % 2];
        // Large matrices with few rows: lavapipe computes a few GFLOP a second.
        let case = Case::new(kind, if shape[0] * shape[1] > 2_000_000 { 7 } else { 66 }, shape, at as u64);
        for tile in TILES {
            let tuning = gpu(tile, None);
            let [y, gradient] = case.run(&vulkan, tuning, false).try_into().expect("two results");
            let how = format!("{tile:?}");
            let forward = case.check_forward(&how, tuning, &y, false, Activation::None);
            let backward = case.check_gradient(&how, &gradient);
            println!("{how}, {kind:?} {shape:?}: {forward:.2} and {backward:.2} of the allowed error");
        }
    }
}

#[test]
fn vulkan_meets_float64_at_odd_sizes_and_in_parts() {
    let Some(vulkan) = device::vulkan() else { return };
    let sizes = [
        (1, [1, 32], None),
        (5, [3, 64], None),
        (65, [67, 96], Some(16)),
        (130, [129, 32], Some(40)),
        (9, [64, 320], Some(24)),
    ];
    for (seed, (rows, shape, limit)) in sizes.into_iter().enumerate() {
        for kind in WeightKind::ALL {
            let case = Case::new(kind, rows, shape, seed as u64);
            for tile in TILES {
                let tuning = gpu(tile, limit);
                let [y, gradient, bias] = case.run(&vulkan, tuning, true).try_into().expect("three results");
                case.check_forward(&format!("{tile:?}, {limit:?}"), tuning, &y, true, Activation::None);
                case.check_gradient(&format!("{tile:?}, {limit:?}"), &gradient);
                case.check_bias(&bias);
            }
        }
    }
}

impl Case {
    fn check_bias(&self, gradient: &[f32]) {
        assert_eq!(gradient.len(), self.outputs);
        for (output, &gradient) in gradient.iter().enumerate() {
            let column = self.upstream.iter().skip(output).step_by(self.outputs).map(|&g| f64::from(g));
            let (sum, size) = (column.clone().sum::<f64>(), column.map(f64::abs).sum::<f64>());
            assert!((f64::from(gradient) - sum).abs() <= rounding(self.rows, size), "bias {output}");
        }
    }
}

/// The tape's GELU and its derivative, against a dense layer of the same weights.
#[test]
fn gradients_pass_through_the_activation() {
    for device in [Some(Device::flex()), device::vulkan()].into_iter().flatten() {
        let case = Case::new(WeightKind::Q8_0, 9, [48, 64], 6);
        let matrix = QuantizedMatrix::new(case.kind, [48, 64], &case.bytes, &device).expect("a matrix");
        let device = device.autodiff();
        let weights = Tensor::<2>::from_data(TensorData::new(case.weights.clone(), [48, 64]), &device).transpose();
        let bias = Tensor::<1>::from_floats(case.bias.as_slice(), &device);
        let x = || case.x(&device).mul_scalar(0.1).detach().require_grad();
        let (ours, dense) = (x(), x());
        let y = quantized_linear(ours.clone(), &matrix, Some(bias.clone()), Activation::Gelu);
        let expected = gelu(dense.clone().matmul(weights) + bias.unsqueeze());
        let gradient = ours.grad(&(y.clone() * y).sum().backward()).expect("a gradient");
        let expected = dense.grad(&(expected.clone() * expected).sum().backward()).expect("a gradient");
        let largest = floats(expected.clone().abs().max().into_data())[0];
        let off = floats((gradient - expected).abs().max().into_data())[0];
        assert!(off <= 1e-4 * largest, "{off} of {largest}");
    }
}

/// What rounding x to 16 bits costs, beside what Q8_0 costs itself (about 5e-3).
#[test]
fn sixteen_bits_of_x_cost_little() {
    for kind in QUANTIZED {
        let case = Case::new(kind, 60, [768, 768], 11);
        let run = |method| case.infer(&Device::flex(), cpu(method), false, Activation::None);
        // Rows of three sizes: each by itself.
        let (rounded, plain) = (run(CpuMethod::Integer), run(CpuMethod::Float));
        for (rounded, plain) in rounded.chunks(768).zip(plain.chunks(768)) {
            let relative = crate::official::deviation(rounded, plain).unwrap().rel_l2;
            assert!(relative < 3e-5, "{kind:?}: {relative:e}");
        }
        println!(
            "{kind:?}, x as 16-bit integers: relative L2 {:.1e}",
            crate::official::deviation(&rounded, &plain).unwrap().rel_l2
        );
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    let mut case = Case::new(WeightKind::Q4_0, 6, [16, 64], 7);
    case.x[64 + 3] = f32::NAN;
    case.x[2 * 64 + 3] = f32::INFINITY;
    for method in METHODS {
        let y = case.infer(&Device::flex(), cpu(method), false, Activation::None);
        assert!(y[16..48].iter().all(|y| !y.is_finite()), "{method:?}");
        assert!(y[..16].iter().chain(&y[48..]).all(|y| y.is_finite()), "{method:?}");
    }
}

#[test]
fn rows_that_share_a_layout_with_nobody_are_read_in_their_own_order() {
    let case = Case::new(WeightKind::Q8_0, 5, [12, 32], 8);
    for (device, tuning) in [
        (Some(Device::flex()), cpu(CpuMethod::Slices)),
        (Some(Device::flex()), cpu(CpuMethod::Integer)),
        (device::vulkan(), gpu(GpuTile::Registers, None)),
    ] {
        let Some(device) = device else { continue };
        let turned = case.x(&device).transpose().mul_scalar(1.0).transpose(); // the same numbers behind other strides
        let y = quantized_linear(turned, &case.matrix(&device, tuning), None, Activation::None);
        case.check_forward("turned", tuning, &floats(y.into_data()), false, Activation::None);
    }
}

#[test]
fn no_rows_give_no_rows() {
    let case = Case::new(WeightKind::Q8_0, 1, [12, 32], 8);
    let device = Device::flex();
    let y = quantized_linear(
        Tensor::zeros([0, 32], &device),
        &case.matrix(&device, cpu(CpuMethod::Slices)),
        None,
        Activation::Gelu,
    );
    assert_eq!(y.dims(), [0, 12]);
}

#[test]
fn bytes_that_are_no_matrix_are_refused() {
    let device = Device::flex();
    let build = |shape, bytes: &[u8]| QuantizedMatrix::new(WeightKind::Q8_0, shape, bytes, &device).map(|_| ());
    assert_eq!(build([1, 33], &[0; 34]), Err(MatrixError::Inputs { inputs: 33 }));
    assert_eq!(build([0, 32], &[]), Err(MatrixError::Size { outputs: 0, inputs: 32 }));
    assert!(matches!(build([usize::MAX, 64], &[0; 34]), Err(MatrixError::Size { .. })));
    assert!(matches!(build([2, 32], &[0; 67]), Err(MatrixError::Bytes { expected: 68, found: 67, .. })));
    assert_eq!(build([2, 32], &[0; 68]), Ok(()));
}

#[test]
fn a_matrix_takes_the_memory_of_its_file() {
    for device in [Some(Device::flex()), device::vulkan()].into_iter().flatten() {
        for (kind, bits) in
            [(WeightKind::F32, 32.0), (WeightKind::F16, 16.0), (WeightKind::Q8_0, 9.0), (WeightKind::Q4_0, 5.0)]
        {
            let case = Case::new(kind, 1, [256, 64], 9);
            let matrix = QuantizedMatrix::new(kind, [256, 64], &case.bytes, &device).expect("a matrix");
            assert!(matrix.bytes() as f64 * 8.0 <= bits * 256.0 * 64.0, "{kind:?}: {} bytes", matrix.bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_method_meets_float64_at_any_size(
        rows in 1usize..40,
        outputs in 1usize..90,
        blocks in 1usize..8,
        kind in 0usize..4,
        bias in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let case = Case::new(WeightKind::ALL[kind], rows, [outputs, blocks * 32], seed);
        for method in METHODS {
            let tuning = cpu(method);
            let results = case.run(&Device::flex(), tuning, bias);
            case.check_forward(&format!("{method:?}"), tuning, &results[0], bias, Activation::None);
            case.check_gradient(&format!("{method:?}"), &results[1]);
            if bias {
                case.check_bias(&results[2]);
            }
        }
    }
}
