//! The statistics that scenes share instead of themselves, so that several of them get one projection.

use super::PreprocessError;
use super::moments::{Moments, Scan};
use super::pca::BandMoments;
use crate::scene::Cube;

/// Range, mean and covariance of a scene, gathered a block of rows a step.
pub struct BandGathering<'a> {
    cube: &'a dyn Cube,
    scan: Scan<'a>,
}

impl<'a> BandGathering<'a> {
    /// # Errors
    /// [`PreprocessError`] when the scene is empty.
    pub fn new(cube: &'a dyn Cube) -> Result<Self, PreprocessError> {
        Ok(Self { cube, scan: Scan::new(cube, false)? })
    }

    /// Rows read and rows to read.
    pub fn rows(&self) -> (usize, usize) {
        self.scan.rows()
    }

    /// Reads the next block of rows; false once all are read.
    ///
    /// # Errors
    /// [`PreprocessError`] when the scene cannot be read or holds no data.
    pub fn read_next(&mut self) -> Result<bool, PreprocessError> {
        self.scan.read_next()
    }

    /// The statistics of all bands.
    ///
    /// # Errors
    /// [`PreprocessError`] as for [`read_next`](Self::read_next), and [`PreprocessError::EmptyBand`] when a band holds no data in
    /// most pixels: nobody else could tell what it is.
    pub fn finish(mut self) -> Result<BandMoments, PreprocessError> {
        while self.read_next()? {}
        let info = self.cube.info();
        let Moments { bands, pixels, min, max, mean, covariance, .. } = self.scan.finish()?;
        if let Some(band) = (0..info.bands).find(|band| !bands.contains(band)) {
            let wavelength_nm = info.wavelengths_nm.as_ref().and_then(|list| list.get(band)).copied();
            let name = info.name.clone();
            return Err(PreprocessError::EmptyBand { name, band, wavelength_nm: wavelength_nm.unwrap_or(f64::NAN) });
        }
        Ok(BandMoments { pixels, min, max, mean, covariance })
    }
}
