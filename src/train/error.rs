//! What can go wrong between a scene with labels and a finished map.

use thiserror::Error;

use super::config::ConfigError;
use crate::preprocess::PreprocessError;
use crate::weights::WeightsError;

#[derive(Debug, Clone, PartialEq, Error)]
pub enum TrainError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    #[error("training needs labelled pixels of at least two classes, but there are {present}; label more pixels")]
    TooFewClasses { present: usize },
    #[error("labelled pixel {index} lies outside the scene of {rows} × {cols} pixels; use the labels of this scene")]
    PixelOutside { index: usize, rows: usize, cols: usize },
    #[error("a labelled pixel has class {class}, but there are {classes} classes; use the class table of these labels")]
    ClassOutside { class: u8, classes: usize },
    #[error(
        "the scene has {} × {} pixels, but {} × {} were planned; start the training again",
        .found.0, .found.1, .planned.0, .planned.1
    )]
    OtherScene { planned: (usize, usize), found: (usize, usize) },
    #[error("the network cannot be built: {0}")]
    Network(String),
    #[error("the model expects {expected} components, but the scene gives {found}; open a scene of the same sensor")]
    Components { expected: usize, found: usize },
    #[error("the network gives numbers that are not finite; train again with a lower learning rate")]
    NotFinite,
    #[error("the loss is no longer a number in epoch {epoch}; lower the learning rate and train again")]
    Diverged { epoch: usize },
    #[error("the device failed ({0}); train again from the last checkpoint or switch to the CPU")]
    Device(String),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("LoRA changes weights that are there already; choose a weights file to start from, or train in full")]
    NothingToAdapt,
    #[error("the checkpoint cannot be resumed: {0}; start the training again")]
    Checkpoint(String),
}

impl From<burn::tensor::ExecutionError> for TrainError {
    fn from(error: burn::tensor::ExecutionError) -> Self {
        Self::Device(error.to_string())
    }
}
