//! Plots as SVG: spectra, training curves, confusion.

pub mod curves;
pub mod heatmap;
pub mod spectrum;
