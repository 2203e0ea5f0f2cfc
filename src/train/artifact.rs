//! A trained model as a file: safetensors under official names, with everything in its header that mapping another scene
//! needs: the projection, the classes, the settings, and how the training went.

use std::collections::HashMap;

use burn::tensor::Device;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::config::{ConfigError, TrainConfig};
use super::trainer::EpochReport;
use crate::labels::Class;
use crate::model::{Config, HyperSigma, ModelError, SaveError, Task};
use crate::preprocess::{PreprocessError, Projection};
use crate::scene::SceneInfo;

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
    /// The epoch the weights are from, 1-based.
    pub best_epoch: usize,
    /// All epochs.
    pub history: Vec<EpochReport>,
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
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// A network with all that is needed to map with it.
#[derive(Debug, Clone)]
pub struct TrainedModel {
    pub network: HyperSigma,
    pub description: Description,
}

impl Description {
    pub fn new(
        config: TrainConfig,
        shape: Config,
        projection: Projection,
        classes: Vec<Class>,
        scene: String,
        best_epoch: usize,
        history: Vec<EpochReport>,
    ) -> Self {
        Self { format: FORMAT, config, shape, projection, classes, scene, best_epoch, history }
    }

    /// Whether a scene can be mapped: as many bands as the training scene, at the same wavelengths where both are known.
    ///
    /// # Errors
    /// [`ArtifactError::Scene`] says what the model expects.
    pub fn check_scene(&self, info: &SceneInfo) -> Result<(), ArtifactError> {
        Ok(self.projection.check_scene(info)?)
    }

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
        let matrix = if projection.components.is_empty() { bands == components } else {
            projection.components.len() == bands * components
        };
        if !matrix || projection.mean.len() != bands || projection.bands.iter().any(|&band| band >= projection.scene_bands) {
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
    /// The model as a safetensors file. Reads the device once.
    ///
    /// # Errors
    /// [`ArtifactError::Save`] when the device fails.
    pub async fn to_bytes(&self) -> Result<Vec<u8>, ArtifactError> {
        let json = serde_json::to_string(&self.description)
            .map_err(|error| ArtifactError::Save(SaveError::Format(error.to_string())))?;
        Ok(self.network.to_safetensors(HashMap::from([(KEY.to_owned(), json)])).await?)
    }

    /// What a model file says, without building its network.
    ///
    /// # Errors
    /// [`ArtifactError`] when it is no model file of ours or contradicts itself.
    pub fn describe(bytes: &[u8]) -> Result<Description, ArtifactError> {
        let not_ours = |why: String| ArtifactError::NotAModel(why);
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| not_ours(error.to_string()))?;
        let json = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let Some(json) = json else { return Err(not_ours("it lacks our description".to_owned())) };
        let description: Description = serde_json::from_str(json).map_err(|error| not_ours(error.to_string()))?;
        description.check()?;
        // The file must hold all of the network before memory is taken for it.
        let needed = description.shape.parameter_count().saturating_mul(4);
        if bytes.len() < needed {
            let what = format!("it has {} bytes, but its network has {needed}", bytes.len());
            return Err(ArtifactError::Inconsistent(what));
        }
        Ok(description)
    }

    /// Opens a model file on `device` (without autodiff).
    ///
    /// # Errors
    /// As [`describe`](Self::describe), and [`ArtifactError::Network`] when weights are missing or of other shapes.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, ArtifactError> {
        let description = Self::describe(bytes)?;
        let network = HyperSigma::from_safetensors(&description.shape, bytes, device)?;
        Ok(Self { network, description })
    }

    /// Number of trained parameters.
    pub fn parameters(&self) -> u64 {
        self.description.shape.parameter_count() as u64
    }
}
