//! What our network computes for a set on one device.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use sigmascope::model::{Config, HyperSigma, NamedValues, Pass, SaveError, Trace};
use sigmascope::train::{AdamW, AdamWConfig, network};

use super::{Set, Steps, pixels_first};
use crate::official::{Mismatch, values};

/// Everything that a set has official numbers of.
pub struct Outcome {
    pub(super) activations: Vec<NamedValues>,
    /// Number of parameters with those that never change the result.
    pub(super) parameters: usize,
    /// Of the loss before the first step.
    pub(super) gradients: Vec<NamedValues>,
    /// Before each step of AdamW and after the last.
    pub(super) losses: Vec<f64>,
    pub(super) before: Vec<NamedValues>,
    pub(super) after: Vec<NamedValues>,
}

impl Set {
    pub async fn run(&self, device: &Device) -> Result<Outcome, Mismatch> {
        let complete = Config { complete: true, ..self.config() };
        let network = self.network(&complete, device)?;
        let unused: usize = network.unused().iter().map(|tensor| tensor.values.len()).sum();
        let activations = self.trace(&network, device).await?;

        let training = device.clone().autodiff();
        let mut network = self.network(&self.config(), &training)?;
        let before = network.values().await?;
        let mut optimizer = adamw(&network, &self.meta.adamw);
        let (mut losses, mut first) = (Vec::new(), None);
        for _ in 0..3 {
            let loss = self.loss(&network, &training);
            let gradients = loss.backward();
            losses.push(number(loss).await?);
            if first.is_none() {
                first = Some(network.gradients(&gradients).await?);
            }
            network = optimizer.step(network, gradients, self.meta.adamw.lr, &[]);
        }
        losses.push(number(self.loss(&network, &training)).await?);
        Ok(Outcome {
            activations,
            parameters: complete.parameter_count() + unused,
            gradients: first.unwrap_or_default(),
            losses,
            before,
            after: network.values().await?,
        })
    }

    async fn trace(&self, network: &HyperSigma, device: &Device) -> Result<Vec<NamedValues>, Mismatch> {
        let mut trace = Trace::default();
        network.forward_with(self.input(device), &mut Pass::traced(&mut trace));
        let mut activations = Vec::new();
        for tensor in trace.tensors {
            let (name, mut shape) = (tensor.name, tensor.shape);
            let mut values = values(tensor.values).await?;
            if name == "logits" && shape.len() == 4 {
                values = pixels_first(&values, &shape);
                shape = vec![shape[0], shape[2] * shape[3], shape[1]];
            }
            activations.push(NamedValues { name, shape, values });
        }
        Ok(activations)
    }

    fn loss(&self, network: &HyperSigma, device: &Device) -> Tensor<1> {
        cross_entropy(network.forward(self.input(device)), &self.labels())
    }
}

async fn number(tensor: Tensor<1>) -> Result<f64, Mismatch> {
    Ok(f64::from(values(tensor).await?[0]))
}

impl From<SaveError> for Mismatch {
    fn from(error: SaveError) -> Self {
        Self(error.to_string())
    }
}

/// The trainer's own optimiser with the constants of the reference.
fn adamw(network: &HyperSigma, reference: &Steps) -> AdamW {
    let [beta1, beta2] = reference.betas;
    let (epsilon, weight_decay) = (reference.eps, reference.weight_decay);
    let config = AdamWConfig { beta1, beta2, epsilon, weight_decay, ..AdamWConfig::default() };
    AdamW::new(config, network::depth(network.config()), network::names(network))
}

/// Mean over all counted logit vectors of `logits` `[B, K, H, W]`.
pub fn cross_entropy(logits: Tensor<4>, labels: &[Option<usize>]) -> Tensor<1> {
    let [_, classes, ..] = logits.dims();
    let count = labels.iter().flatten().count();
    let mut targets = vec![0f32; labels.len() * classes];
    for (row, label) in targets.chunks_exact_mut(classes).zip(labels) {
        if let Some(label) = label {
            row[*label] = -1.0 / count as f32;
        }
    }
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [labels.len(), classes]), &logits.device());
    let rows = logits.permute([0, 2, 3, 1]).reshape([labels.len(), classes]); // [B * H * W, K]
    (log_softmax(rows, 1) * targets).sum()
}
