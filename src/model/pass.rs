//! What goes along with one forward pass: the noise of training, and a look at every intermediate for checks.

use std::fmt::Display;

use burn::tensor::{Tensor, TensorData};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// One forward pass. Evaluation has neither noise nor trace and costs nothing.
#[derive(Default)]
pub struct Pass<'a> {
    noise: Option<&'a mut ChaCha8Rng>,
    trace: Option<&'a mut Trace>,
    /// Encoder and block that run now; only names of the trace depend on it.
    block: (&'static str, usize),
}

/// Intermediates by the names of the reference data (`spat.block.0`, `sem.weight.1`, `head.DR1`, …).
#[derive(Default)]
pub struct Trace {
    pub tensors: Vec<Intermediate>,
}

/// One intermediate.
pub struct Intermediate {
    pub name: String,
    pub shape: Vec<usize>,
    /// All values, row-major.
    pub values: Tensor<1>,
}

impl<'a> Pass<'a> {
    /// No noise: validation and mapping.
    pub fn evaluation() -> Self {
        Self::default()
    }

    /// Training: stochastic depth and dropout draw from `noise`, on the host, so that a seed fixes them on every device.
    pub fn training(noise: &'a mut ChaCha8Rng) -> Self {
        Self { noise: Some(noise), ..Self::default() }
    }

    /// Evaluation that keeps every intermediate.
    pub fn traced(trace: &'a mut Trace) -> Self {
        Self { trace: Some(trace), ..Self::default() }
    }

    /// The state of the noise, to draw the same again later.
    pub(super) fn noise(&self) -> Option<ChaCha8Rng> {
        self.noise.as_deref().cloned()
    }

    /// A pass that draws what was drawn from this state on.
    pub(super) fn again(noise: &'a mut Option<ChaCha8Rng>) -> Self {
        Self { noise: noise.as_mut(), ..Self::default() }
    }

    pub fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Block `index` of `encoder` (`spat` or `spec`) runs from here on.
    pub(super) fn enter(&mut self, encoder: &'static str, index: usize) {
        self.block = (encoder, index);
    }

    /// Keeps an intermediate; `tensor` is computed only for a trace.
    pub(super) fn record<const D: usize>(&mut self, name: impl Display, tensor: impl FnOnce() -> Tensor<D>) {
        if let Some(trace) = self.trace.as_deref_mut() {
            let tensor = tensor();
            let shape = tensor.dims().to_vec();
            let values = tensor.reshape([shape.iter().product::<usize>()]);
            trace.tensors.push(Intermediate { name: name.to_string(), shape, values });
        }
    }

    /// Keeps an intermediate of the running block under the block's own name.
    pub(super) fn record_in_block<const D: usize>(&mut self, what: &str, tensor: impl FnOnce() -> Tensor<D>) {
        let (encoder, index) = self.block;
        self.record(format_args!("{encoder}.blocks.{index}.{what}"), tensor);
    }

    /// Stochastic depth: drops the branch `x` `[B * n, D]` for whole samples with probability `rate` and divides the
    /// others by the probability of being kept (official behaviour 5).
    pub(super) fn drop_path(&mut self, x: Tensor<2>, batch: usize, rate: f64) -> Tensor<2> {
        let Some(noise) = self.noise.as_deref_mut().filter(|_| rate > 0.0) else { return x };
        let mask = mask(noise, batch, rate);
        let [rows, dim] = x.dims();
        if let [factor] = mask[..] {
            return x.mul_scalar(factor);
        }
        let mask = Tensor::<2>::from_data(TensorData::new(mask, [batch, 1]), &x.device());
        (x.reshape([batch, rows / batch * dim]) * mask).reshape([rows, dim])
    }

    /// Dropout of single values of `x` `[B, D]`.
    pub(super) fn dropout(&mut self, x: Tensor<2>, rate: f64) -> Tensor<2> {
        let Some(noise) = self.noise.as_deref_mut().filter(|_| rate > 0.0) else { return x };
        let shape = x.dims();
        let mask = mask(noise, shape[0] * shape[1], rate);
        let device = x.device();
        x * Tensor::<2>::from_data(TensorData::new(mask, shape), &device)
    }
}

/// 0 with probability `rate`, else 1 / (1 - rate).
fn mask(noise: &mut ChaCha8Rng, len: usize, rate: f64) -> Vec<f32> {
    let kept = (1.0 / (1.0 - rate)) as f32;
    (0..len).map(|_| if noise.random::<f64>() < rate { 0.0 } else { kept }).collect()
}
