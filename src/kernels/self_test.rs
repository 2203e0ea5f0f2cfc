//! Do the kernels compute on this device what the CPU computes?
//!
//! Some failures of a GPU make no noise: a browser that refuses a shader reports it to nobody who could wait, the kernel does
//! not run, and reading its output succeeds with whatever lay in the buffer. So before a device is trusted with a scene, all
//! kernels run on it once, on tiny inputs, and every number is compared.

use super::full_attention::full_attention;
use super::quantized::{Activation, QuantizedMatrix, WeightKind, quantized_linear};
use super::{SamplingShape, gelu, layer_norm, reference, sparse_sampling_attention};
use burn::tensor::{Device, Tensor, TensorData};
use thiserror::Error;

/// What is wrong with the device.
#[derive(Debug, Error)]
pub enum SelfTestError {
    /// Reading a result failed.
    #[error("the kernels fail on this device: {0}. Choose the CPU instead")]
    Failed(String),
    /// A result is wrong, most likely because the device refused a kernel.
    #[error(
        "the kernels compute wrong numbers on this device ({tensor} is off by {difference:e}). Choose the CPU instead"
    )]
    Wrong {
        /// The output or gradient that is wrong.
        tensor: &'static str,
        /// The largest difference from the reference; NaN where the result has NaN.
        difference: f64,
    },
}

/// The largest difference that is rounding. The inputs are of size 1, outputs and gradients below 10.
const TOLERANCE: f64 = 1e-4;

/// Runs forward and backward passes on `device` and compares with the CPU. Waits for the device without blocking; a few
/// milliseconds, and as long as its compiler takes for a dozen small kernels.
///
/// # Errors
/// When a result cannot be read or is wrong: the device must not be used.
pub async fn self_test(device: &Device) -> Result<(), SelfTestError> {
    check_gelu(device).await?;
    check_norm(device).await?;
    // Rows read four floats at a time, and rows read float by float.
    for head_dim in [8, 3] {
        check(device, SamplingShape { batch: 1, heads: 2, rows: 3, cols: 4, head_dim, points: 5 }).await?;
    }
    Ok(())
}

/// The same for the kernels of frozen weights, which a network without them does not need.
///
/// # Errors
/// When a result cannot be read or is wrong: no frozen weights on this device.
pub async fn self_test_frozen(device: &Device) -> Result<(), SelfTestError> {
    let shape = [1, 2, 9, 8];
    let attend = |device: &Device| {
        let [q, k, v] = [(1.3, 0.9), (2.1, 1.1), (0.7, 1.0)]
            .map(|(step, scale)| Tensor::from_data(TensorData::new(wave(144, step, scale), shape), device));
        full_attention(q, k, v)
    };
    compare("the output of full attention", Some(attend(device)), &read(attend(&Device::flex())).await?).await?;
    for kind in [WeightKind::F16, WeightKind::Q8_0, WeightKind::Q4_0] {
        // Scales and F16 numbers around one, everything else as it comes.
        let mut bytes: Vec<u8> = wave(6 * 2 * kind.block_bytes(), 1.1, 10.0).iter().map(|&x| x as i8 as u8).collect();
        let step = if kind == WeightKind::F16 { 2 } else { kind.block_bytes() };
        bytes.iter_mut().skip(1).step_by(step).for_each(|high| *high = 0x28);
        let run = |device: &Device| {
            let matrix = QuantizedMatrix::new(kind, [6, 64], &bytes, device)
                .map_err(|error| SelfTestError::Failed(error.to_string()))?;
            let device = device.clone().autodiff();
            let leaf = Tensor::<2>::from_data(TensorData::new(wave(320, 0.9, 0.1), [5, 64]), &device).require_grad();
            let bias = Tensor::<1>::from_floats(wave(6, 0.4, 1.0).as_slice(), &device);
            let y = quantized_linear(leaf.clone(), &matrix, Some(bias.clone()), Activation::None);
            let gradient = leaf.grad(&y.clone().sum().backward());
            // Once more without the tape, where the activation is part of the kernel.
            let fused = quantized_linear(leaf.inner(), &matrix, Some(bias.inner()), Activation::Gelu);
            Ok((y, gradient, fused))
        };
        let (y, gradient, fused) = run(device)?;
        let (expected, slope, activated) = run(&Device::flex())?;
        compare("the output of a frozen layer", Some(y), &read(expected).await?).await?;
        compare("the output of a frozen layer with GELU", Some(fused), &read(activated).await?).await?;
        let Some(slope) = slope else {
            return Err(SelfTestError::Failed("the gradient of a frozen layer is missing".to_owned()));
        };
        compare("the gradient of a frozen layer", gradient, &read(slope).await?).await?;
    }
    Ok(())
}

async fn check(device: &Device, shape: SamplingShape) -> Result<(), SelfTestError> {
    let qkv = shape.qkv().iter().product();
    let q = wave(qkv, 1.3, 0.9);
    let k = wave(qkv, 2.1, 1.1);
    let v = wave(qkv, 0.7, 1.0);
    // Up to 2.5 cells: inside, on the border and outside.
    let offsets = wave(shape.offsets().iter().product(), 1.7, 2.5);
    let upstream = wave(qkv, 0.4, 1.0);

    let device = device.clone().autodiff();
    let leaf =
        |data: &[f32]| Tensor::<4>::from_data(TensorData::new(data.to_vec(), shape.qkv()), &device).require_grad();
    let (tq, tk, tv) = (leaf(&q), leaf(&k), leaf(&v));
    let to = Tensor::<5>::from_data(TensorData::new(offsets.clone(), shape.offsets()), &device).require_grad();
    let tg = Tensor::<3>::from_data(TensorData::new(upstream.clone(), shape.out()), &device);
    let out = sparse_sampling_attention(tq.clone(), tk.clone(), tv.clone(), to.clone(), [shape.rows, shape.cols]);
    let grads = (out.clone() * tg).sum().backward();

    let wide = |data: &[f32]| data.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let [q, k, v, offsets, upstream] = [&q, &k, &v, &offsets, &upstream].map(|data| wide(data));
    let expected = reference::forward(&shape, &q, &k, &v, &offsets);
    let gradients = reference::backward(&shape, &q, &k, &v, &offsets, &upstream);
    compare("the output", Some(out), &expected).await?;
    compare("the gradient of q", tq.grad(&grads), &gradients.q).await?;
    compare("the gradient of k", tk.grad(&grads), &gradients.k).await?;
    compare("the gradient of v", tv.grad(&grads), &gradients.v).await?;
    compare("the gradient of the offsets", to.grad(&grads), &gradients.offsets).await
}

async fn check_gelu(device: &Device) -> Result<(), SelfTestError> {
    let data = wave(130, 1.9, 3.0);
    let x = Tensor::<1>::from_floats(data.as_slice(), &device.clone().autodiff()).require_grad();
    let y = gelu(x.clone());
    let grads = y.clone().sum().backward();
    let wide = |data: Vec<f32>| data.into_iter().map(f64::from).collect::<Vec<_>>();
    compare("the output of GELU", Some(y), &wide(gelu::forward(&data))).await?;
    compare("the gradient of GELU", x.grad(&grads), &wide(gelu::backward(&data, &vec![1.0; data.len()]))).await
}

async fn check_norm(device: &Device) -> Result<(), SelfTestError> {
    let run = |device: &Device| {
        let device = device.clone().autodiff();
        let tensor = |data: Vec<f32>, shape: [usize; 2]| Tensor::<2>::from_data(TensorData::new(data, shape), &device);
        let x = tensor(wave(3 * 70, 1.9, 3.0), [3, 70]).require_grad();
        let gamma = Tensor::<1>::from_floats(wave(70, 0.7, 1.0).as_slice(), &device).require_grad();
        let beta = Tensor::<1>::from_floats(wave(70, 1.3, 1.0).as_slice(), &device);
        let y = layer_norm(x.clone(), gamma.clone(), beta, 1e-6);
        let grads = (y.clone() * tensor(wave(3 * 70, 0.4, 1.0), [3, 70])).sum().backward();
        (y, x.grad(&grads), gamma.grad(&grads))
    };
    let ((y, x, gamma), (expected_y, expected_x, expected_gamma)) = (run(device), run(&Device::flex()));
    compare("the output of layer norm", Some(y), &read(expected_y).await?).await?;
    let missing = || SelfTestError::Failed("a gradient of layer norm is missing".to_owned());
    compare("the gradient of layer norm", x, &read(expected_x.ok_or_else(missing)?).await?).await?;
    let expected = read(expected_gamma.ok_or_else(missing)?).await?;
    compare("the gradient of layer norm's gain", gamma, &expected).await
}

/// What the CPU computes.
async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f64>, SelfTestError> {
    let data = tensor.into_data_async().await.map_err(|error| SelfTestError::Failed(error.to_string()))?;
    let values = data.try_to_vec::<f32>().map_err(|error| SelfTestError::Failed(error.to_string()))?;
    Ok(values.into_iter().map(f64::from).collect())
}

async fn compare<const D: usize>(
    tensor: &'static str,
    result: Option<Tensor<D>>,
    expected: &[f64],
) -> Result<(), SelfTestError> {
    let Some(result) = result else {
        return Err(SelfTestError::Failed(format!("{tensor} is missing")));
    };
    let data = result.into_data_async().await.map_err(|error| SelfTestError::Failed(error.to_string()))?;
    let values = data.try_to_vec::<f32>().map_err(|error| SelfTestError::Failed(error.to_string()))?;
    let mut difference = if values.len() == expected.len() { 0.0 } else { f64::INFINITY };
    for (&value, &expected) in values.iter().zip(expected) {
        let off = (f64::from(value) - expected).abs();
        if off.is_nan() || off > difference {
            difference = off;
            if off.is_nan() {
                break;
            }
        }
    }
    if difference <= TOLERANCE { Ok(()) } else { Err(SelfTestError::Wrong { tensor, difference }) }
}

/// Numbers in ±scale without a pattern that the grid could hide.
fn wave(len: usize, step: f64, scale: f64) -> Vec<f32> {
    (0..len).map(|i| ((i as f64 * i as f64 * 0.37 + i as f64 * step + 0.5).sin() * scale) as f32).collect()
}
