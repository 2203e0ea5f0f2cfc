//! SigmaScope: a hyperspectral laboratory in a browser tab.
//!
//! The rooms of the house, from the ground up. Arrows run downward only.
//!
//! | module | what | knows |
//! | --- | --- | --- |
//! | [`scene`] | hyperspectral files in, maps out | `labels`' plain types |
//! | [`labels`] | class tables, ground truth, splits, accuracy | `scene` to read ground truth |
//! | [`scope`] | weight scopes: statistics, divergence, fusion | nobody |
//! | [`preprocess`] | the spectral projection, tiles | `scene` |
//! | [`weights`] | weights in and out of files, converted, quantized | `model`'s shapes and names, `scene`'s sources |
//! | [`shelf`] | weights kept in this browser, shipped, downloaded | `weights`, `scene`'s sources |
//! | `kernels` | sparse sampling attention: WGSL beside its plain reference | burn |
//! | [`model`] | HyperSIGMA | `kernels` |
//! | [`train`] | losses, AdamW, schedules, trainer and mapper | `model`, `preprocess`, `labels` |
//! | [`engine`] | commands, events, jobs, the worker | all of the above |
//! | `app` | the page | `engine::message` only |
//! | `federation` | the protocol of federated rounds | `preprocess`, `scope`, `scene`'s sources |
//! | `coordinator` | the server of the page and of federated rounds | `federation`, `scope`, `preprocess` |

pub mod labels;
pub mod preprocess;
pub mod scene;
pub mod scope;

#[cfg(feature = "model")]
pub mod kernels;
pub mod model;
pub mod shelf;
pub mod weights;

pub mod engine;
#[cfg(feature = "federation")]
pub mod federation;
pub mod train;

pub mod app;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(all(feature = "coordinator", not(target_arch = "wasm32")))]
pub mod coordinator;
