//! Hyperspectral files in, maps out.
//!
//! [`open`] turns one or two dropped files into a [`Scene`]: a description and a lazy reader. Values are read window by
//! window, so memory does not grow with the file.

mod content;
mod envi;
pub mod export;
#[cfg(not(target_arch = "wasm32"))]
mod files;
/// For pretraining, which is native.
#[cfg(not(target_arch = "wasm32"))]
pub mod generated;
mod geotiff;
pub(crate) mod inflate;
mod inspect;
mod matlab;
mod numpy;
mod open;
mod samples;
mod shape;
mod source;
mod statistics;
mod strided;
pub mod teaching;
mod unit;
mod variables;
mod wavelength;

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

#[cfg(not(target_arch = "wasm32"))]
pub use files::open_path;
pub use inspect::{Inspection, PixelValue, inspect};
pub use open::open;
#[cfg(not(target_arch = "wasm32"))]
pub use source::FileSource;
pub use source::{MemorySource, SharedSource, Source, SourceError, check_range};
pub use statistics::{BandStatistics, Statistics, is_valid, mean, scan, value};
pub use teaching::{TEACHING_CLASSES, TEACHING_RANGE_NM, TeachingScene};
pub(crate) use variables::shape_text;

/// The file formats that can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Envi,
    Matlab,
    Numpy,
    Geotiff,
    /// Made by the generator of the teaching scene.
    Teaching,
}

/// The type of a stored sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

/// The order in which samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interleave {
    /// Band sequential: `[band][row][col]`.
    Bsq,
    /// Band interleaved by line: `[row][band][col]`.
    Bil,
    /// Band interleaved by pixel: `[row][col][band]`.
    Bip,
    /// MATLAB's and NumPy's Fortran order: `[band][col][row]`.
    ColumnMajor,
}

impl Interleave {
    /// The name that is also used in JSON: `bsq`, `bil`, `bip`, `columnmajor`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bsq => "bsq",
            Self::Bil => "bil",
            Self::Bip => "bip",
            Self::ColumnMajor => "columnmajor",
        }
    }
}

/// What the file says its samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Spectra: radiance, reflectance or digital numbers.
    Cube,
    /// One band of class numbers, 0 = unlabelled.
    Labels,
}

/// Where the pixels lie on the ground; kept so that maps can be written with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeoReference {
    /// ENVI `map info` text without braces, made from GeoTIFF tags where the file is a GeoTIFF.
    pub map_info: Option<String>,
    /// ENVI `coordinate system string` (WKT) without braces.
    pub coordinate_system: Option<String>,
}

/// Everything known about a scene without reading its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneInfo {
    /// The name of the file that the user picked.
    pub name: String,
    pub format: Format,
    /// The variable inside the file, for formats that have variables.
    pub variable: Option<String>,
    pub rows: usize,
    pub cols: usize,
    pub bands: usize,
    pub dtype: SampleType,
    pub interleave: Interleave,
    /// Band centres in nanometres, one a band, whatever the file's unit.
    pub wavelengths_nm: Option<Vec<f64>>,
    /// Full widths of the bands at half maximum in nanometres, one a band.
    pub fwhm_nm: Option<Vec<f64>>,
    /// What the file calls its bands, one a band.
    pub band_names: Option<Vec<String>>,
    /// The value that means "no data".
    pub nodata: Option<f64>,
    /// False for bands that the file marks as bad (ENVI `bbl`) or that hold no data at all; one a band.
    pub good_bands: Vec<bool>,
    pub kind: Kind,
    /// Names of classes 0..: only for label files that carry them.
    pub class_names: Option<Vec<String>>,
    /// Colours of classes 0..: only for label files that carry them.
    pub class_colors: Option<Vec<[u8; 3]>>,
    pub geo: Option<GeoReference>,
    /// What the user should know: "100 wavelengths for 200 bands, ignored".
    pub notes: Vec<String>,
}

/// A box of samples: rows, columns and bands, each half open and 0-based.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub rows: Range<usize>,
    pub cols: Range<usize>,
    pub bands: Range<usize>,
}

/// In words, counted from 0: "rows 3 to 5, columns 0 to 9, bands 7 to 7".
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |what: &str, range: &Range<usize>| match range.end.checked_sub(1) {
            Some(last) if last >= range.start => format!("{what} {} to {last}", range.start),
            _ => format!("no {what}"),
        };
        let (rows, cols) = (part("rows", &self.rows), part("columns", &self.cols));
        write!(f, "{rows}, {cols} and {} (counted from 0)", part("bands", &self.bands))
    }
}

impl Window {
    /// Number of samples; `usize::MAX` where the product does not fit (32-bit wasm, a file of gigabytes).
    pub fn len(&self) -> usize {
        self.rows.len().saturating_mul(self.cols.len()).saturating_mul(self.bands.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Samples of one opened file, read window by window.
pub trait Cube {
    fn info(&self) -> &SceneInfo;

    /// Reads a window into `out`, ordered `[row][col][band]` whatever the file's interleave, raw values as stored
    /// (no-data values are not replaced).
    ///
    /// # Errors
    /// [`SceneError`] when the window does not fit the scene, `out` has not exactly `window.len()` samples, or the file
    /// cannot be read or decoded.
    fn read(&self, window: &Window, out: &mut [f64]) -> Result<(), SceneError>;

    /// Rows that are cheap to read together: a strip, a tile row, or as many as fit in a few megabytes.
    fn preferred_rows(&self) -> usize;
}

/// A choice that the user has to make before a file can be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: String,
}

#[derive(Debug, Clone, PartialEq, Error)]
pub enum SceneError {
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Several variables could be the scene: ask, then open again with [`OpenOptions::variable`].
    #[error("{name} holds several arrays ({}); choose one", .choices.iter().map(|v| v.name.as_str()).collect::<Vec<_>>().join(", "))]
    ChooseVariable { name: String, choices: Vec<Variable> },
    /// The file is broken: what, where, and what the user can do.
    #[error("{name}: {what}")]
    Malformed { name: String, what: String },
    /// The file is sound but is not something this program opens.
    #[error("{name}: {what}")]
    Unsupported { name: String, what: String },
    /// A second file is missing: the data of an ENVI header, or the header of ENVI data.
    #[error("{name}: {what}")]
    MissingCompanion { name: String, what: String },
    #[error("{window} are not all in the scene of {rows} rows × {cols} columns × {bands} bands")]
    Window { window: Window, rows: usize, cols: usize, bands: usize },
}

impl SceneError {
    /// The file is broken.
    pub(crate) fn malformed(name: &str, what: impl Into<String>) -> Self {
        Self::Malformed { name: name.to_owned(), what: what.into() }
    }

    /// The file is sound but cannot be opened here.
    pub(crate) fn unsupported(name: &str, what: impl Into<String>) -> Self {
        Self::Unsupported { name: name.to_owned(), what: what.into() }
    }
}

/// What the user chose where a file leaves a choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenOptions {
    /// The variable of a MATLAB or NPZ file.
    pub variable: Option<String>,
    /// The axis (0, 1 or 2) that holds the bands; guessed where `None`.
    pub band_axis: Option<usize>,
}
