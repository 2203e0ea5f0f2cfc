//! A trained model as a file: safetensors under official names, with everything in its header that mapping another scene
//! needs: the projection, the classes, the settings, and how the training went. After LoRA the file holds what was trained
//! and names the weights that it changes.

use std::collections::HashMap;
use std::rc::Rc;

use burn::tensor::Device;
use thiserror::Error;

use super::adapter::{Merged, Saved, check_base};
use super::config::{ConfigError, TrainConfig};
use super::description::{Description, FORMAT, KEY, TrainingReport, describe};
use super::error::TrainError;
use super::info::{BaseWeights, ModelInfo};
use super::start::Start;
use super::trainer::Trainer;
use crate::labels::Class;
use crate::model::names;
use crate::model::{HyperSigma, ModelError, NamedValues, ParameterSource, Quantizing, SafetensorsSource};
use crate::preprocess::{PreprocessError, Projection};
use crate::scene::SceneInfo;
use crate::weights::{Pretrained, Quantization, WeightsError};

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
    #[error("{name} cannot map by itself: {lacks}; train from it, or load a network that was fine-tuned here")]
    NotWhole { name: String, lacks: String },
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
    /// What the weights are an adapter of; or the file that holds all of the network, and `weights` is empty.
    base: Option<Rc<Pretrained>>,
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

    /// A weights file that holds a whole network with its preprocessing, as converting a saved model makes it. Projections stay
    /// as the file stores them; tensors are read when the network is built.
    ///
    /// # Errors
    /// [`ArtifactError::NotWhole`] when something is not in the file: head, classes, or the way from spectra to components.
    pub fn of_weights(file: Rc<Pretrained>) -> Result<Self, ArtifactError> {
        let description = Description::of_weights(&file)?;
        let takes = file.plan(&description.shape)?.takes;
        let mut names = names::live(&description.shape).into_iter();
        if let Some((name, _)) = names.find(|(name, _)| takes.iter().all(|take| take.name != *name)) {
            let (lacks, name) = (format!("it lacks {name}"), file.name().to_owned());
            return Err(ArtifactError::NotWhole { name, lacks });
        }
        Ok(Self { description, weights: Vec::new(), base: Some(file) })
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
    /// [`ArtifactError::Format`] for a model that a weights file holds already.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArtifactError> {
        if let Some(file) = self.base.as_ref().filter(|_| !self.description.adapter) {
            return Err(ArtifactError::Format(format!("{} holds it already", file.name())));
        }
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
        let Description { config, shape, adapter, .. } = &self.description;
        let base = match (self.missing_base(), &self.base) {
            (Some(missing), _) => return Err(ArtifactError::BaseMissing(missing.clone())),
            (None, None) => None,
            (None, Some(base)) if *adapter => Some(Start::new(Some(base), shape, config.tuning.lora(), config.seed)?),
            (None, Some(file)) => Some(Start::frozen(file, shape)?),
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
