//! A trained model as a file: safetensors under official names, with everything in its header that mapping another scene
//! needs: the projection, the classes, the settings, and how the training went. After LoRA the file holds what was trained
//! and names the weights that it changes.

use std::collections::HashMap;
use std::rc::Rc;

use burn::tensor::Device;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use thiserror::Error;

use super::adapter::{Merged, Saved, check_base};
use super::config::{ConfigError, TrainConfig};
use super::error::TrainError;
use super::info::{BaseWeights, ModelInfo};
use super::start::Start;
use super::trainer::{EpochReport, Trainer};
use super::tuning::Lora;
use crate::labels::Class;
use crate::model::names;
use crate::model::{Config, HyperSigma, ModelError, NamedValues, ParameterSource, Quantizing, SafetensorsSource, Task};
use crate::preprocess::{PreprocessError, Projection};
use crate::scene::SceneInfo;
use crate::weights::{Pretrained, Quantization, WeightsError};

/// The key of our JSON in the header of the file.
const KEY: &str = "sigmascope";

/// Rises whenever an older program could no longer read the file: whole models are 1, adapters 2.
const FORMAT: u32 = 2;

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
    /// What the training started from.
    #[serde(default)]
    pub base: Option<BaseWeights>,
    /// The file holds an adapter of these weights (and what was trained beside it), not a whole network.
    #[serde(default)]
    pub adapter: bool,
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
    #[error("the model is an adapter of {} (SHA-256 {}); open those weights first", .0.name, .0.sha256)]
    BaseMissing(BaseWeights),
    #[error(
        "the model is an adapter of {} (SHA-256 {}), not of {} (SHA-256 {}); open the weights that it was trained on",
        .wanted.name, .wanted.sha256, .found.name, .found.sha256
    )]
    OtherBase { wanted: BaseWeights, found: BaseWeights },
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("the model file could not be written: {0}")]
    Format(String),
}

/// A trained network with all that is needed to map with it. Its weights are on the host, so it outlives the device.
#[derive(Clone)]
pub struct TrainedModel {
    description: Description,
    /// What was trained, under official names, in official order.
    weights: Vec<NamedValues>,
    /// What the weights are an adapter of.
    base: Option<Rc<Pretrained>>,
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
        if self.adapter && (self.config.tuning.lora().is_none() || self.base.is_none()) {
            return inconsistent("it says that it is an adapter, but not how, or not of which weights");
        }
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

impl Description {
    /// The adapter that the file holds.
    fn lora(&self) -> Option<Lora> {
        self.config.tuning.lora().filter(|_| self.adapter)
    }

    /// Name and shape of everything that the file can hold, in official order, and whether it must.
    fn contents(&self) -> Vec<(String, Vec<usize>, bool)> {
        match self.lora() {
            Some(lora) => lora.parameters(&self.shape),
            None => names::live(&self.shape).into_iter().map(|(name, shape)| (name, shape, true)).collect(),
        }
    }

    /// The JSON in the header of the file.
    fn to_json(&self) -> Result<String, ArtifactError> {
        let mut json = serde_json::to_value(self).map_err(|error| ArtifactError::Format(error.to_string()))?;
        if let Some(projection) = json.get_mut("projection") {
            numbers_to_text(projection);
        }
        Ok(json.to_string())
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
        let adapter = trainer.config().tuning.lora().is_some();
        let description = Description {
            format: if adapter { FORMAT } else { 1 },
            config: trainer.config().clone(),
            shape: trainer.shape().clone(),
            projection,
            classes,
            scene: scene.name.clone(),
            report,
            base: trainer.base().cloned(),
            adapter,
        };
        let base = trainer.pretrained().filter(|_| adapter).cloned();
        Ok(Self { description, weights, base })
    }

    /// Puts a description and weights together.
    ///
    /// # Errors
    /// [`ArtifactError`] when they contradict themselves or each other.
    pub fn from_parts(description: Description, weights: Vec<NamedValues>) -> Result<Self, ArtifactError> {
        description.check()?;
        let mut rest = weights.iter().peekable();
        for (name, shape, must) in description.contents() {
            let fits = |found: &&NamedValues| {
                name == found.name && shape == found.shape && shape.iter().product::<usize>() == found.values.len()
            };
            if rest.next_if(fits).is_none() && must {
                return Err(ArtifactError::Inconsistent(format!("its weights lack {name}")));
            }
        }
        if let Some(other) = rest.next() {
            return Err(ArtifactError::Inconsistent(format!("{} is no weight of its network", other.name)));
        }
        Ok(Self { description, weights, base: None })
    }

    /// Brings the weights that an adapter was trained on; a whole model needs none.
    ///
    /// # Errors
    /// [`ArtifactError::OtherBase`] when they are others, and when the file cannot be read.
    pub fn with_base(mut self, base: Rc<Pretrained>) -> Result<Self, ArtifactError> {
        if let Some(wanted) = self.description.base.as_ref().filter(|_| self.description.adapter) {
            check_base(wanted, &base)?;
            self.base = Some(base);
        }
        Ok(self)
    }

    /// The weights that have to be brought before the model can be used, if there are any.
    pub fn missing_base(&self) -> Option<&BaseWeights> {
        self.description.base.as_ref().filter(|_| self.description.adapter && self.base.is_none())
    }

    /// The model as a safetensors file; after LoRA that is an adapter file.
    ///
    /// # Errors
    /// [`ArtifactError::Format`], which no sound model meets.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArtifactError> {
        let json = self.description.to_json()?;
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
        for (name, shape, must) in description.contents() {
            if must || source.holds(&name) {
                let values = source.values(&name, &shape).map_err(ModelError::Parameter)?;
                weights.push(NamedValues { name, shape, values });
            }
        }
        source.finish(&description.shape).map_err(ModelError::Parameter)?;
        Ok(Self { description, weights, base: None })
    }

    /// The whole model in float32, adapters merged into the weights, as a file that needs no other.
    ///
    /// # Errors
    /// [`ArtifactError::BaseMissing`] when an adapter lacks its base, and when that does not fit.
    pub fn merged(&self) -> Result<Merged<'_>, ArtifactError> {
        let description = Description { format: 1, adapter: false, ..self.description.clone() };
        Ok(Merged::new(&description.shape, self.source()?, KEY, &description.to_json()?))
    }

    /// The network on `device` (without autodiff). What an adapter changes stays as its base stores it.
    ///
    /// # Errors
    /// [`TrainError::Network`] when weights and shape contradict each other, or an adapter lacks its base.
    pub fn network(&self, device: &Device) -> Result<HyperSigma, TrainError> {
        self.network_stored(Quantization::F32, device)
    }

    fn source(&self) -> Result<Saved<'_>, ArtifactError> {
        let Description { config, shape, .. } = &self.description;
        let base = match (self.missing_base(), &self.base) {
            (Some(missing), _) => return Err(ArtifactError::BaseMissing(missing.clone())),
            (None, None) => None,
            (None, Some(base)) => Some(Start::new(Some(base), shape, config.tuning.lora(), config.seed)?),
        };
        Ok(Saved::new(&self.weights, base))
    }

    /// The network on `device` with its projections quantized, as a weights file would hold them, and frozen.
    ///
    /// # Errors
    /// [`TrainError::Network`] when F16 cannot hold a weight, or weights and shape contradict each other.
    pub fn network_stored(&self, quantization: Quantization, device: &Device) -> Result<HyperSigma, TrainError> {
        let network = |error: &dyn std::fmt::Display| TrainError::Network(error.to_string());
        let mut source = self.source().map_err(|error| network(&error))?;
        HyperSigma::new(&self.description.shape, &mut Quantizing::new(&mut source, quantization), device)
            .map_err(|error| network(&error))
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
        let Description { config, shape, projection, classes, scene, base, adapter, .. } = &self.description;
        ModelInfo {
            config: config.clone(),
            bands: projection.scene_bands,
            classes: classes.clone(),
            parameters: shape.parameter_count() as u64,
            trained: self.weights.iter().map(|tensor| tensor.values.len() as u64).sum(),
            scene: scene.clone(),
            base: base.clone().map(Box::new),
            adapter: *adapter,
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
    // The file must hold what it says before memory is taken for it.
    let contents = description.contents();
    let must = contents.iter().filter(|(.., must)| *must).map(|(_, shape, _)| shape.iter().product::<usize>());
    let needed = must.sum::<usize>().saturating_mul(4);
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
