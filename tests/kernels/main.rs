//! The kernels against the official code, against finite differences, and against each other.

mod case;
mod cpu;
mod device;
mod full_attention;
mod gelu;
mod gpu;
mod layer_norm;
mod lora;
#[path = "../official/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other programs use the rest")]
mod official;
mod projection;
mod quantized;
mod shaders;
