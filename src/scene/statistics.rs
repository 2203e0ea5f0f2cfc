//! What streaming once over a scene tells: statistics a band, and the bands that hold no data.

use super::{Cube, SceneError, SceneInfo, Window};

/// The one rule for masked samples: valid is finite and not the no-data value.
pub fn is_valid(value: f64, nodata: Option<f64>) -> bool {
    value.is_finite() && nodata != Some(value)
}

/// Statistics of the valid samples of one band.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BandStatistics {
    /// Number of valid samples.
    pub valid: u64,
    /// NaN where `valid` is 0, like `max`, `mean` and `deviation`.
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    /// Population standard deviation.
    pub deviation: f64,
}

/// Statistics of a scene.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// One a band.
    pub bands: Vec<BandStatistics>,
}

impl Statistics {
    /// 0-based numbers of the bands without a single valid sample.
    pub fn empty_bands(&self) -> Vec<usize> {
        (0..self.bands.len()).filter(|&band| self.bands[band].valid == 0).collect()
    }

    /// The bands to use: those that the header calls good and that hold data; one a band.
    pub fn good_bands(&self, info: &SceneInfo) -> Vec<bool> {
        info.good_bands.iter().zip(&self.bands).map(|(&good, band)| good && band.valid > 0).collect()
    }

    /// Mean of all valid samples; `None` where there are none.
    pub fn mean(&self) -> Option<f64> {
        let valid: u64 = self.bands.iter().map(|band| band.valid).sum();
        let sum: f64 = self.bands.iter().filter(|b| b.valid > 0).map(|b| b.mean * b.valid as f64).sum();
        (valid > 0).then(|| sum / valid as f64)
    }
}

/// Running count, mean and sum of squared deviations (Chan, Golub, LeVeque 1983: blocks are merged, so that neither
/// the order nor the size of the values spoils the variance).
#[derive(Clone)]
struct Moments {
    valid: u64,
    min: f64,
    max: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    const EMPTY: Self = Self { valid: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, mean: 0.0, squares: 0.0 };

    fn merge(&mut self, other: &Self) {
        if other.valid == 0 {
            return;
        }
        let (n, m) = (self.valid as f64, other.valid as f64);
        let delta = other.mean - self.mean;
        self.mean += delta * m / (n + m);
        self.squares += other.squares + delta * delta * n * m / (n + m);
        self.valid += other.valid;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    fn finish(&self) -> BandStatistics {
        if self.valid == 0 {
            return BandStatistics { valid: 0, min: f64::NAN, max: f64::NAN, mean: f64::NAN, deviation: f64::NAN };
        }
        let deviation = (self.squares / self.valid as f64).sqrt();
        BandStatistics { valid: self.valid, min: self.min, max: self.max, mean: self.mean, deviation }
    }
}

/// Calls `each` with every block of rows, `[row][col][band]`; stops early, with `false`, when `each` returns false.
///
/// `each` also gets the share of the scene that is done after this block, 0..=1.
fn for_each_block(cube: &dyn Cube, each: &mut dyn FnMut(&[f64], f64) -> bool) -> Result<bool, SceneError> {
    let info = cube.info();
    let (rows, cols, bands) = (info.rows, info.cols, info.bands);
    let step = cube.preferred_rows().max(1);
    let mut block = Vec::new();
    let mut row = 0;
    while row < rows {
        let end = row.saturating_add(step).min(rows);
        let window = Window { rows: row..end, cols: 0..cols, bands: 0..bands };
        block.try_reserve(window.len().saturating_sub(block.len())).map_err(|_| {
            SceneError::unsupported(
                &info.name,
                "its rows are so long that not even one fits in the memory of this device",
            )
        })?;
        block.resize(window.len(), 0.0);
        cube.read(&window, &mut block)?;
        if !each(&block, end as f64 / rows as f64) {
            return Ok(false);
        }
        row = end;
    }
    Ok(true)
}

/// Streams once over the scene in blocks of rows and gathers statistics a band.
///
/// `progress` gets the share that is done, 0..=1, after each block and returns whether to go on; `Ok(None)` when it
/// said no. Memory: one block of rows.
///
/// # Errors
/// As [`Cube::read`].
pub fn scan(cube: &dyn Cube, progress: &mut dyn FnMut(f64) -> bool) -> Result<Option<Statistics>, SceneError> {
    let bands = cube.info().bands;
    let nodata = cube.info().nodata;
    let mut total = vec![Moments::EMPTY; bands];
    let mut block = vec![Moments::EMPTY; bands];
    let done = for_each_block(cube, &mut |samples, share| {
        block.fill(Moments::EMPTY);
        for spectrum in samples.chunks_exact(bands) {
            for (moments, &value) in block.iter_mut().zip(spectrum) {
                if is_valid(value, nodata) {
                    moments.valid += 1;
                    moments.mean += value;
                    moments.min = moments.min.min(value);
                    moments.max = moments.max.max(value);
                }
            }
        }
        for moments in &mut block {
            moments.mean /= moments.valid.max(1) as f64;
        }
        for spectrum in samples.chunks_exact(bands) {
            for (moments, &value) in block.iter_mut().zip(spectrum) {
                if is_valid(value, nodata) {
                    moments.squares += (value - moments.mean).powi(2);
                }
            }
        }
        for (sum, part) in total.iter_mut().zip(&block) {
            sum.merge(part);
        }
        progress(share)
    })?;
    Ok(done.then(|| Statistics { bands: total.iter().map(Moments::finish).collect() }))
}

/// The plain mean of all finite stored samples, no-data values included: a checksum of the samples that other readers
/// can compute without knowing about no-data. `None` where nothing is finite.
///
/// # Errors
/// As [`Cube::read`].
pub fn mean(cube: &dyn Cube) -> Result<Option<f64>, SceneError> {
    let mut count = 0u64;
    let mut mean = 0.0;
    for_each_block(cube, &mut |samples, _| {
        let mut block = (0u64, 0.0);
        for value in samples.iter().filter(|value| value.is_finite()) {
            block.0 += 1;
            block.1 += value;
        }
        count += block.0;
        if block.0 > 0 {
            mean += (block.1 / block.0 as f64 - mean) * (block.0 as f64 / count as f64);
        }
        true
    })?;
    Ok((count > 0).then_some(mean))
}

/// One sample.
///
/// # Errors
/// As [`Cube::read`].
pub fn value(cube: &dyn Cube, row: usize, col: usize, band: usize) -> Result<f64, SceneError> {
    let one = |n: usize| n..n.saturating_add(1);
    let mut out = [0.0];
    cube.read(&Window { rows: one(row), cols: one(col), bands: one(band) }, &mut out)?;
    Ok(out[0])
}
