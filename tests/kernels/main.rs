//! The kernels against the official code, against finite differences, and against each other.

mod case;
mod cpu;
mod device;
mod gelu;
mod gpu;
mod layer_norm;
#[path = "../official/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other programs use the rest")]
mod official;
mod shaders;
