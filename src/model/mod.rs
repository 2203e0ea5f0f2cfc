//! HyperSIGMA, one idea a file.
//!
//! Wang et al., "HyperSIGMA: Hyperspectral intelligence comprehension foundation model", TPAMI 2025, arXiv 2406.11519.
//! Two vision transformers look at one tile: [`spatial`] through patches, [`spectral`] through pooled bands. Most of
//! their blocks use sparse sampling [`attention`]. The spectral tokens become channel weights ([`sem`]) for four spatial
//! features ([`pyramid`]), and a head turns those into logits: [`segmentation`] or [`classification`].
//!
//! Shapes in comments: B samples, C components, H × W pixels, p patch, N = ⌊H/p⌋ ⌊W/p⌋ spatial tokens, T spectral tokens,
//! D width, `heads` heads of d channels, P points, K classes. Tokens are rows of a matrix `[B * N, D]`.
//!
//! Parameters carry the names of the official state dict, so official weights load and ours can be read elsewhere.

mod attention;
mod block;
mod classification;
mod config;
mod file;
mod flop;
pub mod formula;
mod init;
mod layers;
pub mod names;
mod parameters;
mod pass;
mod patch_embed;
mod pyramid;
mod resize;
mod segmentation;
mod sem;
mod spatial;
mod spectral;
mod upsample;

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use thiserror::Error;

pub use attention::{Attention, Tokens};
pub use block::Block;
pub use config::{Config, ConfigError, REDUCED, Scale, Task};
pub use file::{NamedValues, SafetensorsSource, SaveError};
pub use formula::Formula;
pub use init::Initializer;
pub use parameters::{Builder, Layout, Parameter, ParameterError, ParameterSource};
pub use pass::{Intermediate, Pass, Trace};
pub use resize::resize_position_table;
pub use upsample::{Upsample, adaptive_average};

use classification::ClassificationHead;
use segmentation::SegmentationHead;
use sem::SpectralEnhancement;
use spatial::SpatialEncoder;
use spectral::SpectralEncoder;

/// A network that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Parameter(#[from] ParameterError),
}

/// The whole network.
#[derive(Module, Debug)]
pub struct HyperSigma {
    spatial: SpatialEncoder,
    spectral: SpectralEncoder,
    enhancement: SpectralEnhancement,
    head: Head,
    #[module(skip)]
    config: Config,
    #[module(skip)]
    parameters: Arc<Vec<Parameter>>,
    #[module(skip)]
    unused: Arc<Vec<NamedValues>>,
}

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a network has one head, and it is never moved in a loop")]
enum Head {
    Segmentation(SegmentationHead),
    Classification(ClassificationHead),
}

impl HyperSigma {
    /// Builds a network with parameters from `source` on `device` (an autodiff device for training).
    ///
    /// # Errors
    /// [`ModelError`] when the configuration does not fit together or the source does not fit it.
    pub fn new(config: &Config, source: &mut dyn ParameterSource, device: &Device) -> Result<Self, ModelError> {
        config.validate()?;
        let mut builder = Builder::new(source, device);
        let spatial = SpatialEncoder::new(&mut builder, config)?;
        let spectral = SpectralEncoder::new(&mut builder, config)?;
        let enhancement = SpectralEnhancement::new(&mut builder, config)?;
        let head = match config.task {
            Task::Segmentation => Head::Segmentation(SegmentationHead::new(&mut builder, config)?),
            Task::Classification => Head::Classification(ClassificationHead::new(&mut builder, config)?),
        };
        let parameters = Arc::new(builder.finish());
        let mut unused = Vec::new();
        if config.complete {
            for (name, shape) in names::unused(config) {
                unused.extend(source.unused(&name, &shape)?);
            }
        }
        let unused = Arc::new(unused);
        Ok(Self { spatial, spectral, enhancement, head, config: config.clone(), parameters, unused })
    }

    /// A fresh network: the same seed gives the same parameters on every device.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration does not fit together.
    pub fn fresh(config: &Config, seed: u64, device: &Device) -> Result<Self, ModelError> {
        Self::new(config, &mut Initializer::new(seed), device)
    }

    /// A network out of a safetensors file.
    ///
    /// # Errors
    /// [`ModelError`] when the configuration does not fit together or the file does not fit it.
    pub fn from_safetensors(config: &Config, bytes: &[u8], device: &Device) -> Result<Self, ModelError> {
        let mut source = SafetensorsSource::new(bytes)?;
        let network = Self::new(config, &mut source, device)?;
        source.finish(config)?;
        Ok(network)
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The table of all parameters, in the order of [`names::live`] and of a walk through the module.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// What a complete official checkpoint holds besides; empty unless [`Config::complete`].
    pub fn unused(&self) -> &[NamedValues] {
        &self.unused
    }

    /// Tiles `[B, C, H, W]` → logits: `[B, K, H, W]` from segmentation, `[B, K, 1, 1]` from classification. No noise.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_with(x, &mut Pass::evaluation())
    }

    /// The forward pass with the noise of training, or with a trace.
    pub fn forward_with(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let spectrum = self.spectral.forward(x.clone(), pass); // [B, T]
        let factors = self.enhancement.forward(spectrum, pass); // 4 × [B, D] or [B, 128], deepest first
        let features = self.spatial.forward(x, pass); // 4 features, shallowest first
        match &self.head {
            Head::Segmentation(head) => head.forward(&features, &factors, pass), // [B, K, H, W]
            Head::Classification(head) => {
                let logits = head.forward(&features, &factors, pass); // [B, K]
                let [batch, classes] = logits.dims();
                logits.reshape([batch, classes, 1, 1])
            }
        }
    }
}

impl Config {
    /// Number of trained parameters.
    pub fn parameter_count(&self) -> usize {
        count(&names::live(self))
    }

    /// Number of values in a complete official checkpoint of this network.
    pub fn official_parameter_count(&self) -> usize {
        let complete = Self { complete: true, ..self.clone() };
        count(&names::live(&complete)) + count(&names::unused(&complete))
    }
}

fn count(list: &[(String, Vec<usize>)]) -> usize {
    list.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
}
