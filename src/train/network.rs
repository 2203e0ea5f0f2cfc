//! The network that a configuration asks for.

use burn::tensor::Device;

use super::config::{ModelSize, TrainConfig};
use super::error::TrainError;
use super::optimizer::EncoderDepth;
use super::parameters::{Named, Names};
use crate::model::{Config, HyperSigma, Parameter, Task};

/// The shape of a segmentation network for tiles of `size` (height, width).
///
/// # Errors
/// [`TrainError::Network`] when the parts do not fit together.
pub fn shape(config: &TrainConfig, size: [usize; 2], components: usize, classes: usize) -> Result<Config, TrainError> {
    let of_size = match config.size {
        ModelSize::Tiny => Config::tiny,
        ModelSize::Nano => Config::nano,
        ModelSize::Base => Config::base,
        ModelSize::Large => Config::large,
        ModelSize::Huge => Config::huge,
    };
    let shape = of_size(Task::Segmentation, size, components, classes);
    let embed_dim = config.width.unwrap_or(shape.embed_dim);
    let shape = Config { patch: config.patch(), embed_dim, drop_path: config.drop_path, ..shape };
    shape.validate().map_err(|error| TrainError::Network(error.to_string()))?;
    Ok(shape)
}

/// All parameters of a network by their identity.
pub fn names(network: &HyperSigma) -> Names {
    let named = |parameter: &Parameter| Named { name: parameter.name.clone(), decays: parameter.decays() };
    network.parameters().iter().map(|parameter| (parameter.id, named(parameter))).collect()
}

/// How deep the encoders are.
pub fn depth(shape: &Config) -> EncoderDepth {
    EncoderDepth { spatial: shape.depth, spectral: shape.spectral_blocks }
}

/// A network with random parameters drawn from `seed`, the same on every device.
///
/// # Errors
/// [`TrainError::Network`] when the shape is impossible.
pub fn fresh(shape: &Config, seed: u64, device: &Device) -> Result<HyperSigma, TrainError> {
    HyperSigma::fresh(shape, seed, device).map_err(|error| TrainError::Network(error.to_string()))
}
