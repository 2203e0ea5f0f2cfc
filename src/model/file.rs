//! Parameters in and out of safetensors files, under their official names and shapes.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Gradients, Tensor, TensorData, Transaction};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, View};
use thiserror::Error;

use super::HyperSigma;
use super::config::Config;
use super::names;
use super::parameters::{Parameter, ParameterError, ParameterSource};

/// A safetensors file as a source of parameters.
pub struct SafetensorsSource<'a> {
    file: SafeTensors<'a>,
    taken: HashSet<String>,
}

impl<'a> SafetensorsSource<'a> {
    /// # Errors
    /// [`ParameterError::Malformed`] when the bytes are not such a file.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParameterError> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| ParameterError::Malformed(error.to_string()))?;
        Ok(Self { file, taken: HashSet::new() })
    }

    /// Does the file have this parameter?
    pub fn holds(&self, name: &str) -> bool {
        self.file.tensor(name).is_ok()
    }

    /// Checks that nothing is left in the file but what the official network never uses.
    ///
    /// # Errors
    /// [`ParameterError::Unexpected`] with the first name that does not belong to the network.
    pub fn finish(&self, config: &Config) -> Result<(), ParameterError> {
        let mut names = self.file.names();
        names.sort_unstable();
        match names.into_iter().find(|name| !self.taken.contains(*name) && !names::is_unused(config, name)) {
            Some(name) => Err(ParameterError::Unexpected { name: name.to_string() }),
            None => Ok(()),
        }
    }
}

impl ParameterSource for SafetensorsSource<'_> {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        let Ok(view) = self.file.tensor(name) else {
            return Err(ParameterError::Missing { name: name.into() });
        };
        if view.shape() != shape {
            let (expected, found) = (shape.to_vec(), view.shape().to_vec());
            return Err(ParameterError::Shape { name: name.into(), expected, found });
        }
        let values = decode(name, view.dtype(), view.data())?;
        self.taken.insert(name.into());
        Ok(values)
    }

    fn unused(&mut self, name: &str, _shape: &[usize]) -> Result<Option<NamedValues>, ParameterError> {
        let Ok(view) = self.file.tensor(name) else { return Ok(None) };
        let values = decode(name, view.dtype(), view.data())?;
        Ok(Some(NamedValues { name: name.to_owned(), shape: view.shape().to_vec(), values }))
    }
}

/// Little-endian bytes to numbers.
fn decode(name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, ParameterError> {
    fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
    }
    match dtype {
        Dtype::F32 => Ok(each(bytes, f32::from_le_bytes)),
        Dtype::F64 => Ok(each(bytes, |chunk| f64::from_le_bytes(chunk) as f32)),
        Dtype::F16 => Ok(each(bytes, |chunk| f16::from_le_bytes(chunk).to_f32())),
        Dtype::BF16 => Ok(each(bytes, |chunk| bf16::from_le_bytes(chunk).to_f32())),
        other => Err(ParameterError::Type { name: name.into(), dtype: other.to_string() }),
    }
}

/// A network that could not be read back or written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SaveError {
    #[error("the device failed while the network was read back: {0}; train again or switch to the CPU")]
    Device(String),
    #[error("the network could not be written: {0}")]
    Format(String),
}

/// Official name, official shape and values of one parameter, or of its gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedValues {
    pub name: String,
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

impl View for &NamedValues {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        self.values.len() * 4
    }
}

impl HyperSigma {
    /// All parameters that are trained in official order, shape and name. Reads the device once.
    ///
    /// # Errors
    /// [`SaveError::Device`] when the device fails.
    pub async fn values(&self) -> Result<Vec<NamedValues>, SaveError> {
        let mut reading = Reading::new(None, self.parameters());
        self.visit(&mut reading);
        reading.finish().await
    }

    /// The gradients of all parameters that have one, like [`HyperSigma::values`].
    ///
    /// # Errors
    /// [`SaveError::Device`] when the device fails.
    pub async fn gradients(&self, gradients: &Gradients) -> Result<Vec<NamedValues>, SaveError> {
        let mut reading = Reading::new(Some(gradients), self.parameters());
        self.visit(&mut reading);
        reading.finish().await
    }

    /// The network as a safetensors file under official names, `metadata` in its header.
    ///
    /// # Errors
    /// [`SaveError`] when the device fails or the metadata cannot be written.
    pub async fn to_safetensors(&self, metadata: HashMap<String, String>) -> Result<Vec<u8>, SaveError> {
        let values = self.values().await?;
        let all = values.iter().chain(self.unused()).map(|tensor| (tensor.name.as_str(), tensor));
        safetensors::serialize(all, Some(metadata)).map_err(|error| SaveError::Format(error.to_string()))
    }

    /// Replaces all parameters; identifiers stay, so an optimiser's state stays with them. On an error nothing changes.
    ///
    /// # Errors
    /// [`ParameterError`] when the source does not fit the network.
    pub fn load(&mut self, source: &mut dyn ParameterSource) -> Result<(), ParameterError> {
        let mut values = HashMap::new();
        for parameter in self.parameters() {
            let official = source.values(&parameter.name, &parameter.shape)?;
            values.insert(parameter.id, parameter.from_official(official));
        }
        *self = self.clone().map(&mut Replacing { values });
        Ok(())
    }

    /// Replaces all parameters by those of a safetensors file. Names that the official network never uses may be there.
    ///
    /// # Errors
    /// [`ParameterError`] when the file does not fit the network; nothing changes then.
    pub fn load_safetensors(&mut self, bytes: &[u8]) -> Result<(), ParameterError> {
        let mut source = SafetensorsSource::new(bytes)?;
        let mut loaded = self.clone();
        loaded.load(&mut source)?;
        source.finish(self.config())?;
        *self = loaded;
        Ok(())
    }
}

/// Collects tensors and reads them in one go.
struct Reading<'a> {
    gradients: Option<&'a Gradients>,
    table: &'a [Parameter],
    wanted: HashSet<ParamId>,
    transaction: Transaction,
    ids: Vec<ParamId>,
}

impl<'a> Reading<'a> {
    fn new(gradients: Option<&'a Gradients>, table: &'a [Parameter]) -> Self {
        let wanted = table.iter().map(|parameter| parameter.id).collect();
        Self { gradients, table, wanted, transaction: Transaction::default(), ids: Vec::new() }
    }

    async fn finish(self) -> Result<Vec<NamedValues>, SaveError> {
        let device = |error: &dyn std::fmt::Display| SaveError::Device(error.to_string());
        let read = self.transaction.execute_async().await.map_err(|error| device(&error))?;
        let mut read: HashMap<ParamId, TensorData> = self.ids.into_iter().zip(read).collect();
        let mut all = Vec::with_capacity(read.len());
        for parameter in self.table {
            let Some(data) = read.remove(&parameter.id) else { continue };
            let values = data.as_slice::<f32>().map_err(|error| device(&error))?.to_vec();
            let (name, shape) = (parameter.name.clone(), parameter.shape.clone());
            all.push(NamedValues { name, shape, values: parameter.to_official(values) });
        }
        Ok(all)
    }
}

impl ModuleVisitor for Reading<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.wanted.contains(&param.id) {
            return;
        }
        let tensor = match self.gradients {
            None => param.val().inner(),
            Some(gradients) => match param.val().grad(gradients) {
                Some(gradient) => gradient,
                None => return,
            },
        };
        let transaction = std::mem::take(&mut self.transaction);
        self.transaction = transaction.register(tensor);
        self.ids.push(param.id);
    }
}

/// Puts new values into parameters.
struct Replacing {
    values: HashMap<ParamId, Vec<f32>>,
}

impl ModuleMapper for Replacing {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = self.values.remove(&param.id) else { return param };
        let id = param.id;
        let data = TensorData::new(values, param.lazy_shape());
        let tensor = Tensor::from_data(data, &param.lazy_device());
        param.transform_for_load(tensor, id)
    }
}
