//! A cube in memory, for tests.

use sigmascope::scene::{Cube, Format, Interleave, Kind, SampleType, SceneError, SceneInfo, Window};

pub struct TestCube {
    pub info: SceneInfo,
    /// `[row][col][band]`.
    pub samples: Vec<f64>,
    /// What [`Cube::preferred_rows`] says.
    pub block: usize,
}

impl TestCube {
    pub fn new(rows: usize, cols: usize, bands: usize, samples: Vec<f64>) -> Self {
        assert_eq!(samples.len(), rows * cols * bands);
        let info = SceneInfo {
            name: "test".to_owned(),
            format: Format::Numpy,
            variable: None,
            rows,
            cols,
            bands,
            dtype: SampleType::F64,
            interleave: Interleave::Bip,
            wavelengths_nm: None,
            fwhm_nm: None,
            band_names: None,
            nodata: None,
            good_bands: vec![true; bands],
            kind: Kind::Cube,
            class_names: None,
            class_colors: None,
            geo: None,
            notes: Vec::new(),
        };
        Self { info, samples, block: 3 }
    }

    pub fn spectrum(&self, pixel: usize) -> &[f64] {
        &self.samples[pixel * self.info.bands..][..self.info.bands]
    }
}

impl Cube for TestCube {
    fn info(&self) -> &SceneInfo {
        &self.info
    }

    fn read(&self, window: &Window, out: &mut [f64]) -> Result<(), SceneError> {
        let SceneInfo { rows, cols, bands, .. } = self.info;
        if window.rows.end > rows || window.cols.end > cols || window.bands.end > bands || out.len() != window.len() {
            return Err(SceneError::Window { window: window.clone(), rows, cols, bands });
        }
        let mut out = out.iter_mut();
        for row in window.rows.clone() {
            for col in window.cols.clone() {
                for band in window.bands.clone() {
                    *out.next().expect("as many as the window") = self.samples[(row * cols + col) * bands + band];
                }
            }
        }
        Ok(())
    }

    fn preferred_rows(&self) -> usize {
        self.block
    }
}
