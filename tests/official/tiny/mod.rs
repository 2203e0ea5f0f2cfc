//! The tiny networks end to end: every intermediate, the loss, every gradient, three steps of AdamW.

mod compare;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;
use sigmascope::model::{Config, Formula, HyperSigma, Task, formula};

pub use outcome::{Outcome, cross_entropy};

use super::{Files, Mismatch, Stored, parse};

pub const SETS: [&str; 3] = ["tiny_seg", "tiny_seg_odd", "tiny_cls"];

#[derive(Clone, Deserialize)]
struct Meta {
    framework: String,
    img_size: usize,
    patch_size: usize,
    in_channels: usize,
    classes: usize,
    batch: usize,
    parameters: usize,
    loss: f64,
    parameters_without_gradient: BTreeSet<String>,
    adamw: Steps,
}

#[derive(Clone, Deserialize)]
struct Steps {
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    losses_before_steps_1_2_3_and_after_3: Vec<f64>,
}

/// One reference set: complete in `../shared/reference`, or sampled in the fixtures.
#[derive(Clone)]
pub struct Set {
    name: String,
    meta: Meta,
    activations: BTreeMap<String, Stored>,
    gradients: BTreeMap<String, Stored>,
    /// The parameters after the steps; `tiny_seg_odd` has none in either form.
    after: BTreeMap<String, Stored>,
    /// The official weights as a file; the formula gives the same ones.
    weights: Option<Vec<u8>>,
    /// Values kept of each tensor: of activations, of gradients and parameters.
    limits: [usize; 2],
}

impl Set {
    pub async fn sampled(files: &impl Files, name: &str) -> Result<Self, Mismatch> {
        let (mut activations, mut gradients, mut after) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (key, stored) in parse(&files.read(&format!("{name}/samples.safetensors")).await?)? {
            match key.split_once(':') {
                Some(("activation", key)) => activations.insert(key.to_string(), stored),
                Some(("gradient", key)) => gradients.insert(key.to_string(), stored),
                Some(("after", key)) => after.insert(key.to_string(), stored),
                _ => return Err(Mismatch(format!("{name} has samples of {key}"))),
            };
        }
        let meta = meta(&files.read(&format!("{name}/meta.json")).await?)?;
        Ok(Self { name: name.into(), meta, activations, gradients, after, weights: None, limits: [128, 64] })
    }

    pub async fn complete(files: &impl Files, name: &str) -> Result<Self, Mismatch> {
        let (folder, prefix) = match name {
            "tiny_seg_odd" => ("tiny_seg", "odd_"),
            other => (other, ""),
        };
        let file = async |rest: &str| files.read(&format!("{folder}/{prefix}{rest}")).await;
        Ok(Self {
            name: name.into(),
            meta: meta(&file("meta.json").await?)?,
            activations: parse(&file("activations.safetensors").await?)?,
            gradients: parse(&file("gradients.safetensors").await?)?,
            after: match name {
                "tiny_seg_odd" => BTreeMap::new(),
                _ => parse(&file("after_3_adamw_steps.safetensors").await?)?,
            },
            weights: Some(file("model.safetensors").await?),
            limits: [usize::MAX; 2],
        })
    }

    fn config(&self) -> Config {
        let Meta { img_size, in_channels, classes, patch_size, .. } = self.meta;
        let task = if self.meta.framework == "seg" { Task::Segmentation } else { Task::Classification };
        Config { patch: patch_size, ..Config::tiny(task, [img_size, img_size], in_channels, classes) }
    }

    fn network(&self, config: &Config, device: &Device) -> Result<HyperSigma, Mismatch> {
        match &self.weights {
            Some(bytes) => HyperSigma::from_safetensors(config, bytes, device),
            None => HyperSigma::new(config, &mut Formula, device),
        }
        .map_err(|error| Mismatch(error.to_string()))
    }

    /// `[B, C, H, W]`
    fn input(&self, device: &Device) -> Tensor<4> {
        let shape = [self.meta.batch, self.meta.in_channels, self.meta.img_size, self.meta.img_size];
        Tensor::from_data(TensorData::new(formula::input(shape.iter().product()), shape), device)
    }

    /// Labels as the loss wants them: class of each logit vector, `None` where it does not count.
    fn labels(&self) -> Vec<Option<usize>> {
        let Meta { batch, img_size, classes, .. } = self.meta;
        if self.meta.framework == "seg" {
            let labels = formula::labels(batch * img_size * img_size, classes as u64 + 1);
            labels.into_iter().map(|label| (label as usize).checked_sub(1)).collect()
        } else {
            formula::labels(batch, classes as u64).into_iter().map(|label| Some(label as usize)).collect()
        }
    }
}

fn meta(json: &[u8]) -> Result<Meta, Mismatch> {
    serde_json::from_slice(json).map_err(|error| Mismatch(format!("meta.json: {error}")))
}

/// `[B, K, H, W]` → `[B, H * W, K]`, the official order of logits.
pub fn pixels_first(logits: &[f32], shape: &[usize]) -> Vec<f32> {
    let [batch, classes, pixels] = [shape[0], shape[1], shape[2] * shape[3]];
    let place = |b: usize, p: usize, k: usize| logits[(b * classes + k) * pixels + p];
    (0..batch)
        .flat_map(|b| (0..pixels).flat_map(move |p| (0..classes).map(move |k| (b, p, k))))
        .map(|(b, p, k)| place(b, p, k))
        .collect()
}
