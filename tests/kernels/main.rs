//! The kernels against the official code, against finite differences, and against each other.

mod case;
mod cpu;
mod device;
mod full_attention;
mod gelu;
mod gpu;
mod layer_norm;
mod projection;
mod quantized;
mod shaders;
