//! A fitted projection of spectra: plain data that a trained model keeps.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::PreprocessError;
use super::moments::{is_data, rows_at_once};
use crate::scene::{Cube, SceneInfo, Window};

/// `(value − offset) × factor`, the same for all bands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    pub offset: f64,
    pub factor: f64,
}

/// Spectrum → components: scale, take off the mean, project, divide.
///
/// Made by [`super::fit_projection`]. The same projection has to be used for training and mapping, and for every other
/// scene on which the model is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// Bands of the scene it was fitted to; another scene must have as many.
    pub scene_bands: usize,
    /// The bands that are used, 0-based, rising.
    pub bands: Vec<usize>,
    /// Band centres of that scene, one a scene band, to recognise another sensor.
    pub wavelengths_nm: Option<Vec<f64>>,
    /// Pixels that it was fitted to.
    pub pixels: u64,
    pub scaling: Option<Scaling>,
    /// One a used band, after scaling.
    pub mean: Vec<f64>,
    /// `[component][used band]`, unit length each (times the bands' own factors where they are noise-adjusted); empty where every used band is a component for itself.
    pub components: Vec<f64>,
    /// Variance of each component (divided by n − 1) before division.
    pub variance: Vec<f64>,
    /// Each component is divided by this: its standard deviation where whitened, a power of it where noise-adjusted,
    /// otherwise 1.
    pub divisor: Vec<f64>,
    /// Of all used bands together.
    pub total_variance: f64,
}

/// A projected window.
#[derive(Debug, Clone, PartialEq)]
pub struct Projected {
    /// `[component][row][col]`; 0 where the mask is false.
    pub values: Vec<f32>,
    /// `[row][col]`: true where every used band holds data.
    pub mask: Vec<bool>,
    pub components: usize,
    pub rows: usize,
    pub cols: usize,
}

impl Projection {
    /// The projection that changes nothing: every band of scenes on this grid is a component.
    pub fn identity(wavelengths_nm: &[f64]) -> Self {
        let bands = wavelengths_nm.len();
        Self {
            scene_bands: bands,
            bands: (0..bands).collect(),
            wavelengths_nm: Some(wavelengths_nm.to_vec()),
            pixels: 0,
            scaling: None,
            mean: vec![0.0; bands],
            components: Vec::new(),
            variance: vec![1.0; bands],
            divisor: vec![1.0; bands],
            total_variance: bands as f64,
        }
    }

    /// Whether its parts fit together and all numbers are finite: a projection from elsewhere may be anything.
    pub fn is_sound(&self) -> bool {
        let (bands, components) = (self.bands.len(), self.divisor.len());
        let matrix = match self.components.len() {
            0 => bands == components,
            len => len == bands * components,
        };
        let scaling = self.scaling.map_or(vec![], |scaling| vec![scaling.offset, scaling.factor]);
        let numbers = [&self.mean, &self.components, &self.divisor, &scaling];
        matrix
            && self.mean.len() == bands
            && self.bands.iter().all(|&band| band < self.scene_bands)
            && numbers.iter().all(|list| list.iter().all(|value| value.is_finite()))
            && !self.divisor.contains(&0.0)
    }

    /// Number of components that come out.
    pub fn len(&self) -> usize {
        self.divisor.len()
    }

    pub fn is_empty(&self) -> bool {
        self.divisor.is_empty()
    }

    /// Share of the total variance that each component explains.
    pub fn explained_ratio(&self) -> Vec<f64> {
        let total = if self.total_variance > 0.0 { self.total_variance } else { 1.0 };
        self.variance.iter().map(|variance| variance / total).collect()
    }

    /// Whether another scene can be projected: as many bands, and at the same wavelengths (within one band's spacing)
    /// where both are known.
    ///
    /// # Errors
    /// [`PreprocessError::Bands`] or [`PreprocessError::Wavelength`].
    pub fn check_scene(&self, info: &SceneInfo) -> Result<(), PreprocessError> {
        if info.bands != self.scene_bands || self.bands.iter().any(|&band| band >= info.bands) {
            let (bands, expected) = (info.bands, self.scene_bands);
            return Err(PreprocessError::Bands { name: info.name.clone(), bands, expected });
        }
        let (Some(expected), Some(given)) = (&self.wavelengths_nm, &info.wavelengths_nm) else { return Ok(()) };
        if expected.len() != given.len() || expected.len() < 2 {
            return Ok(());
        }
        let range = expected.iter().fold((f64::MAX, f64::MIN), |(low, high), &nm| (low.min(nm), high.max(nm)));
        let spacing = (range.1 - range.0) / (expected.len() - 1) as f64;
        match self.bands.iter().find(|&&band| band < given.len() && (given[band] - expected[band]).abs() > spacing) {
            None => Ok(()),
            Some(&band) => Err(PreprocessError::Wavelength {
                name: info.name.clone(),
                band,
                wavelength_nm: given[band],
                expected_nm: expected[band],
            }),
        }
    }

    /// Projects a window of a scene. Samples are read in blocks of rows; only the result is held whole.
    ///
    /// # Errors
    /// [`PreprocessError`] when the window or the scene's bands do not fit, or the scene cannot be read.
    pub fn project(
        &self,
        cube: &dyn Cube,
        rows: Range<usize>,
        cols: Range<usize>,
    ) -> Result<Projected, PreprocessError> {
        let info = cube.info();
        self.check_scene(info)?;
        if rows.is_empty() || cols.is_empty() || rows.end > info.rows || cols.end > info.cols {
            return Err(PreprocessError::Window {
                first_row: rows.start,
                last_row: rows.end.saturating_sub(1),
                first_col: cols.start,
                last_col: cols.end.saturating_sub(1),
                rows: info.rows,
                cols: info.cols,
            });
        }
        let (height, width, components) = (rows.len(), cols.len(), self.len());
        let mut projected = Projected {
            values: vec![0.0; components * height * width],
            mask: vec![false; height * width],
            components,
            rows: height,
            cols: width,
        };
        let row_samples = width * info.bands;
        let step = rows_at_once(cube, row_samples).min(height);
        let mut samples = vec![0f64; step * row_samples];
        let mut centred = vec![0f64; self.bands.len()];
        for top in (0..height).step_by(step) {
            let bottom = (top + step).min(height);
            let window =
                Window { rows: rows.start + top..rows.start + bottom, cols: cols.clone(), bands: 0..info.bands };
            let block = &mut samples[..(bottom - top) * row_samples];
            cube.read(&window, block)?;
            for (offset, spectrum) in block.chunks_exact(info.bands).enumerate() {
                let pixel = top * width + offset;
                if !self.centre(spectrum, info.nodata, &mut centred) {
                    continue;
                }
                projected.mask[pixel] = true;
                for component in 0..components {
                    let value = self.component(component, &centred);
                    // Whitened values are small; a scene with values of another order could overflow f32.
                    projected.values[component * height * width + pixel] =
                        value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
                }
            }
        }
        Ok(projected)
    }

    /// Projects one spectrum (a value a scene band) in full precision; `None` where it lacks data or has other bands.
    pub fn project_spectrum(&self, spectrum: &[f64], nodata: Option<f64>) -> Option<Vec<f64>> {
        let mut centred = vec![0f64; self.bands.len()];
        (spectrum.len() == self.scene_bands && self.centre(spectrum, nodata, &mut centred))
            .then(|| (0..self.len()).map(|component| self.component(component, &centred)).collect())
    }

    /// The used bands, scaled, less the mean. False where one of them holds no data.
    fn centre(&self, spectrum: &[f64], nodata: Option<f64>, centred: &mut [f64]) -> bool {
        let scaling = self.scaling.unwrap_or(Scaling { offset: 0.0, factor: 1.0 });
        for ((&band, mean), out) in self.bands.iter().zip(&self.mean).zip(centred) {
            let value = spectrum[band];
            if !is_data(value, nodata) {
                return false;
            }
            *out = (value - scaling.offset) * scaling.factor - mean;
        }
        true
    }

    fn component(&self, component: usize, centred: &[f64]) -> f64 {
        let n = centred.len();
        let value = if self.components.is_empty() {
            centred[component]
        } else {
            self.components[component * n..(component + 1) * n].iter().zip(centred).map(|(a, b)| a * b).sum()
        };
        value / self.divisor[component]
    }
}
