//! A frozen linear layer, and what float64 says about it. Natively and in the page of `tests/webgpu`: results are awaited, and
//! what differs is a [`Mismatch`].

use burn::tensor::{Device, Tensor, TensorData};
use half::f16;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sigmascope::kernels::quantized::{Activation, CpuMethod, QuantizedMatrix, Tuning, WeightKind, quantized_linear};

use crate::official::{Mismatch, ensure, values};

pub const QUANTIZED: [WeightKind; 2] = [WeightKind::Q8_0, WeightKind::Q4_0];

/// `[N, K]` of every projection: qkv, proj, sampling offsets, fc1, fc2 of Nano, Base, Large and Huge.
pub const SHAPES: [[usize; 2]; 20] = [
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
pub struct Case {
    pub kind: WeightKind,
    pub rows: usize,
    pub outputs: usize,
    pub inputs: usize,
    pub bytes: Vec<u8>,
    pub weights: Vec<f32>,
    pub x: Vec<f32>,
    pub bias: Vec<f32>,
    upstream: Vec<f32>,
}

impl Case {
    pub fn new(kind: WeightKind, rows: usize, [outputs, inputs]: [usize; 2], seed: u64) -> Self {
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

    pub fn matrix(&self, device: &Device, tuning: Tuning) -> QuantizedMatrix {
        QuantizedMatrix::tuned(self.kind, [self.outputs, self.inputs], &self.bytes, device, tuning).expect("a matrix")
    }

    pub fn x(&self, device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(self.x.clone(), [self.rows, self.inputs]), device)
    }

    /// Forward, with gradients of x and of the bias, if there is one.
    pub async fn run(&self, device: &Device, tuning: Tuning, bias: bool) -> Result<Vec<Vec<f32>>, Mismatch> {
        let matrix = self.matrix(device, tuning);
        let device = device.clone().autodiff();
        let x = self.x(&device).require_grad();
        let bias = bias.then(|| Tensor::<1>::from_floats(self.bias.as_slice(), &device).require_grad());
        let upstream = TensorData::new(self.upstream.clone(), [self.rows, self.outputs]);
        let y = quantized_linear(x.clone(), &matrix, bias.clone(), Activation::None);
        ensure(y.dims() == [self.rows, self.outputs], || format!("the shape {:?}", y.dims()))?;
        let grads = (y.clone() * Tensor::from_data(upstream, &device)).sum().backward();
        let missing = || Mismatch("there is no gradient".to_owned());
        let mut results = vec![values(y).await?, values(x.grad(&grads).ok_or_else(missing)?).await?];
        if let Some(bias) = bias {
            results.push(values(bias.grad(&grads).ok_or_else(missing)?).await?);
        }
        Ok(results)
    }

    /// The plain inference call, GELU fused.
    pub async fn infer(
        &self,
        device: &Device,
        tuning: Tuning,
        bias: bool,
        activation: Activation,
    ) -> Result<Vec<f32>, Mismatch> {
        let bias = bias.then(|| Tensor::<1>::from_floats(self.bias.as_slice(), device));
        values(quantized_linear(self.x(device), &self.matrix(device, tuning), bias, activation)).await
    }

    /// Checks y, all of it or some thousand elements, and returns the largest error as a share of what is allowed.
    pub fn check_forward(
        &self,
        how: &str,
        tuning: Tuning,
        y: &[f32],
        bias: bool,
        activation: Activation,
    ) -> Result<f64, Mismatch> {
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

    pub fn check_gradient(&self, how: &str, gradient: &[f32]) -> Result<f64, Mismatch> {
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

    pub fn check_bias(&self, gradient: &[f32]) -> Result<(), Mismatch> {
        ensure(gradient.len() == self.outputs, || format!("{} gradients of the bias", gradient.len()))?;
        for (output, &gradient) in gradient.iter().enumerate() {
            let column = self.upstream.iter().skip(output).step_by(self.outputs).map(|&g| f64::from(g));
            let (sum, size) = (column.clone().sum::<f64>(), column.map(f64::abs).sum::<f64>());
            let fits = (f64::from(gradient) - sum).abs() <= rounding(self.rows, size);
            ensure(fits, || format!("the gradient of bias {output} is {gradient} instead of {sum}"))?;
        }
        Ok(())
    }

    fn check(
        &self,
        how: &str,
        values: &[f32],
        [rows, columns]: [usize; 2],
        expected: impl Fn(usize, usize) -> (f64, f64),
    ) -> Result<f64, Mismatch> {
        ensure(values.len() == rows * columns, || format!("{how}: {} numbers", values.len()))?;
        // A step that meets every column and every row sooner or later; the last element always.
        let step = (values.len() / 4000) | 1;
        let mut worst = 0.0f64;
        for at in (0..values.len()).step_by(step).chain([values.len() - 1]) {
            let (expected, allowed) = expected(at / columns, at % columns);
            let error = (f64::from(values[at]) - expected).abs();
            ensure(error <= allowed, || {
                format!(
                    "{how}, {:?} {} x {}, {} rows: element ({}, {}) is {} instead of {expected}, allowed {allowed:e}",
                    self.kind,
                    self.outputs,
                    self.inputs,
                    self.rows,
                    at / columns,
                    at % columns,
                    values[at],
                )
            })?;
            worst = worst.max(error / allowed.max(f64::MIN_POSITIVE));
        }
        Ok(worst)
    }
}

/// What float32 may be off by in a sum of `terms` products whose sizes add up to `size`: 5 √terms · 2^-24 of it. Rounding
/// errors of either sign add up like a random walk (Higham and Mary 2019); the guaranteed bound, terms · 2^-24, would let a
/// wrong weight through.
fn rounding(terms: usize, size: f64) -> f64 {
    (5.0 * (terms as f64).sqrt() + 4.0) * 2.0f64.powi(-24) * size
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
