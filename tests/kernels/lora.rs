//! An adapted network against the plain one with merged weights: outputs, and gradients by the chain rule.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData, read_sync};
use sigmascope::kernels::quantized::WeightKind;
use sigmascope::model::{
    Config, Formula, HyperSigma, NamedValues, ParameterError, ParameterSource, StoredWeights, Task, formula,
};

use crate::device;
use crate::official::deviation;
use crate::projection::round;

const RANK: usize = 4;
const SCALE: f64 = 1.5;

/// The formula's parameters with projections rounded to Q8_0.
#[derive(Clone, Copy, PartialEq)]
enum Weights {
    /// As they are stored, without adapters.
    Frozen,
    /// The same with adapters whose second matrix is zero.
    Idle,
    /// With adapters, the weights stored as Q8_0 or float32.
    Adapted(WeightKind),
    /// Float32 with the adapters added, trained.
    Merged,
}

fn is_projection(name: &str) -> bool {
    name.contains(".blocks.") && ["qkv", "attn.proj", "fc1", "fc2"].iter().any(|end| name.ends_with(end))
}

/// The matrix of an adapter: B a quarter as large as the formula has it, so that it changes weights by about as much as they are.
fn thin(projection: &str, matrix: &str, shape: &[usize]) -> Vec<f32> {
    let values = Formula.values(&format!("{projection}.{matrix}.weight"), shape).unwrap();
    values.into_iter().map(|value| if matrix == "lora_B" { value / 4.0 } else { value }).collect()
}

impl ParameterSource for Weights {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        if let Some((projection, matrix)) = name.strip_suffix(".weight").and_then(|name| name.rsplit_once('.'))
            && matrix.starts_with("lora")
        {
            let values = thin(projection, matrix, shape);
            return Ok(if *self == Self::Idle && matrix == "lora_B" { vec![0.0; values.len()] } else { values });
        }
        let values = Formula.values(name, shape)?;
        let Some(projection) = name.strip_suffix(".weight").filter(|name| is_projection(name)) else {
            return Ok(values);
        };
        assert!(*self == Self::Merged, "{name} is asked for as float32 although it is stored");
        let (outputs, inputs) = (shape[0], shape[1]);
        let a = thin(projection, "lora_A", &[RANK, inputs]);
        let b = thin(projection, "lora_B", &[outputs, RANK]);
        let change = product(&b, &a, [outputs, RANK, inputs]);
        Ok(round(&values)
            .1
            .iter()
            .zip(change)
            .map(|(weight, change)| (f64::from(*weight) + SCALE * change) as f32)
            .collect())
    }

    fn stored(&mut self, name: &str, shape: [usize; 2]) -> Result<Option<StoredWeights>, ParameterError> {
        let frozen = name.strip_suffix(".weight").is_some_and(is_projection) && *self != Self::Merged;
        let (bytes, numbers) = round(&Formula.values(name, &shape)?);
        Ok(frozen.then(|| match self {
            Self::Adapted(WeightKind::F32) => {
                StoredWeights { kind: WeightKind::F32, bytes: numbers.into_iter().flat_map(f32::to_le_bytes).collect() }
            }
            _ => StoredWeights { kind: WeightKind::Q8_0, bytes },
        }))
    }

    fn low_rank(&self, name: &str) -> Option<(usize, f64)> {
        (is_projection(name) && matches!(self, Self::Idle | Self::Adapted(_))).then_some((RANK, SCALE))
    }
}

/// `[n, k] · [k, m]`, row-major.
fn product(a: &[f32], b: &[f32], [n, k, m]: [usize; 3]) -> Vec<f64> {
    let mut out = vec![0.0; n * m];
    for i in 0..n {
        for j in 0..k {
            let factor = f64::from(a[i * k + j]);
            let row = &b[j * m..(j + 1) * m];
            out[i * m..(i + 1) * m].iter_mut().zip(row).for_each(|(out, b)| *out += factor * f64::from(*b));
        }
    }
    out
}

fn transposed(values: &[f32], [rows, cols]: [usize; 2]) -> Vec<f32> {
    (0..cols * rows).map(|i| values[i % rows * cols + i / rows]).collect()
}

/// Every second block samples, the others attend fully.
fn config() -> Config {
    Config { interval: 2, spectral_tokens: 16, spectral_blocks: 2, ..Config::nano(Task::Segmentation, [16, 16], 5, 3) }
}

fn input(config: &Config, device: &Device) -> Tensor<4> {
    let shape = [1, config.components, config.rows, config.cols];
    Tensor::from_data(TensorData::new(formula::input(shape.iter().product()), shape), device)
}

fn logits(mut weights: Weights, device: &Device) -> Vec<f32> {
    let config = config();
    let network = HyperSigma::new(&config, &mut weights, device).unwrap();
    network.forward(input(&config, device)).into_data().try_to_vec::<f32>().unwrap()
}

/// Loss and gradients, on one tape or block by block.
fn gradients(mut weights: Weights, by_block: bool, device: &Device) -> (f32, BTreeMap<String, NamedValues>) {
    let (config, device) = (config(), device.clone().autodiff());
    let network = HyperSigma::new(&config, &mut weights, &device).unwrap();
    let x = input(&config, &device);
    let loss = |logits: Tensor<4>| (logits.clone() * logits).mean();
    let pass = &mut sigmascope::model::Pass::evaluation();
    let (loss, gradients) = if by_block {
        network.gradients_by_block(x, pass, loss)
    } else {
        let loss = loss(network.forward_with(x, pass));
        let gradients = loss.backward();
        (loss, gradients)
    };
    let named = read_sync(network.gradients(&gradients)).unwrap();
    assert_eq!(named.len(), network.parameters().len(), "every trained parameter has a gradient");
    (loss.into_scalar(), named.into_iter().map(|named| (named.name.clone(), named)).collect())
}

fn devices() -> impl Iterator<Item = Device> {
    [Some(Device::flex()), device::vulkan()].into_iter().flatten()
}

#[test]
fn an_adapter_that_does_nothing_changes_nothing() {
    for device in devices() {
        assert!(logits(Weights::Idle, &device) == logits(Weights::Frozen, &device), "{device:?}");
        assert!(logits(Weights::Adapted(WeightKind::Q8_0), &device) != logits(Weights::Frozen, &device));
    }
}

#[test]
fn adapters_learn_what_the_merged_weights_would() {
    for device in devices() {
        let (loss, merged) = gradients(Weights::Merged, false, &device);
        // Q8_0 products round x to 16 bits, which decides in which cell a sample lies now and then.
        for (kind, allowed) in [(WeightKind::F32, 1e-4), (WeightKind::Q8_0, 2e-2)] {
            let (own_loss, adapted) = gradients(Weights::Adapted(kind), false, &device);
            assert!((own_loss - loss).abs() <= 1e-4 * loss, "{own_loss} {loss}");
            let mut adapters = 0;
            for (name, found) in &adapted {
                let expected: Vec<f32> = match name.strip_suffix(".weight").and_then(|name| name.rsplit_once('.')) {
                    Some((projection, matrix)) if matrix.starts_with("lora") => {
                        adapters += 1;
                        let dense = &merged[&format!("{projection}.weight")];
                        let (outputs, inputs) = (dense.shape[0], dense.shape[1]);
                        let change = if matrix == "lora_A" {
                            let b = thin(projection, "lora_B", &[outputs, RANK]);
                            product(&transposed(&b, [outputs, RANK]), &dense.values, [RANK, outputs, inputs])
                        } else {
                            let a = thin(projection, "lora_A", &[RANK, inputs]);
                            product(&dense.values, &transposed(&a, [RANK, inputs]), [outputs, inputs, RANK])
                        };
                        change.into_iter().map(|value| (SCALE * value) as f32).collect()
                    }
                    _ => merged[name].values.clone(),
                };
                let off = deviation(&found.values, &expected).unwrap().rel_l2;
                assert!(off <= allowed, "the gradient of {name} over {kind:?} is off by {off:e} on {device:?}");
            }
            assert_eq!(adapters, 2 * 4 * (4 + 2));
            assert!(!adapted.contains_key("spat_encoder.blocks.0.attn.qkv.weight"));
            assert!(adapted.contains_key("cls.weight") && adapted.contains_key("fc_spec1.0.weight"));
        }
    }
}

#[test]
fn gradients_block_by_block_are_the_same() {
    for device in devices() {
        for (weights, allowed) in [(Weights::Adapted(WeightKind::Q8_0), 1e-3), (Weights::Merged, 1e-4)] {
            let (loss, whole) = gradients(weights, false, &device);
            let (own_loss, by_block) = gradients(weights, true, &device);
            // Frozen integer products round x, so that two orders of the same sums differ by more than float32 does.
            assert!((own_loss - loss).abs() <= 1e-4 * loss, "{own_loss} {loss}");
            for (name, found) in &by_block {
                let off = deviation(&found.values, &whole[name].values).unwrap().rel_l2;
                assert!(off <= allowed, "the gradient of {name} is off by {off:e} on {device:?}");
            }
        }
    }
}
