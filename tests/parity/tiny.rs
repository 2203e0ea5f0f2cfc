//! The tiny networks end to end: every intermediate, the loss, every gradient, three steps of AdamW.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData, read_sync};
use serde::Deserialize;
use sigmascope::model::{Config, Formula, HyperSigma, Pass, Task, Trace, formula};
use sigmascope::train::{AdamW, AdamWConfig, network};

use crate::reference::{Stored, Worst, deviation, fixtures, read, sample, shared, values, vulkan};

/// The limits that the reference suggests: ten times its own float32-against-float64 deviation or a little more.
const ACTIVATION_REL_L2: f64 = 1e-5;
const GRADIENT_REL_L2: f64 = 1e-4;
const ADAMW_LOSS: f64 = 1e-4;
/// The first steps of Adam divide tiny gradients by their own size.
const ADAMW_UPDATE_REL_L2: f64 = 2e-2;

#[derive(Deserialize)]
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

#[derive(Deserialize)]
struct Steps {
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    losses_before_steps_1_2_3_and_after_3: Vec<f64>,
}

/// One reference set: complete in `../shared`, or sampled in the fixtures.
struct Set {
    name: &'static str,
    meta: Meta,
    activations: BTreeMap<String, Stored>,
    gradients: BTreeMap<String, Stored>,
    after: BTreeMap<String, Stored>,
    weights: Option<Vec<u8>>,
    /// Values kept of each tensor: of activations, of gradients and parameters.
    limits: [usize; 2],
}

impl Set {
    fn sampled(name: &'static str) -> Self {
        let folder = fixtures().join(name);
        let meta = serde_json::from_slice(&std::fs::read(folder.join("meta.json")).unwrap()).unwrap();
        let (mut activations, mut gradients, mut after) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (key, stored) in read(&folder.join("samples.safetensors")) {
            match key.split_once(':').unwrap() {
                ("activation", key) => activations.insert(key.to_string(), stored),
                ("gradient", key) => gradients.insert(key.to_string(), stored),
                (_, key) => after.insert(key.to_string(), stored),
            };
        }
        Self { name, meta, activations, gradients, after, weights: None, limits: [128, 64] }
    }

    fn complete(name: &'static str, shared: PathBuf) -> Self {
        let (folder, prefix) = match name {
            "tiny_seg_odd" => ("tiny_seg", "odd_"),
            other => (other, ""),
        };
        let file = |rest: &str| shared.join(format!("reference/{folder}/{prefix}{rest}"));
        let after = file("after_3_adamw_steps.safetensors");
        Self {
            name,
            meta: serde_json::from_slice(&std::fs::read(file("meta.json")).unwrap()).unwrap(),
            activations: read(&file("activations.safetensors")),
            gradients: read(&file("gradients.safetensors")),
            after: if after.exists() { read(&after) } else { BTreeMap::new() },
            weights: Some(std::fs::read(file("model.safetensors")).unwrap()),
            limits: [usize::MAX; 2],
        }
    }

    fn config(&self) -> Config {
        let Meta { img_size, in_channels, classes, patch_size, .. } = self.meta;
        let task = if self.meta.framework == "seg" { Task::Segmentation } else { Task::Classification };
        Config { patch: patch_size, ..Config::tiny(task, [img_size, img_size], in_channels, classes) }
    }

    fn network(&self, config: &Config, device: &Device) -> HyperSigma {
        match &self.weights {
            Some(bytes) => HyperSigma::from_safetensors(config, bytes, device).unwrap(),
            None => HyperSigma::new(config, &mut Formula, device).unwrap(),
        }
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

    fn loss(&self, logits: Tensor<4>) -> Tensor<1> {
        cross_entropy(logits, &self.labels())
    }

    fn check(&self, device: &Device) {
        self.check_activations(device);
        self.check_gradients(device);
        self.check_steps(device);
    }

    fn check_activations(&self, device: &Device) {
        let config = Config { complete: true, ..self.config() };
        let network = self.network(&config, device);
        if self.weights.is_some() {
            let kept: usize = network.unused().iter().map(|tensor| tensor.values.len()).sum();
            assert_eq!(config.parameter_count() + kept, self.meta.parameters, "{}", self.name);
        }

        let mut trace = Trace::default();
        network.forward_with(self.input(device), &mut Pass::traced(&mut trace));
        let mut worst = Worst::default();
        let mut missing: BTreeSet<&str> = self.activations.keys().map(String::as_str).collect();
        for tensor in trace.tensors {
            let theirs = &self.activations[&tensor.name];
            let mut ours = values(tensor.values);
            if tensor.name == "logits" && tensor.shape.len() == 4 {
                ours = pixels_first(&ours, &tensor.shape);
            } else if self.weights.is_some() {
                assert_eq!(tensor.shape, theirs.shape, "{} {}", self.name, tensor.name);
            }
            let deviation = deviation(&sample(&ours, self.limits[0]), &theirs.values);
            assert!(deviation.rel_l2 < ACTIVATION_REL_L2, "{} {}: {deviation:?}", self.name, tensor.name);
            worst.see(&tensor.name, deviation);
            assert!(missing.remove(tensor.name.as_str()), "{} twice", tensor.name);
        }
        missing.retain(|name| !["input", "labels", "loss"].contains(name));
        assert!(missing.is_empty(), "{}: not traced {missing:?}", self.name);
        worst.report(&format!("{} activations", self.name));
    }

    fn check_gradients(&self, device: &Device) {
        let network = self.network(&self.config(), &device.clone().autodiff());
        let loss = self.loss(network.forward(self.input(device)));
        let gradients = loss.backward();
        let loss = f64::from(values(loss)[0]);
        assert!((loss - self.meta.loss).abs() < ADAMW_LOSS, "{}: loss {loss}", self.name);

        let ours = read_sync(network.gradients(&gradients)).unwrap();
        let names: BTreeSet<&str> = ours.iter().map(|gradient| gradient.name.as_str()).collect();
        let theirs: BTreeSet<&str> = self.gradients.keys().map(String::as_str).collect();
        assert_eq!(names, theirs, "{}: parameters with a gradient", self.name);
        assert!(names.iter().all(|name| !self.meta.parameters_without_gradient.contains(*name)));
        let mut worst = Worst::default();
        for gradient in &ours {
            let values = sample(&gradient.values, self.limits[1]);
            let deviation = deviation(&values, &self.gradients[&gradient.name].values);
            assert!(deviation.rel_l2 < GRADIENT_REL_L2, "{} {}: {deviation:?}", self.name, gradient.name);
            worst.see(&gradient.name, deviation);
        }
        worst.report(&format!("{} gradients", self.name));
    }

    fn check_steps(&self, device: &Device) {
        let reference = &self.meta.adamw;
        let mut network = self.network(&self.config(), &device.clone().autodiff());
        let before = read_sync(network.values()).unwrap();
        let mut optimizer = adamw(&network, reference);
        let expected = &reference.losses_before_steps_1_2_3_and_after_3;
        for (step, expected) in expected.iter().enumerate() {
            let loss = self.loss(network.forward(self.input(device)));
            let gradients = if step < 3 { Some(loss.backward()) } else { None };
            let loss = f64::from(values(loss)[0]);
            assert!((loss - expected).abs() < ADAMW_LOSS, "{} step {step}: {loss} for {expected}", self.name);
            if let Some(gradients) = gradients {
                network = optimizer.step(network, gradients, reference.lr, &[]);
            }
        }
        if self.after.is_empty() {
            return;
        }
        let after = read_sync(network.values()).unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for (before, after) in before.iter().zip(&after) {
            let start = sample(&before.values, self.limits[1]);
            let end = sample(&after.values, self.limits[1]);
            let expected = &self.after[&after.name].values;
            // Samples stand for as many values as their tensor has.
            let weight = (before.values.len() as f64 / start.len() as f64).sqrt();
            ours.extend(start.iter().zip(&end).map(|(start, end)| (end - start) * weight as f32));
            theirs.extend(start.iter().zip(expected).map(|(start, end)| (end - f64::from(*start)) * weight));
        }
        let deviation = deviation(&ours, &theirs);
        assert!(deviation.rel_l2 < ADAMW_UPDATE_REL_L2, "{} update: {deviation:?}", self.name);
        println!("{} three steps: update rel L2 {:.1e}", self.name, deviation.rel_l2);
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

/// `[B, K, H, W]` → `[B, H * W, K]`, the official order of logits.
pub fn pixels_first(logits: &[f32], shape: &[usize]) -> Vec<f32> {
    let [batch, classes, pixels] = [shape[0], shape[1], shape[2] * shape[3]];
    let place = |b: usize, p: usize, k: usize| logits[(b * classes + k) * pixels + p];
    (0..batch)
        .flat_map(|b| (0..pixels).flat_map(move |p| (0..classes).map(move |k| (b, p, k))))
        .map(|(b, p, k)| place(b, p, k))
        .collect()
}

const SETS: [&str; 3] = ["tiny_seg", "tiny_seg_odd", "tiny_cls"];

#[test]
fn tiny_networks_by_samples() {
    for name in SETS {
        Set::sampled(name).check(&Device::flex());
    }
}

#[test]
fn tiny_networks() {
    for name in SETS {
        let Some(shared) = shared("complete tiny networks") else { return };
        Set::complete(name, shared).check(&Device::flex());
    }
}

#[test]
fn tiny_networks_on_vulkan() {
    for name in SETS {
        let Some(device) = vulkan("tiny networks on Vulkan") else { return };
        match shared("complete tiny networks on Vulkan") {
            Some(shared) => Set::complete(name, shared).check(&device),
            None => Set::sampled(name).check(&device),
        }
    }
}
