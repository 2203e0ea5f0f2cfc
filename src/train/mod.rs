//! Training: configuration here for everybody, the rest behind the `model` feature.

mod config;

pub use config::{Augmentation, ModelSize, TrainConfig};
