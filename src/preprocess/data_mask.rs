//! Which pixels of a scene have data: those with a value in every usable band. The rule is that of the projection, so a
//! pixel that the mask calls empty is one that no network can learn from or map.

use super::PreprocessError;
use super::moments::{Counts, is_data, rows_at_once};
use crate::scene::{Cube, Window};

/// Two passes over a scene, a block of rows a step: the first finds the usable bands, the second looks at every pixel.
pub struct DataScan<'a> {
    cube: &'a dyn Cube,
    samples: Vec<f64>,
    row: usize,
    counts: Counts,
    /// Of the second pass.
    bands: Option<Vec<usize>>,
    has_data: Vec<bool>,
}

impl<'a> DataScan<'a> {
    /// # Errors
    /// [`PreprocessError::NoData`] for an empty scene.
    pub fn new(cube: &'a dyn Cube) -> Result<Self, PreprocessError> {
        let info = cube.info();
        let row_samples = info.cols.saturating_mul(info.bands);
        if info.rows == 0 || row_samples == 0 {
            return Err(PreprocessError::NoData { name: info.name.clone(), bands: info.bands });
        }
        let samples = vec![0f64; rows_at_once(cube, row_samples).min(info.rows) * row_samples];
        Ok(Self { cube, samples, row: 0, counts: Counts::new(info.bands), bands: None, has_data: Vec::new() })
    }

    /// Reads the next block of rows; false once both passes are complete.
    ///
    /// # Errors
    /// Those of reading the scene, and a scene without usable bands.
    pub fn read_next(&mut self) -> Result<bool, PreprocessError> {
        let info = self.cube.info();
        if self.row == info.rows {
            if self.bands.is_some() {
                return Ok(false);
            }
            self.bands = Some(self.counts.usable(info)?);
            self.has_data.reserve_exact(info.rows * info.cols);
            self.row = 0;
        }
        let row_samples = info.cols * info.bands;
        let end = (self.row + self.samples.len() / row_samples).min(info.rows);
        let block = &mut self.samples[..(end - self.row) * row_samples];
        self.cube.read(&Window { rows: self.row..end, cols: 0..info.cols, bands: 0..info.bands }, block)?;
        match &self.bands {
            None => self.counts.add(block, info.nodata),
            Some(bands) => self.has_data.extend(
                block.chunks_exact(info.bands).map(|pixel| bands.iter().all(|&band| is_data(pixel[band], info.nodata))),
            ),
        }
        self.row = end;
        Ok(true)
    }

    /// Row-major; complete once [`DataScan::read_next`] has said false.
    pub fn finish(self) -> Vec<bool> {
        self.has_data
    }
}

/// Which pixels have data, row-major, in one go.
///
/// # Errors
/// As [`DataScan::read_next`].
pub fn data_mask(cube: &dyn Cube) -> Result<Vec<bool>, PreprocessError> {
    let mut scan = DataScan::new(cube)?;
    while scan.read_next()? {}
    Ok(scan.finish())
}
