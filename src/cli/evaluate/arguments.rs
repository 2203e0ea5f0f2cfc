//! What `sigmascope evaluate` is told, and the training settings that follow from it.

use std::path::PathBuf;

use burn::tensor::{Device, DeviceKind};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::super::setting::with_setting;
use super::EvaluateError;
use crate::cli::quantized::quantization;
use crate::train::{Lora, LoraTargets, ModelSize, TrainConfig, TrainError, Tuning};
use crate::weights::{Pretrained, Quantization};

/// Trains on every split, maps, and prints accuracies: each seed's, their mean and population standard deviation.
#[derive(Debug, Clone, Args)]
pub struct EvaluateArgs {
    /// The scene (for ENVI the header or the data).
    #[arg(long)]
    pub scene: PathBuf,
    /// The data file of an ENVI header, where it is not beside it under the usual name.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// The variable of the scene's file, where it holds several.
    #[arg(long)]
    pub variable: Option<String>,
    /// The ground truth.
    #[arg(long)]
    pub labels: PathBuf,
    /// The variable of the ground truth's file, where it holds several.
    #[arg(long)]
    pub labels_variable: Option<String>,
    /// A code of the ground truth whose pixels have no class, against what the file says (-1, 255, nan); may be given
    /// several times.
    #[arg(long = "unlabelled", value_name = "CODE", allow_negative_numbers = true)]
    pub unlabelled: Vec<f64>,
    /// A code that is a class, against what the file says (0 for example); may be given several times.
    #[arg(long = "class", value_name = "CODE", allow_negative_numbers = true)]
    pub class_codes: Vec<f64>,
    /// A split file, or `N+M`: N training and M validation pixels a class at random, by seeds 0, 1, …
    #[arg(long)]
    pub split: String,
    #[arg(long, value_enum, default_value = "nano", conflicts_with = "weights")]
    pub model: Model,
    /// Start from these weights (.gguf by `sigmascope convert`, or a model saved here); they say the size.
    #[arg(long)]
    pub weights: Option<PathBuf>,
    /// Leave the weights' blocks as they are stored and train adapters of this rank beside them (LoRA).
    #[arg(long, requires = "weights")]
    pub lora_rank: Option<usize>,
    /// The adapters count alpha / rank times; without, alpha is twice the rank.
    #[arg(long, requires = "lora_rank")]
    pub lora_alpha: Option<f64>,
    /// Which projections of a block have adapters.
    #[arg(long, requires = "lora_rank", value_enum, value_delimiter = ',', default_value = "qkv,proj,fc1,fc2")]
    pub lora_targets: Vec<LoraTarget>,
    /// The preset for scenes whose classes are hardly larger than a pixel.
    #[arg(long)]
    pub mixed_pixels: bool,
    /// Train on the validation pixels too; they then choose nothing. For splits that bring none of their own, where a fifth
    /// of the training pixels would be held out.
    #[arg(long)]
    pub merge_validation: bool,
    /// How many splits (seeds) to run; a split file that holds fewer runs all it has.
    #[arg(long, default_value_t = 5)]
    pub seeds: usize,
    /// Run only this split (0-based).
    #[arg(long)]
    pub only: Option<usize>,
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: Compute,
    /// Epochs; without, as many as the number of training pixels asks for.
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Spatial patch in pixels.
    #[arg(long)]
    pub patch: Option<usize>,
    /// Any other training setting as FIELD=VALUE, for example `learning_rate=1e-3` or `augmentation.jitter=2`.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    /// Write the model of the first run to this file; with --lora-rank that is an adapter, which needs the weights again.
    #[arg(long)]
    pub save_model: Option<PathBuf>,
    /// Write it with its adapters merged into the weights to this file, which needs no other.
    #[arg(long)]
    pub save_merged: Option<PathBuf>,
    /// Also map with the trained network's projections quantized: `f16`, `q8_0`, `q4_0`, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = quantization)]
    pub quantizations: Vec<Quantization>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// A size of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Model {
    Tiny,
    Nano,
    Base,
    Large,
    Huge,
}

impl From<Model> for ModelSize {
    fn from(model: Model) -> Self {
        match model {
            Model::Tiny => Self::Tiny,
            Model::Nano => Self::Nano,
            Model::Base => Self::Base,
            Model::Large => Self::Large,
            Model::Huge => Self::Huge,
        }
    }
}

/// A projection of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LoraTarget {
    /// Query, key and value.
    Qkv,
    /// The output of the attention.
    Proj,
    /// The MLP's way up.
    Fc1,
    /// The MLP's way down.
    Fc2,
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    Cpu,
    /// The first Vulkan adapter.
    Vulkan,
}

impl Compute {
    pub(in crate::cli) fn device(self) -> Device {
        match self {
            Self::Cpu => Device::flex(),
            Self::Vulkan => Device::wgpu(DeviceKind::DefaultDevice),
        }
    }
}

/// The preset of the size with everything that the command line changes.
pub(super) fn configuration(
    args: &EvaluateArgs,
    pretrained: Option<&Pretrained>,
) -> Result<TrainConfig, EvaluateError> {
    let preset = if args.mixed_pixels { TrainConfig::for_mixed_pixels } else { TrainConfig::preset };
    let mut config = preset(args.model.into());
    if let Some(pretrained) = pretrained {
        config.adopt(pretrained);
        config = preset(config.size);
        config.adopt(pretrained);
    }
    if let Some(rank) = args.lora_rank {
        let has = |target| args.lora_targets.contains(&target);
        let targets = LoraTargets {
            qkv: has(LoraTarget::Qkv),
            proj: has(LoraTarget::Proj),
            fc1: has(LoraTarget::Fc1),
            fc2: has(LoraTarget::Fc2),
        };
        config.tuning = Tuning::Lora(Lora { rank, alpha: args.lora_alpha.unwrap_or(2.0 * rank as f64), targets });
    }
    if let Some(epochs) = args.epochs {
        config.epochs = epochs;
    }
    config.patch = args.patch.or(config.patch);
    for given in &args.set {
        config =
            with_setting(&config, given).map_err(|reason| EvaluateError::Setting { given: given.clone(), reason })?;
    }
    config.validate().map_err(TrainError::from)?;
    Ok(config)
}
