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
//!
//! Shapes, names and position tables are here for everybody; what touches tensors is behind the `model` feature.

mod config;
pub mod names;
mod resize;

pub use config::{Config, ConfigError, REDUCED, Scale, Task};
pub use resize::resize_position_table;

#[cfg(feature = "model")]
mod attention;
#[cfg(feature = "model")]
mod autoencoder;
#[cfg(feature = "model")]
mod block;
#[cfg(feature = "model")]
mod classification;
#[cfg(feature = "model")]
mod file;
#[cfg(feature = "model")]
mod flop;
#[cfg(feature = "model")]
pub mod formula;
#[cfg(feature = "model")]
mod init;
#[cfg(feature = "model")]
mod layers;
#[cfg(feature = "model")]
mod network;
#[cfg(feature = "model")]
mod parameters;
#[cfg(feature = "model")]
mod pass;
#[cfg(feature = "model")]
mod patch_embed;
#[cfg(feature = "model")]
mod projection;
#[cfg(feature = "model")]
mod pyramid;
#[cfg(feature = "model")]
mod quantizing;
#[cfg(feature = "model")]
mod recompute;
#[cfg(feature = "model")]
mod segmentation;
#[cfg(feature = "model")]
mod sem;
#[cfg(feature = "model")]
mod spatial;
#[cfg(feature = "model")]
mod spectral;
#[cfg(feature = "model")]
mod upsample;

#[cfg(feature = "model")]
pub use {
    attention::{Attention, Tokens},
    autoencoder::{Autoencoder, Mask},
    block::Block,
    file::{NamedValues, SafetensorsSource, SaveError},
    formula::Formula,
    init::Initializer,
    network::{HyperSigma, ModelError},
    parameters::{Builder, Layout, Parameter, ParameterError, ParameterSource, StoredWeights},
    pass::{Intermediate, Pass, Trace},
    quantizing::Quantizing,
    upsample::{Upsample, adaptive_average},
};
