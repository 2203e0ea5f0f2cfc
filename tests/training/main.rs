//! Training, mapping and model files on small scenes made here.

mod alignment;
#[cfg(all(feature = "cli", feature = "coordinator"))]
mod command;
mod fields;
mod files;
mod gpu;
mod mapping;
mod runs;
#[cfg(all(feature = "cli", feature = "coordinator"))]
mod simulation;
mod tuning;
