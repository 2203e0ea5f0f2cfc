//! From raw samples to the network's input: scaling, PCA, tiles; and from tiles back to a map.
//!
//! [`fit_projection`] looks at a whole scene once, row block by row block, and gives a [`Projection`]: plain data that a
//! trained model keeps, because signs and directions of components are part of what it has learned. [`Projection::project`]
//! turns a window of a scene into standardised components, [`Tiling`] says which windows, [`Blend`] merges what the network
//! makes of them.

mod blend;
mod data_mask;
mod eigen;
mod gather;
mod moments;
mod noise;
mod patches;
mod pca;
mod projection;
mod resample;
mod tiling;

use thiserror::Error;

pub use blend::{Blend, Block};
pub use data_mask::{DataScan, data_mask};
pub use gather::BandGathering;
pub use patches::{mirror_index, mirror_pad, patch};
pub use pca::{BandMoments, FitOptions, Method, ProjectionFit, fit_projection, projection_of_moments};
pub use projection::{Projected, Projection, Scaling};
pub use resample::Resampled;
pub use tiling::{Span, Tile, Tiling, tile_owner, tile_starts};

use crate::scene::SceneError;

/// Why a scene cannot be prepared.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PreprocessError {
    #[error(transparent)]
    Scene(#[from] SceneError),
    #[error("{name} has no pixel with data in its {bands} usable bands; check the no-data value and the bad-band list")]
    NoData { name: String, bands: usize },
    #[error("{name} has no usable band: all {bands} are marked as bad or hold no data")]
    NoBands { name: String, bands: usize },
    #[error(
        "all pixels of {name} are alike, so there is nothing to tell classes apart; check that this is the right file"
    )]
    Constant { name: String },
    #[error("{name} holds values up to {largest:e}, too large to compute with; check the no-data value")]
    TooLarge { name: String, largest: f64 },
    #[error("0 components were asked for; ask for at least 1")]
    NoComponents,
    #[error("the eigenvalues of the covariance of {name} could not be found; check the scene for extreme values")]
    Eigen { name: String },
    #[error("{name} has {bands} bands, but the model was trained on {expected}; open a scene of the same sensor")]
    Bands { name: String, bands: usize, expected: usize },
    #[error(
        "band {band} of {name} lies at {wavelength_nm:.1} nm, but the model was trained with {expected_nm:.1} nm there; open a scene of the same sensor"
    )]
    Wavelength { name: String, band: usize, wavelength_nm: f64, expected_nm: f64 },
    #[error(
        "{name} does not state its wavelengths and has {bands} bands, but {expected} are needed; open a file with wavelengths, or one with exactly those bands"
    )]
    NoWavelengths { name: String, bands: usize, expected: usize },
    #[error(
        "the usable bands of {name} lie at {low_nm:.0} to {high_nm:.0} nm, but {wavelength_nm:.0} nm is needed; open a scene of a sensor that sees it"
    )]
    NotCovered { name: String, low_nm: f64, high_nm: f64, wavelength_nm: f64 },
    #[error(
        "band {band} of {name} ({wavelength_nm:.0} nm) holds no data in most pixels; mark it as bad, or open another scene"
    )]
    EmptyBand { name: String, band: usize, wavelength_nm: f64 },
    #[error(
        "rows {first_row} to {last_row}, columns {first_col} to {last_col} do not lie in the scene of {rows} × {cols} pixels"
    )]
    Window { first_row: usize, last_row: usize, first_col: usize, last_col: usize, rows: usize, cols: usize },
    #[error("tiles of {tile} pixels cannot overlap by {overlap}; the overlap must be smaller than the tile")]
    Overlap { tile: usize, overlap: usize },
    #[error("a scene of {rows} × {cols} pixels cannot be cut into tiles of {tile}; both must be at least 1")]
    Empty { rows: usize, cols: usize, tile: usize },
    #[error("tile {tile} needs {expected} values, {given} were given")]
    TileValues { tile: usize, expected: usize, given: usize },
    #[error("all {tiles} tiles have been merged already")]
    TooManyTiles { tiles: usize },
    #[error("merging tiles of this scene would need {bytes} bytes; use smaller tiles")]
    Memory { bytes: u128 },
}
