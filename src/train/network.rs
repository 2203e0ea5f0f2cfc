//! The network that a configuration asks for.

use burn::tensor::Device;

use super::config::{ModelSize, TrainConfig};
use super::error::TrainError;
use super::optimizer::EncoderDepth;
use super::parameters::{Named, Names};
use super::start::Start;
use super::tuning::Tuning;
use crate::model::{Config, HyperSigma, Parameter, Task};
use crate::weights::{Pretrained, Target};

/// The shape of a segmentation network for tiles of `size` (height, width); the encoders are those of `pretrained` where
/// the network starts from it.
///
/// # Errors
/// [`TrainError::Network`] or [`TrainError::Weights`] when the parts do not fit together.
pub fn shape(
    config: &TrainConfig,
    size: [usize; 2],
    components: usize,
    classes: usize,
    pretrained: Option<&Pretrained>,
) -> Result<Config, TrainError> {
    let shape = match pretrained {
        Some(pretrained) => {
            let target = Target { task: Task::Segmentation, tile: size, patch: config.patch(), components, classes };
            target.network(pretrained.name(), pretrained.description())?
        }
        None => {
            let of_size = match config.size {
                ModelSize::Tiny => Config::tiny,
                ModelSize::Nano => Config::nano,
                ModelSize::Base => Config::base,
                ModelSize::Large => Config::large,
                ModelSize::Huge => Config::huge,
            };
            let shape = of_size(Task::Segmentation, size, components, classes);
            Config { patch: config.patch(), embed_dim: config.width.unwrap_or(shape.embed_dim), ..shape }
        }
    };
    let shape = Config { drop_path: config.drop_path, complete: false, ..shape };
    shape.validate().map_err(|error| TrainError::Network(error.to_string()))?;
    Ok(shape)
}

/// All trained parameters of a network by their identity.
pub fn names(network: &HyperSigma) -> Names {
    let named = |parameter: &Parameter| Named { name: parameter.name.clone(), decays: parameter.decays() };
    network.parameters().iter().map(|parameter| (parameter.id, named(parameter))).collect()
}

/// How deep the encoders are.
pub fn depth(shape: &Config) -> EncoderDepth {
    EncoderDepth { spatial: shape.depth, spectral: shape.spectral_blocks }
}

/// The network that a run starts with: parameters from `pretrained`, all others drawn from the configuration's seed, the
/// same on every device.
///
/// # Errors
/// [`TrainError`] when the shape is impossible, or the file does not fit it or cannot be read.
pub fn start(
    shape: &Config,
    config: &TrainConfig,
    pretrained: Option<&Pretrained>,
    device: &Device,
) -> Result<HyperSigma, TrainError> {
    if pretrained.is_none() && config.tuning != Tuning::Full {
        return Err(TrainError::NothingToAdapt);
    }
    let mut start = Start::new(pretrained, shape, config.tuning.lora(), config.seed)?;
    HyperSigma::new(shape, &mut start, device).map_err(|error| TrainError::Network(error.to_string()))
}
