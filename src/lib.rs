//! SigmaScope: a hyperspectral laboratory in a browser tab.
//!
//! The rooms of the house, from the ground up. Arrows run downward only.
//!
//! | module | what | knows |
//! | --- | --- | --- |
//! | [`scene`] | hyperspectral files in, maps out | `labels`' plain types |
//! | [`labels`] | class tables, ground truth, splits, accuracy | `scene` to read ground truth |
//! | [`preprocess`] | the spectral projection, tiles | `scene` |
//! | [`weights`] | weights in and out of files, converted, quantized | `model`'s shapes and names, `scene`'s sources |
//! | [`shelf`] | weights kept in this browser, shipped, downloaded | `weights`, `scene`'s sources |
//! | `kernels` | sparse sampling attention: WGSL beside its plain reference | burn |
//! | [`model`] | HyperSIGMA | `kernels` |
//! | [`train`] | losses, AdamW, schedules, trainer and mapper | `model`, `preprocess`, `labels` |
//! | [`engine`] | commands, events, jobs, the worker | all of the above |
//! | `app` | the page | `engine::message` only |
//! | `coordinator` | the server of the page | none of the above |

pub mod labels;
pub mod preprocess;
pub mod scene;

#[cfg(feature = "model")]
pub mod kernels;
pub mod model;
pub mod shelf;
pub mod weights;

pub mod engine;
pub mod train;

pub mod app;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(all(feature = "coordinator", not(target_arch = "wasm32")))]
pub mod coordinator;
