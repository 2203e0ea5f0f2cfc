//! A scene seen on another wavelength grid, so that scenes of different sensors share one input space.

use std::rc::Rc;

use super::PreprocessError;
use super::moments::{is_data, rows_at_once};
use crate::scene::{Cube, Interleave, SampleType, SceneError, SceneInfo, Window};

/// How a band of the grid follows from the bands of the scene.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Between {
    /// Bands of the scene on either side; the same one twice where the grid hits it or lies past its ends.
    bands: (usize, usize),
    /// Share of the second.
    share: f64,
}

/// A scene with one band for each wavelength of a grid, interpolated linearly between the nearest usable bands. Samples are
/// NaN where one of those holds no data. Like every cube it is read window by window and holds nothing.
pub struct Resampled {
    cube: Rc<dyn Cube>,
    info: SceneInfo,
    plan: Vec<Between>,
}

impl Resampled {
    /// `cube` on the grid `wavelengths_nm` (rising). A scene that does not tell its wavelengths counts as being on the grid
    /// already if it has as many bands.
    ///
    /// # Errors
    /// [`PreprocessError::NoWavelengths`] when it has another number of bands, [`PreprocessError::NotCovered`] when a
    /// wavelength lies further outside of its usable bands than the bands there are apart.
    pub fn new(cube: Rc<dyn Cube>, wavelengths_nm: &[f64]) -> Result<Self, PreprocessError> {
        let info = cube.info();
        let grid = wavelengths_nm.len();
        let told = info.wavelengths_nm.as_ref().filter(|told| told.len() == info.bands);
        let plan = match told {
            Some(told) => between(info, told, wavelengths_nm)?,
            None if info.bands == grid => (0..grid).map(|band| Between { bands: (band, band), share: 0.0 }).collect(),
            None => {
                let (name, bands) = (info.name.clone(), info.bands);
                return Err(PreprocessError::NoWavelengths { name, bands, expected: grid });
            }
        };
        let info = SceneInfo {
            bands: grid,
            dtype: SampleType::F64,
            interleave: Interleave::Bip,
            wavelengths_nm: Some(wavelengths_nm.to_vec()),
            fwhm_nm: None,
            band_names: None,
            nodata: None,
            good_bands: vec![true; grid],
            ..info.clone()
        };
        Ok(Self { cube, info, plan })
    }
}

/// The plan for a scene whose bands lie at `told`.
fn between(info: &SceneInfo, told: &[f64], grid: &[f64]) -> Result<Vec<Between>, PreprocessError> {
    let good = |band: &usize| info.good_bands.get(*band).copied().unwrap_or(true) && told[*band].is_finite();
    let mut bands: Vec<usize> = (0..info.bands).filter(good).collect();
    // Sensors with several detectors list overlapping ranges one after the other.
    bands.sort_by(|a, b| told[*a].total_cmp(&told[*b]));
    let (Some(&first), Some(&last)) = (bands.first(), bands.last()) else {
        return Err(PreprocessError::NoBands { name: info.name.clone(), bands: info.bands });
    };
    let apart = |pair: Option<&[usize]>| pair.map_or(0.0, |pair| told[pair[1]] - told[pair[0]]);
    let slack = (apart(bands.windows(2).next()), apart(bands.windows(2).next_back()));
    let place = |&wavelength_nm: &f64| {
        let after = bands.partition_point(|&band| told[band] < wavelength_nm);
        match (after.checked_sub(1).map(|before| bands[before]), bands.get(after)) {
            (_, Some(&band)) if told[band] == wavelength_nm => Ok(Between { bands: (band, band), share: 0.0 }),
            (Some(low), Some(&high)) => {
                let share = (wavelength_nm - told[low]) / (told[high] - told[low]);
                Ok(Between { bands: (low, high), share })
            }
            (None, _) if told[first] - wavelength_nm <= slack.0 => Ok(Between { bands: (first, first), share: 0.0 }),
            (Some(_), None) if wavelength_nm - told[last] <= slack.1 => Ok(Between { bands: (last, last), share: 0.0 }),
            _ => Err(PreprocessError::NotCovered {
                name: info.name.clone(),
                low_nm: told[first],
                high_nm: told[last],
                wavelength_nm,
            }),
        }
    };
    grid.iter().map(place).collect()
}

impl Cube for Resampled {
    fn info(&self) -> &SceneInfo {
        &self.info
    }

    fn read(&self, window: &Window, out: &mut [f64]) -> Result<(), SceneError> {
        let (info, source) = (&self.info, self.cube.info());
        let fits = window.rows.end <= info.rows && window.cols.end <= info.cols && window.bands.end <= info.bands;
        if !fits || window.len() != out.len() {
            let (window, rows, cols, bands) = (window.clone(), info.rows, info.cols, info.bands);
            return Err(SceneError::Window { window, rows, cols, bands });
        }
        let plan = &self.plan[window.bands.clone()];
        let used = plan.iter().flat_map(|between| [between.bands.0, between.bands.1]);
        let (Some(low), Some(high)) = (used.clone().min(), used.max()) else { return Ok(()) };
        let (cols, depth) = (window.cols.len(), high + 1 - low);
        let step = rows_at_once(&*self.cube, cols.saturating_mul(depth)).min(window.rows.len().max(1));
        let mut samples = vec![0f64; step * cols * depth];
        let mut pixels = out.chunks_exact_mut(plan.len());
        for top in window.rows.clone().step_by(step) {
            let rows = top..(top + step).min(window.rows.end);
            let block = &mut samples[..rows.len() * cols * depth];
            self.cube.read(&Window { rows, cols: window.cols.clone(), bands: low..high + 1 }, block)?;
            for (spectrum, out) in block.chunks_exact(depth).zip(&mut pixels) {
                for (out, Between { bands, share }) in out.iter_mut().zip(plan) {
                    let (a, b) = (spectrum[bands.0 - low], spectrum[bands.1 - low]);
                    let data = is_data(a, source.nodata) && is_data(b, source.nodata);
                    *out = if data { a + share * (b - a) } else { f64::NAN };
                }
            }
        }
        Ok(())
    }

    fn preferred_rows(&self) -> usize {
        self.cube.preferred_rows()
    }
}
