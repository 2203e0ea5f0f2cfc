//! Federated rounds in the worker: the client driven with a scene, a network and a place to keep things.
//!
//! | file | what |
//! | --- | --- |
//! | `beginning` | the weights with which a federation begins |
//! | `asking` | single requests to a coordinator, for hosts and for whoever looks at an invitation |
//! | `keeping` | what survives a closed tab |
//! | `scene` | the open scene as the federation sees it |
//! | `rounds` | local training of one round |

mod asking;
mod beginning;
mod keeping;
mod rounds;
mod scene;

pub use asking::Silent;
pub use keeping::Keeping;
pub use rounds::{LocalRound, RoundPlan};
pub use scene::{FederatedScene, held_out};

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
