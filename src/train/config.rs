//! What a user can choose about a training run. Plain data: the page shows it, the engine obeys it, a saved model keeps it.

use serde::{Deserialize, Serialize};

/// The sizes of HyperSIGMA, with the names of the paper, and our own small ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelSize {
    /// For tests.
    Tiny,
    /// For a browser tab: trains from scratch in minutes on a CPU.
    Nano,
    Base,
    Large,
    Huge,
}

/// Random changes of the scene while training; each is drawn anew every step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    /// Mirror images, each axis with probability one half.
    pub flips: bool,
    /// Turns by multiples of 90 degrees (by 180 where the tile is not square).
    pub rotations: bool,
    /// Standard deviation of Gaussian noise added to every component of every pixel, in standard deviations of the
    /// component.
    pub spectral_noise: f32,
    /// Standard deviation of one random offset a component for the whole tile, in the same unit.
    pub spectral_shift: f32,
}

/// One training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    pub size: ModelSize,
    /// Spatial patch in pixels (1, 2, 4, 8 or 16); `None` leaves it to the size's own rule.
    pub patch: Option<usize>,
    /// Principal components kept of the spectrum.
    pub components: usize,
    /// Longest side of a tile in pixels; a smaller scene is one tile.
    pub tile: usize,
    /// Nominal overlap of neighbouring tiles in pixels.
    pub tile_overlap: usize,
    pub epochs: usize,
    /// Peak learning rate of AdamW.
    pub learning_rate: f64,
    pub weight_decay: f64,
    /// Factor on the learning rate from each block to the one below it; 1 = the same everywhere.
    pub layer_decay: f64,
    /// Epochs of linear warm-up before the cosine.
    pub warmup_epochs: usize,
    /// Stochastic depth of the last block, growing linearly from 0.
    pub drop_path: f64,
    pub label_smoothing: f32,
    /// Weight each class by the inverse of its number of training pixels.
    pub class_balanced: bool,
    pub augmentation: Augmentation,
    /// Epochs between two looks at the validation pixels.
    pub validate_every: usize,
    /// Validations without improvement after which training stops early; 0 = never.
    pub patience: usize,
    /// Average the logits over mirrored and turned tiles when mapping.
    pub test_time_augmentation: bool,
    pub seed: u64,
}
