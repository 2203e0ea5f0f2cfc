//! The whole network.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use thiserror::Error;

use super::autoencoder::Cover;
use super::classification::ClassificationHead;
use super::config::{Config, ConfigError, Task};
use super::file::{NamedValues, SafetensorsSource};
use super::init::Initializer;
use super::names;
use super::parameters::{Builder, Parameter, ParameterError, ParameterSource};
use super::pass::Pass;
use super::pyramid::Feature;
use super::segmentation::SegmentationHead;
use super::sem::SpectralEnhancement;
use super::spatial::SpatialEncoder;
use super::spectral::SpectralEncoder;

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
    pub(super) spatial: SpatialEncoder,
    pub(super) spectral: SpectralEncoder,
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

    /// For masked autoencoding: one tile `[1, C, H, W]` → tokens of the spatial encoder, and what they stand for.
    pub(super) fn spatial_tokens(&self, x: Tensor<4>, cover: &Cover) -> (Tensor<2>, Tensor<2>) {
        self.spatial.covered(x, cover)
    }

    /// For masked autoencoding: one tile `[1, C, H, W]` → tokens of the spectral encoder, and what they stand for.
    pub(super) fn spectral_tokens(&self, x: Tensor<4>, cover: &Cover) -> (Tensor<2>, Tensor<2>) {
        self.spectral.covered(x, cover)
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The table of all parameters that are trained, in the order of [`names::live`] and of a walk through the module;
    /// adapters stand behind the projection that they adapt.
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
        let features = self.spatial.forward(x, pass); // 4 features, shallowest first
        self.classify(spectrum, &features, pass)
    }

    /// Spectral tokens `[B, T]` and four features, shallowest first → logits.
    pub(super) fn classify(&self, spectrum: Tensor<2>, features: &[Feature], pass: &mut Pass) -> Tensor<4> {
        let factors = self.enhancement.forward(spectrum, pass); // 4 × [B, D] or [B, 128], deepest first
        match &self.head {
            Head::Segmentation(head) => head.forward(features, &factors, pass), // [B, K, H, W]
            Head::Classification(head) => {
                let logits = head.forward(features, &factors, pass); // [B, K]
                let [batch, classes] = logits.dims();
                logits.reshape([batch, classes, 1, 1])
            }
        }
    }
}
