//! The benchmark page's cases: the same networks and shapes as `cargo bench`, in the tab and on the chosen device.

use burn::tensor::{Device, Tensor, TensorData};

use super::super::clock::now_s;
use super::super::message::{BenchCase, BenchResult, Event, RequestId};
use super::super::session::{Refusal, Session};
use super::{BUSY, Stop, conclude, listen};
use crate::kernels::sparse_sampling_attention;
use crate::model::{Config, Formula, HyperSigma, ParameterSource, Quantizing, Task, formula};
use crate::train::TrainError;
use crate::weights::Quantization;

/// Repetitions after the first, which compiles.
const REPETITIONS: usize = 5;

/// Shape of the attention cases: one Base tile of 16 × 16 tokens, 12 heads of 64 channels, 8 points.
const GRID: [usize; 2] = [16, 16];
const HEADS: usize = 12;
const HEAD_DIM: usize = 64;
const POINTS: usize = 8;

pub(in super::super) async fn bench(session: &Session, id: RequestId, cases: Vec<BenchCase>) -> Result<(), Refusal> {
    let Some(_running) = session.control.start() else { return Err(BUSY.into()) };
    let end = run(session, id, cases).await;
    conclude(session, id, end)
}

async fn run(session: &Session, id: RequestId, cases: Vec<BenchCase>) -> Result<(), Stop> {
    let chosen = session.chosen().await?;
    for case in cases {
        listen(session).await?;
        let (act, flop) = prepare(case, &chosen.device)?;
        let started_s = now_s();
        let output = read(act()).await?;
        let first_s = now_s() - started_s;
        let mut seconds = Vec::with_capacity(REPETITIONS);
        for _ in 0..REPETITIONS {
            listen(session).await?;
            let started_s = now_s();
            read(act()).await?;
            seconds.push(now_s() - started_s);
        }
        let output_sum = output.iter().map(|&value| f64::from(value)).sum();
        let output_l2 = output.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        let device = chosen.info.clone();
        let result = BenchResult { case, device, seconds, first_s, flop, output_sum, output_l2 };
        session.post(id, Event::BenchResult(result));
    }
    Ok(())
}

/// Reading the result back is part of the time: it is what waits for the GPU.
async fn read(output: Tensor<1>) -> Result<Vec<f32>, Stop> {
    let data = output.into_data_async().await.map_err(TrainError::from)?;
    Ok(data.iter::<f32>().collect())
}

type Act = Box<dyn Fn() -> Tensor<1>>;

/// The act to repeat and its floating-point operations.
fn prepare(case: BenchCase, device: &Device) -> Result<(Act, f64), Stop> {
    match case {
        BenchCase::SsaForward => {
            let (q, k, v, offsets) = (qkv("q", device)?, qkv("k", device)?, qkv("v", device)?, offsets(device)?);
            let act = move || flat(sparse_sampling_attention(q.clone(), k.clone(), v.clone(), offsets.clone(), GRID));
            Ok((Box::new(act), ssa_flop()))
        }
        BenchCase::SsaBackward => {
            let device = device.clone().autodiff();
            let (q, k, v, offsets) = (qkv("q", &device)?, qkv("k", &device)?, qkv("v", &device)?, offsets(&device)?);
            let act = move || {
                let (q, k, v, offsets) = (
                    q.clone().require_grad(),
                    k.clone().require_grad(),
                    v.clone().require_grad(),
                    offsets.clone().require_grad(),
                );
                let out = sparse_sampling_attention(q.clone(), k, v, offsets, GRID);
                let gradients = out.sum().backward();
                q.grad(&gradients).map_or_else(|| flat(q.inner()), flat)
            };
            // Forward, then about twice as much again.
            Ok((Box::new(act), 3.0 * ssa_flop()))
        }
        // Depth 1 and interval 1: patch embedding, one block of full attention, and the head.
        BenchCase::FullAttentionBlock => {
            let config = Config { depth: 1, interval: 1, features: [0; 4], spectral_blocks: 1, ..base() };
            network(config, Quantization::F32, device)
        }
        BenchCase::NanoForward => network(nano(), Quantization::F32, device),
        BenchCase::NanoForwardQ8 => network(nano(), Quantization::Q8_0, device),
        BenchCase::NanoForwardQ4 => network(nano(), Quantization::Q4_0, device),
        BenchCase::BaseForward => network(base(), Quantization::F32, device),
        BenchCase::BaseForwardQ8 => network(base(), Quantization::Q8_0, device),
        BenchCase::BaseForwardQ4 => network(base(), Quantization::Q4_0, device),
        BenchCase::TinyForward => network(tiny(), Quantization::F32, device),
    }
}

const TILE: [usize; 2] = [128, 128];
const COMPONENTS: usize = 20;
const CLASSES: usize = 9;

fn base() -> Config {
    Config::base(Task::Segmentation, TILE, COMPONENTS, CLASSES)
}

fn nano() -> Config {
    Config::nano(Task::Segmentation, TILE, COMPONENTS, CLASSES)
}

fn tiny() -> Config {
    Config::tiny(Task::Segmentation, [32, 32], 8, 6)
}

/// A network with the weights of the reference formula, so that other runtimes can be given the same.
fn network(config: Config, quantization: Quantization, device: &Device) -> Result<(Act, f64), Stop> {
    let mut formula = Formula;
    let mut source = Quantizing::new(&mut formula, quantization);
    let model = HyperSigma::new(&config, &mut source, device).map_err(Refusal::from)?;
    let shape = [1, config.components, config.rows, config.cols];
    let input = formula::input(shape.iter().product());
    let input = Tensor::<4>::from_data(TensorData::new(input, shape), device);
    let flop = config.forward_flop();
    Ok((Box::new(move || flat(model.forward(input.clone()))), flop))
}

fn qkv(name: &str, device: &Device) -> Result<Tensor<4>, Stop> {
    values(name, [1, HEADS, GRID[0] * GRID[1], HEAD_DIM], device)
}

/// About one and a half cells each way, as a trained network has them.
fn offsets(device: &Device) -> Result<Tensor<5>, Stop> {
    values("sampling_offsets.bias", [1, HEADS, GRID[0] * GRID[1], POINTS, 2], device)
}

/// A tensor by the reference formula.
fn values<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Result<Tensor<D>, Stop> {
    let values = Formula.values(name, &shape).map_err(Refusal::from)?;
    Ok(Tensor::from_data(TensorData::new(values, shape), device))
}

/// Four neighbours of key and value a sample, then the dot product and the weighted sum.
fn ssa_flop() -> f64 {
    (HEADS * GRID[0] * GRID[1] * POINTS * HEAD_DIM * (16 + 4)) as f64
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let len = tensor.dims().iter().product::<usize>();
    tensor.reshape([len])
}
