//! The bytes that a network is said to need, against what it takes on the CPU.

use burn::tensor::{Device, Tensor, TensorData};
use sigmascope::engine::fit::Work;
use sigmascope::engine::message::FitPurpose;
use sigmascope::model::{Config, Formula, HyperSigma, Pass, Task, formula};
use sigmascope::train::Tuning;
use sigmascope::weights::Quantization;

use super::peak::peak_of;

/// How far a formula may be off: allocators, copies and fused steps differ from device to device.
const FACTOR: f64 = 2.0;

fn shapes() -> Vec<(&'static str, Config)> {
    let nano = Config::nano(Task::Segmentation, [64, 64], 20, 9);
    let vit = |tile: usize, patch: usize| {
        let base = Config::base(Task::Segmentation, [tile, tile], 20, 9);
        Config { patch, embed_dim: 192, heads: 4, depth: 6, features: [1, 3, 4, 5], spectral_blocks: 2, ..base }
    };
    vec![("nano", nano), ("a slim ViT", vit(128, 8)), ("a slim ViT of many tokens", vit(96, 2))]
}

fn input(config: &Config, device: &Device) -> Tensor<4> {
    let shape = [1, config.components, config.rows, config.cols];
    Tensor::from_data(TensorData::new(formula::input(shape.iter().product()), shape), device)
}

fn close(what: &str, said: u64, found: usize) {
    let ratio = said as f64 / found as f64;
    println!("{what}: {:.1} MB said, {:.1} MB found, ratio {ratio:.2}", said as f64 / 1e6, found as f64 / 1e6);
    assert!((1.0 / FACTOR..=FACTOR).contains(&ratio), "{what}: {said} bytes said, {found} found");
}

#[test]
fn mapping_takes_what_is_said() {
    for (name, network) in shapes() {
        let device = Device::flex();
        let (model, held) = peak_of(|| HyperSigma::new(&network, &mut Formula, &device).unwrap());
        // Once before, so that what is kept for later calls is not counted.
        drop(model.forward(input(&network, &device)));
        let (logits, found) = peak_of(|| model.forward(input(&network, &device)).into_data());
        assert_eq!(logits.shape().len(), 4);
        let work = Work {
            network,
            quantization: Quantization::F32,
            purpose: FitPurpose::Map,
            tuning: Tuning::Full,
            average: false,
            checkpointing: false,
        };
        let said = work.needs().bytes;
        close(&format!("{name}, mapping"), said.activations, found);
        // While it is built, a matrix exists twice.
        assert!(held as u64 >= said.weights && (held as u64) < 2 * said.weights, "{held} {said:?}");
    }
}

#[test]
fn training_takes_what_is_said() {
    for (name, network) in shapes() {
        let device = Device::flex().autodiff();
        let model = HyperSigma::new(&network, &mut Formula, &device).unwrap();
        for checkpointing in [false, true] {
            let (gradients, found) = peak_of(|| {
                let x = input(&network, &device);
                if checkpointing {
                    model.gradients_by_block(x, &mut Pass::evaluation(), |logits| logits.sum()).1
                } else {
                    model.forward(x).sum().backward()
                }
            });
            drop(gradients);
            let (network, tuning) = (network.clone(), Tuning::Full);
            let (quantization, purpose) = (Quantization::F32, FitPurpose::Train);
            let said = Work { network, quantization, purpose, tuning, average: true, checkpointing }.needs().bytes;
            // Of what training adds, a backward pass makes the gradients.
            let said = said.activations + said.training / 5;
            close(&format!("{name}, training, checkpointing {checkpointing}"), said, found);
        }
    }
}
