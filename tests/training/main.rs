//! Training, mapping and model files on small scenes made here.

mod fields;
mod files;
mod mapping;
mod runs;
mod tuning;
