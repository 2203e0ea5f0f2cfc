//! What the page knows of a model.

use serde::{Deserialize, Serialize};

use super::config::TrainConfig;
use crate::labels::Class;

/// The weights file that a training started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseWeights {
    /// Name of the file.
    pub name: String,
    /// Of the whole file, in hexadecimal.
    pub sha256: String,
}

/// What is known of a model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    pub config: TrainConfig,
    /// Bands that a scene must have.
    pub bands: usize,
    pub classes: Vec<Class>,
    pub parameters: u64,
    /// Those that were trained.
    pub trained: u64,
    /// The scene it was trained on.
    pub scene: String,
    /// What it was trained from.
    pub base: Option<Box<BaseWeights>>,
    /// Holds only the change of the base weights, and needs them.
    pub adapter: bool,
}
