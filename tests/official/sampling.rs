//! Sparse sampling attention alone: the cases of `ssa_op`.

use burn::tensor::{Device, Tensor, TensorData};
use sigmascope::kernels::{SamplingShape, sparse_sampling_attention};

use super::{Files, Mismatch, Worst, deviation, ensure, parse, values};

/// Small cases, kept with the tests.
pub const SMALL: [&str; 5] = ["tiny", "square", "nonsquare", "outside", "integer_offsets"];
/// The size of the real spectral encoder, only in `../shared`.
pub const LARGE: &str = "spectral_base";

/// Inputs of the operation and what the official code made of them.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub shape: SamplingShape,
    pub q: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
    pub offsets: Vec<f32>,
    pub grad_out: Vec<f32>,
    pub expected: Vec<Expected>,
}

/// One tensor of the official code.
#[derive(Clone)]
pub struct Expected {
    pub name: &'static str,
    pub values: Vec<f64>,
    /// Limits of the reference's README: relative L2 and largest difference.
    pub relative: f64,
    pub absolute: f64,
}

/// The outputs of one implementation, in the order of [`RESULTS`].
pub type Results = [Vec<f32>; 5];

pub const RESULTS: [&str; 5] = ["out", "grad_q", "grad_k", "grad_v", "grad_offsets"];

impl Case {
    pub async fn read(files: &impl Files, name: &str) -> Result<Self, Mismatch> {
        let json = files.read(&format!("ssa_op/{name}.json")).await?;
        let json: serde_json::Value = serde_json::from_slice(&json).map_err(|error| Mismatch(error.to_string()))?;
        let size = |key: &str| match json[key].as_u64() {
            Some(size) => Ok(size as usize),
            None => Err(Mismatch(format!("{name} has no {key}"))),
        };
        let shape = SamplingShape {
            batch: size("batch")?,
            heads: size("heads")?,
            rows: size("grid_height")?,
            cols: size("grid_width")?,
            head_dim: size("head_dim")?,
            points: size("points")?,
        };
        let stored = parse(&files.read(&format!("ssa_op/{name}.safetensors")).await?)?;
        let input = |key: &str| match stored.get(key) {
            Some(tensor) => Ok(tensor.floats()),
            None => Err(Mismatch(format!("{name} has no {key}"))),
        };
        let expected: Vec<Expected> = RESULTS
            .into_iter()
            .filter_map(|name| {
                let absolute = if name == "grad_offsets" { 2e-4 } else { 5e-5 };
                Some(Expected { name, values: stored.get(name)?.values.clone(), relative: 5e-6, absolute })
            })
            .collect();
        // Only whole-numbered offsets leave out their gradient.
        let complete = expected.len() == if name == "integer_offsets" { 4 } else { 5 };
        ensure(complete, || format!("{name} has {} results", expected.len()))?;
        Ok(Self {
            name: name.to_string(),
            shape,
            q: input("q")?,
            k: input("k")?,
            v: input("v")?,
            offsets: input("offsets")?,
            grad_out: input("grad_out")?,
            expected,
        })
    }

    /// Forward and backward pass through the public function, with gradients from the autodiff tape, on any device.
    pub async fn run(&self, device: &Device) -> Result<Results, Mismatch> {
        let device = device.clone().autodiff();
        let shape = self.shape;
        let leaf =
            |data: &[f32]| Tensor::<4>::from_data(TensorData::new(data.to_vec(), shape.qkv()), &device).require_grad();
        let (q, k, v) = (leaf(&self.q), leaf(&self.k), leaf(&self.v));
        let offsets =
            Tensor::<5>::from_data(TensorData::new(self.offsets.clone(), shape.offsets()), &device).require_grad();
        let upstream = Tensor::<3>::from_data(TensorData::new(self.grad_out.clone(), shape.out()), &device);
        let out = sparse_sampling_attention(q.clone(), k.clone(), v.clone(), offsets.clone(), [shape.rows, shape.cols]);
        let grads = (out.clone() * upstream).sum().backward();
        Ok([
            all(Some(out), shape.out()).await?,
            all(q.grad(&grads), shape.qkv()).await?,
            all(k.grad(&grads), shape.qkv()).await?,
            all(v.grad(&grads), shape.qkv()).await?,
            all(offsets.grad(&grads), shape.offsets()).await?,
        ])
    }

    /// A line for the report, or the tensor of the official code that is not met within its limits.
    pub fn compare(&self, how: &str, results: &Results) -> Result<String, Mismatch> {
        let mut worst = Worst::default();
        for expected in &self.expected {
            let what = format!("{} on {how}: {}", self.name, expected.name);
            let index = RESULTS.iter().position(|&name| name == expected.name).expect("a known tensor");
            let deviation = deviation(&results[index], &expected.values)?.within(expected.relative, &what)?;
            ensure(deviation.max_abs <= expected.absolute, || format!("{what}: {deviation:?}"))?;
            worst.see(expected.name, deviation);
        }
        Ok(worst.report(&format!("ssa_op/{} on {how}", self.name)))
    }

    /// Is every tensor really compared? `results`, which the case accepts, must be refused once one of its numbers is off by
    /// twice the limit, or is none.
    pub fn compare_refuses_wrong_numbers(&self, results: &Results) -> Result<(), Mismatch> {
        self.compare("this device", results)?;
        for (index, Expected { name, values, relative, absolute }) in self.expected.iter().enumerate() {
            let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
            for off in [2.0 * relative * norm, 2.0 * absolute, f64::NAN] {
                let mut wrong = self.clone();
                wrong.expected[index].values[0] += off;
                let refused = wrong.compare("this device", results).is_err();
                ensure(refused, || format!("{}: {name} off by {off:e} was accepted", self.name))?;
            }
        }
        Ok(())
    }
}

/// The values of a tensor that must be there, in this shape.
async fn all<const D: usize>(tensor: Option<Tensor<D>>, shape: [usize; D]) -> Result<Vec<f32>, Mismatch> {
    let tensor = tensor.ok_or_else(|| Mismatch("a gradient is missing".into()))?;
    ensure(tensor.dims() == shape, || format!("{:?} for {shape:?}", tensor.dims()))?;
    values(tensor).await
}
