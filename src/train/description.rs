//! What a model file says about its network: the JSON in its header, and whether it can be true.

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::artifact::ArtifactError;
use super::config::TrainConfig;
use super::info::BaseWeights;
use super::trainer::EpochReport;
use super::tuning::Tuning;
use crate::labels::{Class, class_color};
use crate::model::{Config, ModelError, Task};
use crate::preprocess::Projection;
use crate::weights::{Origin, Pretrained};

/// The key of our JSON in the header of the file.
pub(super) const KEY: &str = "sigmascope";

/// Rises whenever an older program could no longer read the file: whole models are 1, adapters 2.
pub(super) const FORMAT: u32 = 2;

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

impl Description {
    /// Everything that later code relies on, before any memory is taken for it.
    pub(super) fn check(&self) -> Result<(), ArtifactError> {
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

    /// Name and shape of everything that the file can hold, in official order, and whether it must.
    pub(super) fn contents(&self) -> Vec<(String, Vec<usize>, bool)> {
        if self.adapter { self.config.tuning.contents(&self.shape) } else { Tuning::Full.contents(&self.shape) }
    }

    /// The JSON in the header of the file.
    pub(super) fn to_json(&self) -> Result<String, ArtifactError> {
        let mut json = serde_json::to_value(self).map_err(|error| ArtifactError::Format(error.to_string()))?;
        if let Some(projection) = json.get_mut("projection") {
            numbers_to_text(projection);
        }
        Ok(json.to_string())
    }
}

/// What a conversion keeps of a model saved here, beside what weights files say anyway.
#[derive(Deserialize)]
struct Settings {
    config: TrainConfig,
    scene: String,
    report: TrainingReport,
    #[serde(default)]
    base: Option<BaseWeights>,
}

impl Description {
    /// What a weights file says of the whole network that it holds. Where it was not trained here, settings are the usual ones.
    ///
    /// # Errors
    /// [`ArtifactError::NotWhole`] when the file does not say all that mapping needs.
    pub(super) fn of_weights(file: &Pretrained) -> Result<Self, ArtifactError> {
        let known = file.description();
        let lacks = |what: &str| ArtifactError::NotWhole { name: file.name().to_owned(), lacks: what.to_owned() };
        if known.origin != Origin::FineTuning {
            return Err(lacks("it holds pre-trained encoders without a head"));
        }
        if known.network.task != Task::Segmentation {
            return Err(lacks("it classifies whole patches, not pixels"));
        }
        let projection = known.projection.clone();
        let projection = projection.ok_or_else(|| lacks("it does not say how spectra become components"))?;
        let settings = known.settings.as_deref().map(serde_json::from_str);
        let shape = Config { complete: false, ..known.network.clone() };
        let Settings { config, scene, report, base } = match settings {
            Some(settings) => settings.map_err(|error| lacks(&format!("its settings cannot be read ({error})")))?,
            None => {
                let tile = shape.rows.max(shape.cols);
                let mut config = TrainConfig { tile, tile_overlap: tile / 4, ..TrainConfig::default() };
                config.adopt(file);
                Settings { config, scene: String::new(), report: TrainingReport::default(), base: None }
            }
        };
        let named = |number: usize| Class { name: format!("class {number}"), color: class_color(number) };
        let classes = match known.classes.len() {
            0 => (1..=shape.classes).map(named).collect(),
            _ => known.classes.clone(),
        };
        let description = Self { format: 1, config, shape, projection, classes, scene, report, base, adapter: false };
        description.check()?;
        Ok(description)
    }
}

/// What a model file says, checked.
///
/// # Errors
/// [`ArtifactError`] when it is no model file of ours, contradicts itself, or is too short for what it says.
pub(super) fn describe(bytes: &[u8]) -> Result<Description, ArtifactError> {
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
