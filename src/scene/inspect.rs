//! A description of an opened scene that scripts can read: what `sigmascope inspect --json` prints.

use serde::{Serialize, Serializer};

use super::statistics::{mean, value};
use super::{Cube, Interleave, Kind, SampleType, SceneError};

/// One sample as `[row, col, band, value]`; a value that JSON has no number for is `"nan"`, `"inf"` or `"-inf"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PixelValue {
    pub row: usize,
    pub col: usize,
    pub band: usize,
    pub value: f64,
}

impl Serialize for PixelValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = match self.value {
            v if v.is_nan() => "nan",
            f64::INFINITY => "inf",
            f64::NEG_INFINITY => "-inf",
            v => return (self.row, self.col, self.band, v).serialize(serializer),
        };
        (self.row, self.col, self.band, name).serialize(serializer)
    }
}

/// A scene in a few fields; unknown ones are `null` in JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    pub rows: usize,
    pub cols: usize,
    pub bands: usize,
    pub dtype: SampleType,
    pub interleave: Interleave,
    /// Band centres, nanometres.
    pub wavelengths_nm: Option<Vec<f64>>,
    pub variable: Option<String>,
    pub kind: Kind,
    /// Mean of all finite stored samples, see [`mean`].
    pub mean: Option<f64>,
    pub samples: Vec<PixelValue>,
}

/// Reads the whole scene once, streaming, and the samples at `pixels` (`[row, col, band]`, 0-based).
///
/// # Errors
/// As [`Cube::read`]; [`SceneError::Window`] for a pixel outside the scene.
pub fn inspect(cube: &dyn Cube, pixels: &[[usize; 3]]) -> Result<Inspection, SceneError> {
    let samples = pixels
        .iter()
        .map(|&[row, col, band]| Ok(PixelValue { row, col, band, value: value(cube, row, col, band)? }))
        .collect::<Result<_, SceneError>>()?;
    let info = cube.info();
    Ok(Inspection {
        rows: info.rows,
        cols: info.cols,
        bands: info.bands,
        dtype: info.dtype,
        interleave: info.interleave,
        wavelengths_nm: info.wavelengths_nm.clone(),
        variable: info.variable.clone(),
        kind: info.kind,
        mean: mean(cube)?,
        samples,
    })
}
