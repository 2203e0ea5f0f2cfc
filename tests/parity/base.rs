//! The real ViT-B shapes with weights by the formula: sampled intermediates, loss, sampled gradients.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData, read_sync};
use serde::Deserialize;
use sigmascope::model::{Config, Formula, HyperSigma, Pass, Task, Trace, formula};

use crate::official::tiny::{cross_entropy, pixels_first};
use crate::official::{Stored, Worst, shared};
use crate::reference::{deviation, read, values, vulkan};

/// The limits that the reference suggests.
const ACTIVATION_REL_L2: f64 = 2e-5;
const LOGIT_MAX_ABS: f64 = 5e-4;
/// A sample that crosses a cell border by rounding changes its offset's gradient.
const GRADIENT_REL_L2: f64 = 1e-3;

#[derive(Deserialize)]
struct Meta {
    img_size: usize,
    patch_size: usize,
    in_channels: usize,
    classes: usize,
    batch: usize,
    parameters: usize,
    loss_float64: f64,
    state_dict: BTreeMap<String, Vec<usize>>,
    gradients: BTreeMap<String, Gradient>,
}

#[derive(Deserialize)]
struct Gradient {
    l2: f64,
    max_abs: f64,
}

fn check(task: Task, name: &str, device: &Device) {
    let Some(shared) = shared(&format!("base {name}")) else { return };
    let start = Instant::now();
    let folder = shared.join("base");
    let meta: Meta = serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap();
    let stored = read(&folder.join(format!("{name}.safetensors")));

    let size = [meta.img_size; 2];
    let config = Config { patch: meta.patch_size, ..Config::base(task, size, meta.in_channels, meta.classes) };
    assert_eq!(config.official_parameter_count(), meta.parameters);
    let device = device.clone().autodiff();
    let network = HyperSigma::new(&config, &mut Formula, &device).unwrap();
    for parameter in network.parameters() {
        assert_eq!(parameter.shape, meta.state_dict[&parameter.name], "{}", parameter.name);
    }

    let shape = [meta.batch, meta.in_channels, meta.img_size, meta.img_size];
    let input = Tensor::<4>::from_data(TensorData::new(formula::input(shape.iter().product()), shape), &device);
    let mut trace = Trace::default();
    let logits = network.forward_with(input, &mut Pass::traced(&mut trace));
    let mut worst = Worst::default();
    let mut seen = BTreeSet::new();
    for tensor in trace.tensors {
        let mut ours = values(tensor.values);
        if tensor.name == "logits" && tensor.shape.len() == 4 {
            ours = pixels_first(&ours, &tensor.shape);
        }
        let (ours, theirs) = at_samples(&stored, &tensor.name, &ours);
        let deviation = deviation(&ours, &theirs);
        assert!(deviation.rel_l2 < ACTIVATION_REL_L2, "{name} {}: {deviation:?}", tensor.name);
        if tensor.name == "logits" {
            println!("base {name} logits: {deviation:?}");
            assert!(deviation.max_abs < LOGIT_MAX_ABS, "{name} logits: {deviation:?}");
        }
        worst.see(&tensor.name, deviation);
        seen.insert(tensor.name);
    }
    // Everything but the dead spectral blocks and the input itself.
    for key in stored.keys().filter(|key| !key.starts_with("grad:")) {
        let key = key.trim_end_matches(".sample_index").trim_end_matches(".sample_value");
        let dead = key.strip_prefix("spec.block").and_then(|rest| {
            rest.trim_start_matches("s.").trim_start_matches('.').split('.').next()?.parse::<usize>().ok()
        });
        let expected =
            dead.is_none_or(|index| index < config.spectral_blocks) && !["input", "labels", "loss"].contains(&key);
        assert!(!expected || seen.contains(key), "{name}: {key} was not traced");
    }
    println!("{}", worst.report(&format!("base {name} activations ({:.0?})", start.elapsed())));

    let pixels = meta.batch * meta.img_size * meta.img_size;
    let labels: Vec<Option<usize>> = match task {
        Task::Segmentation => {
            let labels = formula::labels(pixels, meta.classes as u64 + 1);
            labels.into_iter().map(|label| (label as usize).checked_sub(1)).collect()
        }
        Task::Classification => {
            let labels = formula::labels(meta.batch, meta.classes as u64);
            labels.into_iter().map(|label| Some(label as usize)).collect()
        }
    };
    let loss = cross_entropy(logits, &labels);
    let gradients = loss.backward();
    let loss = f64::from(values(loss)[0]);
    assert!((loss - meta.loss_float64).abs() < 1e-4, "{name}: loss {loss} for {}", meta.loss_float64);

    let ours = read_sync(network.gradients(&gradients)).unwrap();
    let names: BTreeSet<&String> = ours.iter().map(|gradient| &gradient.name).collect();
    assert_eq!(names, meta.gradients.keys().collect(), "{name}: parameters with a gradient");
    let mut worst = Worst::default();
    for gradient in &ours {
        let expected = &meta.gradients[&gradient.name];
        let l2 = gradient.values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        assert!((l2 / expected.l2 - 1.0).abs() < GRADIENT_REL_L2, "{name} {}: L2 {l2}", gradient.name);
        let largest = gradient.values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        assert!(
            (f64::from(largest) / expected.max_abs - 1.0).abs() < 2.0 * GRADIENT_REL_L2,
            "{name} {}",
            gradient.name
        );

        // The samples' error against what a sample of this tensor typically is.
        let (values, theirs) = at_samples(&stored, &format!("grad:{}", gradient.name), &gradient.values);
        let mut deviation = deviation(&values, &theirs);
        let typical = expected.l2 * (theirs.len() as f64 / gradient.values.len() as f64).sqrt();
        let norm = theirs.iter().map(|value| value * value).sum::<f64>().sqrt();
        deviation.rel_l2 *= norm / typical;
        assert!(deviation.rel_l2 < GRADIENT_REL_L2, "{name} {}: {deviation:?}", gradient.name);
        worst.see(&gradient.name, deviation);
    }
    println!("{}", worst.report(&format!("base {name} gradients ({:.0?})", start.elapsed())));
}

/// Our values at the places that are stored, and the stored ones.
fn at_samples(stored: &BTreeMap<String, Stored>, name: &str, ours: &[f32]) -> (Vec<f32>, Vec<f64>) {
    if let Some(full) = stored.get(name) {
        return (ours.to_vec(), full.values.clone());
    }
    let indices = &stored[&format!("{name}.sample_index")].values;
    let theirs = stored[&format!("{name}.sample_value")].values.clone();
    (indices.iter().map(|index| ours[*index as usize]).collect(), theirs)
}

#[test]
fn base_segmentation() {
    check(Task::Segmentation, "seg", &Device::flex());
}

#[test]
fn base_classification() {
    check(Task::Classification, "cls", &Device::flex());
}

#[test]
fn base_segmentation_on_vulkan() {
    let Some(device) = vulkan("base seg on Vulkan") else { return };
    check(Task::Segmentation, "seg", &device);
}

#[test]
fn base_classification_on_vulkan() {
    let Some(device) = vulkan("base cls on Vulkan") else { return };
    check(Task::Classification, "cls", &device);
}
