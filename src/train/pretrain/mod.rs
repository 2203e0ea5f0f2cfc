//! Pre-training on generated scenes: what a network can know before it has seen a real one.
//!
//! Every epoch makes new [`GeneratedScene`](crate::scene::generated::GeneratedScene)s, prepares them as users' scenes are
//! prepared, and shows each a few times: turned, cut, with components of either sign. Three tasks, together or alone: filling
//! gaps (masked autoencoding of both encoders, the official task); few-shot episodes, in which a few labelled pixels
//! of generated fields have to tell the classes of the others; and telling at every pixel the mean of its whole field. [`Pretrainer`] is driven step by step like a
//! [`Trainer`](super::Trainer); [`write_gguf`] is what comes out. Real labels are never seen.

mod config;
mod episode;
mod output;
mod run;
mod views;

pub use config::PretrainConfig;
pub use output::write_gguf;
pub use run::{PretrainReport, Pretrainer};
