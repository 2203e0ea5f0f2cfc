//! A trained model as a file: safetensors under official names, with everything in its header that mapping another scene
//! needs: the projection, the classes, the settings, and how the training went.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::Device;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use thiserror::Error;

use super::config::{ConfigError, TrainConfig};
use super::error::TrainError;
use super::info::ModelInfo;
use super::trainer::{EpochReport, Trainer};
use crate::labels::Class;
use crate::model::names;
use crate::model::{
    Config, HyperSigma, ModelError, NamedValues, ParameterError, ParameterSource, Quantizing, SafetensorsSource, Task,
};
use crate::preprocess::{PreprocessError, Projection};
use crate::scene::SceneInfo;
use crate::weights::Quantization;

/// The key of our JSON in the header of the file.
const KEY: &str = "sigmascope";

/// Rises whenever an older program could no longer read the file.
const FORMAT: u32 = 1;

/// What a model file says about its network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Version of this structure.
    pub format: u32,
    /// How it was trained; also how to map with it (overlap, averaging).
    pub config: TrainConfig,
    /// Shape of the network.
    pub shape: Config,
    /// From spectra to the network's input.
    pub projection: Projection,
    /// Class 1 first.
    pub classes: Vec<Class>,
    /// Name of the scene it was trained on.
    pub scene: String,
    pub report: TrainingReport,
}

/// How the training went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingReport {
    /// Name of the split.
    pub split: String,
    /// All epochs.
    pub history: Vec<EpochReport>,
    /// The epoch the weights are from, 1-based.
    pub best_epoch: usize,
}

/// A model file that cannot be written or used.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ArtifactError {
    #[error("this is not a model file of SigmaScope ({0}); choose a .safetensors file saved here")]
    NotAModel(String),
    #[error("this model file has version {found}, but this program reads up to {FORMAT}; use a newer SigmaScope")]
    Version { found: u32 },
    #[error("the model file contradicts itself: {0}; save the model again")]
    Inconsistent(String),
    #[error("the settings in the model file cannot be used: {0}")]
    Config(#[from] ConfigError),
    #[error("the network in the model file cannot be built: {0}")]
    Network(#[from] ModelError),
    #[error("the model does not fit this scene: {0}")]
    Scene(#[from] PreprocessError),
    #[error("the model file could not be written: {0}")]
    Format(String),
}

/// A trained network with all that is needed to map with it. Its weights are on the host, so it outlives the device.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedModel {
    description: Description,
    /// Under official names, in official order.
    weights: Vec<NamedValues>,
}

impl Description {
    /// Everything that later code relies on, before any memory is taken for it.
    fn check(&self) -> Result<(), ArtifactError> {
        if self.format == 0 || self.format > FORMAT {
            return Err(ArtifactError::Version { found: self.format });
        }
        let inconsistent = |what: &str| Err(ArtifactError::Inconsistent(what.to_owned()));
        self.config.validate()?;
        let shape = &self.shape;
        let within = [
            (shape.rows, 4096),
            (shape.cols, 4096),
            (shape.components, 4096),
            (shape.classes, 255),
            (shape.embed_dim, 1 << 14),
            (shape.depth, 256),
            (shape.heads, 1 << 10),
            (shape.mlp_ratio, 64),
            (shape.points, 256),
            (shape.spectral_tokens, 4096),
        ];
        if within.iter().any(|(value, most)| value > most) || shape.complete || shape.task != Task::Segmentation {
            return inconsistent("its network is none that is trained here");
        }
        shape.validate().map_err(ModelError::Config)?;
        if self.classes.len() != shape.classes {
            return inconsistent("the class table and the network have different numbers of classes");
        }
        let projection = &self.projection;
        let (bands, components) = (projection.bands.len(), projection.divisor.len());
        if components != shape.components {
            return inconsistent("the projection and the network have different numbers of components");
        }
        let matrix = if projection.components.is_empty() {
            bands == components
        } else {
            projection.components.len() == bands * components
        };
        if !matrix
            || projection.mean.len() != bands
            || projection.bands.iter().any(|&band| band >= projection.scene_bands)
        {
            return inconsistent("the projection's parts do not fit together");
        }
        let numbers = [&projection.mean, &projection.components, &projection.divisor];
        if numbers.iter().any(|list| list.iter().any(|value| !value.is_finite())) || projection.divisor.contains(&0.0) {
            return inconsistent("the projection holds numbers that are not finite");
        }
        Ok(())
    }
}

impl TrainedModel {
    /// The best weights of a run, read from its device once.
    ///
    /// # Errors
    /// [`TrainError::Device`] when the device fails.
    pub async fn new(
        trainer: &Trainer,
        projection: Projection,
        classes: Vec<Class>,
        scene: &SceneInfo,
        report: TrainingReport,
    ) -> Result<Self, TrainError> {
        let weights = trainer.best_network()?.values().await.map_err(|error| TrainError::Device(error.to_string()))?;
        let description = Description {
            format: FORMAT,
            config: trainer.config().clone(),
            shape: trainer.shape().clone(),
            projection,
            classes,
            scene: scene.name.clone(),
            report,
        };
        Ok(Self { description, weights })
    }

    /// Puts a description and weights together.
    ///
    /// # Errors
    /// [`ArtifactError`] when they contradict themselves or each other.
    pub fn from_parts(description: Description, weights: Vec<NamedValues>) -> Result<Self, ArtifactError> {
        description.check()?;
        let fits = |(expected, found): (&(String, Vec<usize>), &NamedValues)| {
            expected.0 == found.name
                && expected.1 == found.shape
                && expected.1.iter().product::<usize>() == found.values.len()
        };
        let live = names::live(&description.shape);
        if live.len() != weights.len() || !live.iter().zip(&weights).all(fits) {
            return Err(ArtifactError::Inconsistent("the weights are not those of the network".to_owned()));
        }
        Ok(Self { description, weights })
    }

    /// The model as a safetensors file.
    ///
    /// # Errors
    /// [`ArtifactError::Format`], which no sound model meets.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArtifactError> {
        let format = |error: serde_json::Error| ArtifactError::Format(error.to_string());
        let mut json = serde_json::to_value(&self.description).map_err(format)?;
        if let Some(projection) = json.get_mut("projection") {
            numbers_to_text(projection);
        }
        let json = json.to_string();
        let weights = self.weights.iter().map(|tensor| (tensor.name.as_str(), tensor));
        safetensors::serialize(weights, Some(HashMap::from([(KEY.to_owned(), json)])))
            .map_err(|error| ArtifactError::Format(error.to_string()))
    }

    /// Opens a model file.
    ///
    /// # Errors
    /// [`ArtifactError`] when it is no model file of ours, contradicts itself, or lacks weights.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArtifactError> {
        let description = describe(bytes)?;
        let mut source = SafetensorsSource::new(bytes).map_err(ModelError::Parameter)?;
        let mut weights = Vec::new();
        for (name, shape) in names::live(&description.shape) {
            let values = source.values(&name, &shape).map_err(ModelError::Parameter)?;
            weights.push(NamedValues { name, shape, values });
        }
        source.finish(&description.shape).map_err(ModelError::Parameter)?;
        Ok(Self { description, weights })
    }

    /// The network on `device` (without autodiff).
    ///
    /// # Errors
    /// [`TrainError::Network`] when weights and shape contradict each other.
    pub fn network(&self, device: &Device) -> Result<HyperSigma, TrainError> {
        let by_name = self.weights.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        HyperSigma::new(&self.description.shape, &mut Weights(by_name), device)
            .map_err(|error| TrainError::Network(error.to_string()))
    }

    /// The network on `device` with its projections quantized, as a weights file would hold them, and frozen.
    ///
    /// # Errors
    /// [`TrainError::Network`] when F16 cannot hold a weight, or weights and shape contradict each other.
    pub fn network_stored(&self, quantization: Quantization, device: &Device) -> Result<HyperSigma, TrainError> {
        let mut weights = Weights(self.weights.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect());
        HyperSigma::new(&self.description.shape, &mut Quantizing::new(&mut weights, quantization), device)
            .map_err(|error| TrainError::Network(error.to_string()))
    }

    /// Whether a scene can be mapped: as many bands as the training scene, at the same wavelengths where both are known.
    ///
    /// # Errors
    /// [`ArtifactError::Scene`] says what the model expects.
    pub fn check_scene(&self, info: &SceneInfo) -> Result<(), ArtifactError> {
        Ok(self.description.projection.check_scene(info)?)
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    pub fn config(&self) -> &TrainConfig {
        &self.description.config
    }

    pub fn projection(&self) -> &Projection {
        &self.description.projection
    }

    pub fn classes(&self) -> &[Class] {
        &self.description.classes
    }

    /// What the page shows of it.
    pub fn info(&self) -> ModelInfo {
        let Description { config, shape, projection, classes, scene, .. } = &self.description;
        ModelInfo {
            config: config.clone(),
            bands: projection.scene_bands,
            classes: classes.clone(),
            parameters: shape.parameter_count() as u64,
            scene: scene.clone(),
        }
    }
}

/// What a model file says, checked.
fn describe(bytes: &[u8]) -> Result<Description, ArtifactError> {
    let not_ours = ArtifactError::NotAModel;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| not_ours(error.to_string()))?;
    let json = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let Some(json) = json else { return Err(not_ours("it lacks our description".to_owned())) };
    let mut json: Value = serde_json::from_str(json).map_err(|error| not_ours(error.to_string()))?;
    if let Some(projection) = json.get_mut("projection") {
        text_to_numbers(projection);
    }
    let description: Description = serde_json::from_value(json).map_err(|error| not_ours(error.to_string()))?;
    description.check()?;
    // The file must hold all of the network before memory is taken for it.
    let needed = description.shape.parameter_count().saturating_mul(4);
    if bytes.len() < needed {
        let what = format!("it has {} bytes, but its network has {needed}", bytes.len());
        return Err(ArtifactError::Inconsistent(what));
    }
    Ok(description)
}

/// Writes the fractions of a projection as text, because numbers in JSON are read back only to the last digit but one, and
/// a saved model must give the same map to the last pixel.
fn numbers_to_text(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => *value = Value::String(number.to_string()),
        Value::Array(list) => list.iter_mut().for_each(numbers_to_text),
        Value::Object(fields) => fields.values_mut().for_each(numbers_to_text),
        _ => {}
    }
}

/// The inverse of [`numbers_to_text`]; text that is no number stays and is refused where a number is expected.
fn text_to_numbers(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(number) = text.parse().ok().and_then(Number::from_f64) {
                *value = Value::Number(number);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(text_to_numbers),
        Value::Object(fields) => fields.values_mut().for_each(text_to_numbers),
        _ => {}
    }
}

/// Weights on the host as a source for a network.
struct Weights<'a>(BTreeMap<&'a str, &'a NamedValues>);

impl ParameterSource for Weights<'_> {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        match self.0.get(name) {
            Some(tensor) if tensor.shape == shape => Ok(tensor.values.clone()),
            Some(tensor) => {
                let (expected, found) = (shape.to_vec(), tensor.shape.clone());
                Err(ParameterError::Shape { name: name.to_owned(), expected, found })
            }
            None => Err(ParameterError::Missing { name: name.to_owned() }),
        }
    }
}
