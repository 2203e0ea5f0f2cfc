//! Training, mapping and model files on small scenes made here.

#[cfg(all(feature = "cli", feature = "coordinator"))]
mod command;
mod fields;
mod files;
mod gpu;
mod mapping;
mod runs;
mod tuning;
