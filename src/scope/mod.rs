//! Weight scopes: weight scope alignment (Xu, Li, Gan, Zhan, 2024, arXiv 2408.12237) as pure arithmetic.
//!
//! The weights of a layer are close to Gaussian; the layer's *weight scope* is the normal distribution N(μ, σ²) fitted to its
//! flattened weights. Averaging models whose scopes differ destroys them, so a federation agrees on a target scope for each
//! layer: training is pulled towards it ([`divergence`]) and the scopes that come back are fused into the next target
//! ([`fusion`]). Used by trainer and coordinator alike; nothing here knows a tensor library.
//!
//! | file | what |
//! | --- | --- |
//! | `statistics` | the scope of a weight tensor in one pass |
//! | `divergence` | KL of a scope to its target, and the gradient for every weight |
//! | `fusion` | several scopes become one |
//! | `exact` | sums without rounding, so that no order matters |

mod divergence;
mod exact;
mod fusion;
mod statistics;

use serde::{Deserialize, Serialize};

pub use divergence::{DEVIATION_FLOOR, KlGradient, kl};
pub use exact::{ExactSum, NotFinite};
pub use fusion::{Fusion, FusionError, Member, fuse};
pub use statistics::{Scope, ScopeStatistics};

/// The normal distribution to which a layer is held.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// μ
    pub mean: f64,
    /// σ, at least 0
    pub deviation: f64,
}

/// Whether a weight tensor of this shape is a layer: biases and the gains of normalisations have no scope.
pub fn has_scope(shape: &[usize]) -> bool {
    shape.len() >= 2
}
