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
        match name_of(self.value) {
            Some(name) => (self.row, self.col, self.band, name).serialize(serializer),
            None => (self.row, self.col, self.band, self.value).serialize(serializer),
        }
    }
}

/// What JSON has no number for.
fn name_of(value: f64) -> Option<&'static str> {
    match value {
        v if v.is_nan() => Some("nan"),
        f64::INFINITY => Some("inf"),
        f64::NEG_INFINITY => Some("-inf"),
        _ => None,
    }
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn number_or_name<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value.map(|value| (value, name_of(value))) {
        Some((_, Some(name))) => serializer.serialize_str(name),
        Some((value, None)) => serializer.serialize_f64(value),
        None => serializer.serialize_none(),
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
    /// Full widths of the bands at half maximum, nanometres.
    pub fwhm_nm: Option<Vec<f64>>,
    pub band_names: Option<Vec<String>>,
    /// False for bands that the file marks as bad.
    pub good_bands: Vec<bool>,
    /// The value that means "no data"; `"nan"` where that is the value.
    #[serde(serialize_with = "number_or_name")]
    pub nodata: Option<f64>,
    /// Names of classes 0.., of label files that carry them.
    pub class_names: Option<Vec<String>>,
    /// What the user should know about how the file was read.
    pub notes: Vec<String>,
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
        fwhm_nm: info.fwhm_nm.clone(),
        band_names: info.band_names.clone(),
        good_bands: info.good_bands.clone(),
        nodata: info.nodata,
        class_names: info.class_names.clone(),
        notes: info.notes.clone(),
        variable: info.variable.clone(),
        kind: info.kind,
        mean: mean(cube)?,
        samples,
    })
}
