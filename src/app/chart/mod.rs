//! Plots as SVG: spectra, training curves, confusion.

pub mod axis;
pub mod curves;
pub mod heatmap;
pub mod spectrum;
