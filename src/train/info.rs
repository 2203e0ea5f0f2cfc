//! What the page knows of a model.

use serde::{Deserialize, Serialize};

use super::config::TrainConfig;
use crate::labels::Class;

/// What is known of a model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    pub config: TrainConfig,
    /// Bands that a scene must have.
    pub bands: usize,
    pub classes: Vec<Class>,
    pub parameters: u64,
    /// The scene it was trained on.
    pub scene: String,
}
