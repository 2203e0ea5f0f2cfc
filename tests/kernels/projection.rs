//! A block of the network with frozen projections against the same block with the same numbers in float32.

use crate::device;
use crate::official::deviation;
use burn::tensor::{Device, Tensor, TensorData};
use half::f16;
use sigmascope::kernels::quantized::WeightKind;
use sigmascope::model::{
    Block, Builder, Config, Formula, Parameter, ParameterError, ParameterSource, Pass, StoredWeights, Task, Tokens,
    formula,
};

/// The formula's parameters; those of projections rounded to Q8_0, as they are stored or as float32.
struct Rounded {
    stored: bool,
}

/// Bytes of Q8_0, and the numbers they stand for.
pub fn round(values: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
    for block in values.chunks_exact(32) {
        let scale = f16::from_f32(block.iter().fold(0.0f32, |m, x| m.max(x.abs())) / 127.0);
        bytes.extend(scale.to_le_bytes());
        for x in block {
            let q = (x / scale.to_f32()).round().clamp(-127.0, 127.0) as i8;
            bytes.push(q.cast_unsigned());
            numbers.push(f32::from(q) * scale.to_f32());
        }
    }
    (bytes, numbers)
}

fn is_projection(name: &str) -> bool {
    ["qkv.weight", "proj.weight", "sampling_offsets.weight", "fc1.weight", "fc2.weight"]
        .iter()
        .any(|end| name.ends_with(end))
}

impl ParameterSource for Rounded {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        let values = Formula.values(name, shape)?;
        assert!(!(self.stored && is_projection(name)), "{name} is asked for as float32 although it is stored");
        Ok(if is_projection(name) { round(&values).1 } else { values })
    }

    fn stored(&mut self, name: &str, shape: [usize; 2]) -> Result<Option<StoredWeights>, ParameterError> {
        assert!(is_projection(name), "{name} is no projection");
        let bytes = round(&Formula.values(name, &shape)?).0;
        Ok(self.stored.then_some(StoredWeights { kind: WeightKind::Q8_0, bytes }))
    }
}

fn block(stored: bool, config: &Config, index: usize, device: &Device) -> (Block, Vec<Parameter>) {
    let mut source = Rounded { stored };
    let mut builder = Builder::new(&mut source, device);
    let block = Block::new(&mut builder, "block", config, index).expect("a block");
    (block, builder.finish())
}

#[test]
fn a_frozen_block_is_the_dense_block() {
    let config = Config { embed_dim: 64, heads: 4, interval: 3, ..Config::nano(Task::Segmentation, [24, 24], 20, 9) };
    let tokens = Tokens { batch: 2, grid: [12, 12] };
    for device in [Some(Device::flex()), device::vulkan()].into_iter().flatten() {
        // A sampling block and a full one; for inference, where GELU is fused, and with gradients.
        for index in [0, 2] {
            for device in [device.clone(), device.clone().autodiff()] {
                let run = |stored| {
                    let (block, table) = block(stored, &config, index, &device);
                    let shape = [tokens.batch * tokens.count(), 64];
                    let x = Tensor::<2>::from_data(TensorData::new(formula::input(shape[0] * 64), shape), &device);
                    let x = if device.is_autodiff() { x.require_grad() } else { x };
                    let y = block.forward(x.clone(), tokens, &mut Pass::evaluation());
                    let gradient = device.is_autodiff().then(|| {
                        let grads = (y.clone() * y.clone()).sum().backward();
                        floats(x.grad(&grads).expect("a gradient").into_data())
                    });
                    let matrices = table.iter().filter(|parameter| is_projection(&parameter.name)).count();
                    (floats(y.into_data()), gradient, matrices)
                };
                let (frozen, frozen_gradient, in_table) = run(true);
                let (dense, dense_gradient, matrices) = run(false);
                assert_eq!(in_table, 0, "frozen weights are no parameters");
                assert!(matrices >= 4);
                close(&frozen, &dense);
                if let (Some(frozen), Some(dense)) = (frozen_gradient, dense_gradient) {
                    // The gradient of a sample jumps where it crosses a cell, which rounding may decide.
                    let allowed = if index == 0 { 1e-2 } else { 1e-4 };
                    let relative = deviation(&frozen, &dense).unwrap().rel_l2;
                    assert!(relative <= allowed, "the gradient through block {index} is off by {relative:e}");
                }
            }
        }
    }
}

fn floats(data: TensorData) -> Vec<f32> {
    data.try_to_vec::<f32>().expect("float32")
}

/// Equal up to the rounding of x to 16 bits, 1.5e-5 of the largest of 32 numbers, in each of five layers.
fn close(a: &[f32], b: &[f32]) {
    let scale = b.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off <= 1e-4 * scale, "{off} of {scale}");
}
