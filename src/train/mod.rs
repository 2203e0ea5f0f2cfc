//! Training: configuration here for everybody, the rest behind the `model` feature.
//!
//! A run goes: [`Layout`] says how the scene is cut, [`TrainingData`] reads the tiles that hold labels, [`Trainer`] takes
//! steps, [`Mapper`] maps the scene with the result, and [`TrainedModel`] is what the user takes away. Each of them is
//! driven step by step from outside; none blocks, and none knows about files, pages or workers.

mod config;
mod info;
mod tuning;

pub use config::{Augmentation, ConfigError, Input, ModelSize, TrainConfig};
pub use info::{BaseWeights, ModelInfo};
pub use tuning::{Lora, LoraTargets, Tuning};

#[cfg(feature = "model")]
mod adapter;
#[cfg(feature = "model")]
mod area;
#[cfg(feature = "model")]
mod artifact;
#[cfg(feature = "model")]
mod augment;
#[cfg(feature = "model")]
mod checkpoint;
#[cfg(feature = "model")]
mod data;
#[cfg(feature = "model")]
mod error;
#[cfg(feature = "model")]
mod layout;
#[cfg(feature = "model")]
mod loss;
#[cfg(feature = "model")]
mod mapper;
#[cfg(feature = "model")]
pub mod network;
#[cfg(feature = "model")]
mod optimizer;
#[cfg(feature = "model")]
mod parameters;
#[cfg(all(feature = "model", not(target_arch = "wasm32")))]
pub mod pretrain;
#[cfg(feature = "model")]
mod regularizer;
#[cfg(feature = "model")]
mod schedule;
#[cfg(feature = "model")]
mod start;
#[cfg(feature = "model")]
mod trainer;

#[cfg(feature = "model")]
pub use {
    adapter::Merged,
    artifact::{ArtifactError, Description, TrainedModel, TrainingReport},
    data::{CubeView, ProjectedScene, TrainingData},
    error::TrainError,
    layout::{Layout, input_size},
    loss::{Targets, class_weights},
    mapper::{MapBlock, Mapper},
    optimizer::{AdamW, AdamWConfig, EncoderDepth, layer_factor},
    parameters::{Named, Names, Values, WeightAverage},
    regularizer::{L2, Regularizer, Weight},
    schedule::Schedule,
    start::Start,
    trainer::{EpochReport, Trainer, Validation},
};
