//! Parameters of a network while it is built: where their values come from and what they are officially called.
//!
//! A module asks the [`Builder`] for a parameter by its official name and shape; the builder asks the
//! [`ParameterSource`] for values and notes the parameter in the table that saving, loading and the optimiser use.

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use thiserror::Error;

use super::NamedValues;
use crate::kernels::quantized::{MatrixError, QuantizedMatrix, WeightKind};

/// Where the values of parameters come from: random initialisation, a file, a formula.
pub trait ParameterSource {
    /// The values of the parameter `name` of the official `shape`, row-major.
    ///
    /// # Errors
    /// [`ParameterError`] when the source has no such parameter, or one of another shape.
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError>;

    /// Something that an official checkpoint holds but the network never uses; `None` if the source has no such thing.
    ///
    /// # Errors
    /// [`ParameterError`] when the source has it but cannot give it.
    fn unused(&mut self, name: &str, shape: &[usize]) -> Result<Option<NamedValues>, ParameterError> {
        Ok(Some(NamedValues { name: name.to_owned(), shape: shape.to_vec(), values: self.values(name, shape)? }))
    }

    /// The weights of a projection `name` of the official shape `[out, in]` as they are stored, if they are to stay so: such
    /// a layer is frozen. `None`, the default, asks [`values`](Self::values) and makes it an ordinary one.
    ///
    /// # Errors
    /// [`ParameterError`] when the source has no such parameter, or one of another shape.
    fn stored(&mut self, _name: &str, _shape: [usize; 2]) -> Result<Option<StoredWeights>, ParameterError> {
        Ok(None)
    }

    /// Does training change the parameter `name`? What it does not change is in no table.
    fn trains(&self, _name: &str) -> bool {
        true
    }

    /// Rank r and factor α / r of the adapter of the projection `name`; `None`, the default, where it has none.
    fn low_rank(&self, _name: &str) -> Option<(usize, f64)> {
        None
    }
}

/// A matrix as a file holds it, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWeights {
    pub kind: WeightKind,
    /// Blocks of 32 weights along a row.
    pub bytes: Vec<u8>,
}

/// Parameters that do not fit the network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParameterError {
    #[error("the file is not a safetensors file: {0}")]
    Malformed(String),
    #[error("the file has no parameter {name}; it belongs to another network")]
    Missing { name: String },
    #[error(
        "{name} has the shape {} in the file but {} in the network; the file belongs to another size, tile or number of classes",
        shape_text(found),
        shape_text(expected)
    )]
    Shape { name: String, expected: Vec<usize>, found: Vec<usize> },
    #[error("{name} holds numbers of type {dtype}, which are not supported; convert the file to F32")]
    Type { name: String, dtype: String },
    #[error("{name}: {error}")]
    Stored { name: String, error: MatrixError },
    #[error("the file holds {name}, which this network does not have")]
    Unexpected { name: String },
    #[error("{name} cannot be had: {reason}")]
    Source { name: String, reason: String },
}

/// "64 × 3", for a message.
fn shape_text(shape: &[usize]) -> String {
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    if sides.is_empty() { "of a single number".to_owned() } else { sides.join(" × ") }
}

/// How a parameter lies in the network compared with its official shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The same order of values.
    Same,
    /// Officially `[out, in…]`, here `[in…, out]`: a linear map or a convolution as a matrix applied from the right.
    Transposed,
}

/// One parameter that is trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The key of the official state dict.
    pub name: String,
    /// Stays the same through optimiser steps, moves between devices and loading.
    pub id: ParamId,
    /// The official shape.
    pub shape: Vec<usize>,
    pub layout: Layout,
}

impl Parameter {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Does weight decay apply? Not to vectors, biases and position tables (official behaviour 29).
    pub fn decays(&self) -> bool {
        self.shape.len() > 1 && !self.name.ends_with(".bias") && !self.name.contains("pos_embed")
    }

    /// Official order → order in the network.
    pub fn from_official(&self, values: Vec<f32>) -> Vec<f32> {
        match self.layout {
            Layout::Same => values,
            Layout::Transposed => transpose(&values, self.shape[0]),
        }
    }

    /// Order in the network → official order.
    pub fn to_official(&self, values: Vec<f32>) -> Vec<f32> {
        match self.layout {
            Layout::Same => values,
            Layout::Transposed => transpose(&values, self.len() / self.shape[0].max(1)),
        }
    }
}

/// `[rows, n / rows]` → `[n / rows, rows]`, in blocks that fit the cache.
fn transpose(values: &[f32], rows: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let cols = values.len() / rows.max(1);
    let mut out = vec![0.0; values.len()];
    for row in (0..rows).step_by(BLOCK) {
        for col in (0..cols).step_by(BLOCK) {
            for r in row..(row + BLOCK).min(rows) {
                for c in col..(col + BLOCK).min(cols) {
                    out[c * rows + r] = values[r * cols + c];
                }
            }
        }
    }
    out
}

/// Builds parameters and keeps their table.
pub struct Builder<'a> {
    source: &'a mut dyn ParameterSource,
    device: &'a Device,
    table: Vec<Parameter>,
}

impl<'a> Builder<'a> {
    pub fn new(source: &'a mut dyn ParameterSource, device: &'a Device) -> Self {
        Self { source, device, table: Vec::new() }
    }

    pub fn device(&self) -> &Device {
        self.device
    }

    /// The table of everything built, in order.
    pub fn finish(self) -> Vec<Parameter> {
        self.table
    }

    /// A vector: bias, gain.
    pub fn vector(&mut self, name: String, len: usize) -> Result<Param<Tensor<1>>, ParameterError> {
        self.parameter(name, vec![len], Layout::Same, [len])
    }

    /// A matrix `[in, out]` that is officially `[out, in…]` with these dimensions `in…` (a convolution has several).
    pub fn map(&mut self, name: String, input: &[usize], out: usize) -> Result<Param<Tensor<2>>, ParameterError> {
        let shape = [&[out], input].concat();
        self.parameter(name, shape, Layout::Transposed, [input.iter().product(), out])
    }

    /// A matrix whose values lie as in the official `shape`.
    pub fn matrix(
        &mut self,
        name: String,
        shape: &[usize],
        ours: [usize; 2],
    ) -> Result<Param<Tensor<2>>, ParameterError> {
        self.parameter(name, shape.to_vec(), Layout::Same, ours)
    }

    /// A matrix whose weights stay as they are stored, if the source wants that; it is in no table, as nobody trains it.
    pub fn stored(&mut self, name: &str, input: usize, out: usize) -> Result<Option<QuantizedMatrix>, ParameterError> {
        let Some(StoredWeights { kind, bytes }) = self.source.stored(name, [out, input])? else { return Ok(None) };
        let matrix = QuantizedMatrix::new(kind, [out, input], &bytes, self.device);
        matrix.map(Some).map_err(|error| ParameterError::Stored { name: name.to_owned(), error })
    }

    /// Rank and factor of the adapter of a projection, if the source wants one.
    pub fn low_rank(&self, name: &str) -> Option<(usize, f64)> {
        self.source.low_rank(name)
    }

    fn parameter<const D: usize>(
        &mut self,
        name: String,
        shape: Vec<usize>,
        layout: Layout,
        ours: [usize; D],
    ) -> Result<Param<Tensor<D>>, ParameterError> {
        let values = self.source.values(&name, &shape)?;
        let mut entry = Parameter { name, id: ParamId::new(), shape, layout };
        let values = entry.from_official(values);
        let tensor = Tensor::from_data(TensorData::new(values, ours), self.device);
        if !self.source.trains(&entry.name) {
            return Ok(Param::initialized(entry.id, tensor));
        }
        let param = Param::from_tensor(tensor);
        entry.id = param.id;
        self.table.push(entry);
        Ok(param)
    }
}
