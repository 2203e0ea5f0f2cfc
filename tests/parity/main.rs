//! The network against numbers that the official PyTorch code computed (`../shared/reference`), on the CPU and on Vulkan.
//!
//! The tiny networks are also checked from samples in `tests/fixtures`, so that a clone without `../shared` still checks
//! them end to end; their weights and inputs follow the reference's formula.

mod base;
mod files;
mod network;
#[path = "../official/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other programs use the rest")]
mod official;
mod ops;
mod pretrained;
mod quantized;
mod reference;
mod tiny;
