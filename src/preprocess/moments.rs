//! Statistics of a scene, streamed over row blocks: which bands and pixels hold data, range, mean and covariance.
//!
//! Two passes. The first counts and sums, band by band; the second sums outer products of the pixels less the first pass's
//! mean, so that nothing large cancels, and takes out what masking has moved the mean by. Memory is one row block and one
//! bands × bands matrix.

use std::ops::ControlFlow;

use faer::Mat;

use super::PreprocessError;
use super::eigen::add_outer_products;
use crate::scene::{Cube, Window};

/// Samples of one row block at most (8 bytes each), unless one row holds more.
const BLOCK_SAMPLES: usize = 1 << 19;

/// Squares of larger values would overflow in the sums.
const LARGEST: f64 = 1e100;

/// Whether a sample is data.
pub(super) fn is_data(value: f64, nodata: Option<f64>) -> bool {
    // A float32 file says its no-data value in decimals; compare in its own precision, too.
    value.is_finite() && nodata.is_none_or(|nodata| value != nodata && value as f32 != nodata as f32)
}

/// What a whole scene says about its bands.
pub(super) struct Moments {
    /// Bands that are used, 0-based.
    pub bands: Vec<usize>,
    /// Pixels with data in every used band.
    pub pixels: u64,
    /// Of all used samples.
    pub min: f64,
    pub max: f64,
    /// A used band each.
    pub mean: Vec<f64>,
    /// `bands × bands`, row-major, divided by n − 1.
    pub covariance: Vec<f64>,
}

/// Reports rows done of all rows (both passes count); `Break` stops.
pub(super) type Report<'a> = &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>;

pub(super) fn moments(cube: &dyn Cube, report: Report) -> Result<Moments, PreprocessError> {
    let info = cube.info();
    let (rows, bands, nodata) = (info.rows, info.bands, info.nodata);
    let name = || info.name.clone();

    let mut counts = vec![0u64; bands];
    let mut sums = vec![0f64; bands];
    let mut with_data = 0u64;
    let mut largest = 0f64;
    for_row_blocks(cube, &mut |last_row, samples| {
        for pixel in samples.chunks_exact(bands) {
            let mut any = false;
            for ((&value, count), sum) in pixel.iter().zip(&mut counts).zip(&mut sums) {
                if is_data(value, nodata) {
                    any = true;
                    *count += 1;
                    *sum += value;
                    largest = largest.max(value.abs());
                }
            }
            with_data += u64::from(any);
        }
        report(last_row, 2 * rows)
    })?;
    if largest > LARGEST {
        return Err(PreprocessError::TooLarge { name: name(), largest });
    }
    // A band that is empty in most of the pixels with data would mask nearly everything: it is a bad band that the file
    // does not mark as one.
    let good = |band: &usize| {
        info.good_bands.get(*band).copied().unwrap_or(true) && counts[*band] > 0 && 2 * counts[*band] >= with_data
    };
    let used: Vec<usize> = (0..bands).filter(good).collect();
    if with_data == 0 {
        return Err(PreprocessError::NoData { name: name(), bands });
    }
    if used.is_empty() {
        return Err(PreprocessError::NoBands { name: name(), bands });
    }

    let n = used.len();
    let shift: Vec<f64> = used.iter().map(|&band| sums[band] / counts[band] as f64).collect();
    let mut outer = Mat::zeros(n, n);
    let mut moved = vec![0f64; n];
    let (mut pixels, mut min, mut max) = (0u64, f64::INFINITY, f64::NEG_INFINITY);
    let mut centred = Vec::new();
    for_row_blocks(cube, &mut |last_row, samples| {
        centred.clear();
        for pixel in samples.chunks_exact(bands) {
            if used.iter().all(|&band| is_data(pixel[band], nodata)) {
                pixels += 1;
                for ((&band, shift), moved) in used.iter().zip(&shift).zip(&mut moved) {
                    let value = pixel[band];
                    min = min.min(value);
                    max = max.max(value);
                    centred.push(value - shift);
                    *moved += value - shift;
                }
            }
        }
        add_outer_products(&mut outer, &centred, n);
        report(rows + last_row, 2 * rows)
    })?;
    if pixels == 0 {
        return Err(PreprocessError::NoData { name: name(), bands: n });
    }
    for value in &mut moved {
        *value /= pixels as f64;
    }
    let degrees = (pixels.max(2) - 1) as f64;
    let mut covariance = Vec::with_capacity(n * n);
    for i in 0..n {
        for j in 0..n {
            covariance.push((outer[(i, j)] - pixels as f64 * moved[i] * moved[j]) / degrees);
        }
    }
    let mean = shift.iter().zip(&moved).map(|(shift, moved)| shift + moved).collect();
    Ok(Moments { bands: used, pixels, min, max, mean, covariance })
}

/// Reads the scene in blocks of whole rows, all bands, `[row][col][band]`; the visitor also gets the rows read so far.
fn for_row_blocks(
    cube: &dyn Cube,
    visit: &mut dyn FnMut(usize, &[f64]) -> ControlFlow<()>,
) -> Result<(), PreprocessError> {
    let info = cube.info();
    let row_samples = info.cols.saturating_mul(info.bands);
    if info.rows == 0 || row_samples == 0 {
        return Err(PreprocessError::NoData { name: info.name.clone(), bands: info.bands });
    }
    let step = rows_at_once(cube, row_samples);
    let mut samples = vec![0f64; step.min(info.rows) * row_samples];
    let mut row = 0;
    while row < info.rows {
        let end = (row + step).min(info.rows);
        let window = Window { rows: row..end, cols: 0..info.cols, bands: 0..info.bands };
        let block = &mut samples[..(end - row) * row_samples];
        cube.read(&window, block)?;
        if visit(end, block).is_break() {
            return Err(PreprocessError::Cancelled);
        }
        row = end;
    }
    Ok(())
}

/// As many rows as the reader likes, but no more than fit a block.
pub(super) fn rows_at_once(cube: &dyn Cube, row_samples: usize) -> usize {
    cube.preferred_rows().clamp(1, (BLOCK_SAMPLES / row_samples.max(1)).max(1))
}
