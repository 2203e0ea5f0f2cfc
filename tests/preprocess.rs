//! Preparation of scenes against the reference of the official code (tests/fixtures/preprocess, made with NumPy and
//! scikit-learn; see the README there), and on awkward scenes.

#[path = "preprocess/awkward.rs"]
mod awkward;
#[path = "preprocess/cube.rs"]
mod cube;
#[path = "preprocess/export.rs"]
mod export;
#[path = "preprocess/noise_adjusted.rs"]
mod noise_adjusted;
#[path = "preprocess/noise_fraction.rs"]
mod noise_fraction;
#[path = "preprocess/reference.rs"]
mod reference;
#[path = "preprocess/resampled.rs"]
mod resampled;
#[path = "preprocess/splits.rs"]
mod splits;
