//! Statistics of a scene, streamed over row blocks: which bands and pixels hold data, range, mean and covariance.
//!
//! Two passes. The first counts and sums, band by band; the second sums outer products of the pixels less the first pass's
//! mean, so that nothing large cancels, and takes out what masking has moved the mean by. Memory is one row block and one
//! bands × bands matrix.

use faer::Mat;

use super::PreprocessError;
use super::eigen::add_outer_products;
use super::noise::NeighbourNoise;
use crate::scene::{Cube, SceneInfo, Window};

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
    /// Covariance of the noise, where it was asked for: `bands × bands`, row-major.
    pub noise: Option<Vec<f64>>,
}

/// The two passes over a scene, a block of rows a step.
pub(super) struct Scan<'a> {
    cube: &'a dyn Cube,
    samples: Vec<f64>,
    /// Next row of the current pass.
    row: usize,
    counts: Counts,
    /// Of the second pass.
    scatter: Option<Scatter>,
    with_noise: bool,
}

/// What the first pass finds, band by band.
pub(super) struct Counts {
    counts: Vec<u64>,
    sums: Vec<f64>,
    with_data: u64,
    largest: f64,
}

/// What the second pass adds up over the used bands.
struct Scatter {
    bands: Vec<usize>,
    /// The first pass's mean.
    shift: Vec<f64>,
    /// Sum of what is left after the shift: masking moves the mean.
    moved: Vec<f64>,
    outer: Mat<f64>,
    pixels: u64,
    min: f64,
    max: f64,
    centred: Vec<f64>,
    noise: Option<NeighbourNoise>,
}

impl<'a> Scan<'a> {
    /// Of a scene; `with_noise` adds the covariance of its noise.
    pub(super) fn new(cube: &'a dyn Cube, with_noise: bool) -> Result<Self, PreprocessError> {
        let info = cube.info();
        let row_samples = info.cols.saturating_mul(info.bands);
        if info.rows == 0 || row_samples == 0 {
            return Err(PreprocessError::NoData { name: info.name.clone(), bands: info.bands });
        }
        let samples = vec![0f64; rows_at_once(cube, row_samples).min(info.rows) * row_samples];
        Ok(Self { cube, samples, row: 0, counts: Counts::new(info.bands), scatter: None, with_noise })
    }

    /// Rows read and rows to read, both passes together.
    pub(super) fn rows(&self) -> (usize, usize) {
        let rows = self.cube.info().rows;
        (self.row + if self.scatter.is_some() { rows } else { 0 }, 2 * rows)
    }

    /// Reads the next block of rows; false once both passes are complete.
    pub(super) fn read_next(&mut self) -> Result<bool, PreprocessError> {
        let info = self.cube.info();
        if self.row == info.rows {
            if self.scatter.is_some() {
                return Ok(false);
            }
            self.scatter = Some(self.counts.choose(info, self.with_noise)?);
            self.row = 0;
        }
        let row_samples = info.cols * info.bands;
        let end = (self.row + self.samples.len() / row_samples).min(info.rows);
        let block = &mut self.samples[..(end - self.row) * row_samples];
        self.cube.read(&Window { rows: self.row..end, cols: 0..info.cols, bands: 0..info.bands }, block)?;
        match &mut self.scatter {
            None => self.counts.add(block, info.nodata),
            Some(scatter) => scatter.add(block, info),
        }
        self.row = end;
        Ok(true)
    }

    /// The statistics, once [`Scan::read_next`] has said false.
    pub(super) fn finish(self) -> Result<Moments, PreprocessError> {
        let info = self.cube.info();
        let no_data = || PreprocessError::NoData { name: info.name.clone(), bands: info.bands };
        self.scatter.ok_or_else(no_data)?.finish(info)
    }
}

impl Counts {
    pub(super) fn new(bands: usize) -> Self {
        Self { counts: vec![0; bands], sums: vec![0.0; bands], with_data: 0, largest: 0.0 }
    }

    pub(super) fn add(&mut self, samples: &[f64], nodata: Option<f64>) {
        for pixel in samples.chunks_exact(self.counts.len()) {
            let mut any = false;
            for ((&value, count), sum) in pixel.iter().zip(&mut self.counts).zip(&mut self.sums) {
                if is_data(value, nodata) {
                    any = true;
                    *count += 1;
                    *sum += value;
                    self.largest = self.largest.max(value.abs());
                }
            }
            self.with_data += u64::from(any);
        }
    }

    /// The usable bands, 0-based.
    pub(super) fn usable(&self, info: &SceneInfo) -> Result<Vec<usize>, PreprocessError> {
        let name = || info.name.clone();
        if self.largest > LARGEST {
            return Err(PreprocessError::TooLarge { name: name(), largest: self.largest });
        }
        if self.with_data == 0 {
            return Err(PreprocessError::NoData { name: name(), bands: info.bands });
        }
        // A band that is empty in most of the pixels with data would mask nearly everything: it is a bad band that the file
        // does not mark as one.
        let good = |band: &usize| {
            let count = self.counts[*band];
            info.good_bands.get(*band).copied().unwrap_or(true) && count > 0 && 2 * count >= self.with_data
        };
        let bands: Vec<usize> = (0..info.bands).filter(good).collect();
        if bands.is_empty() {
            return Err(PreprocessError::NoBands { name: name(), bands: info.bands });
        }
        Ok(bands)
    }

    /// The usable bands, and a second pass over them.
    fn choose(&self, info: &SceneInfo, with_noise: bool) -> Result<Scatter, PreprocessError> {
        let bands = self.usable(info)?;
        let n = bands.len();
        Ok(Scatter {
            shift: bands.iter().map(|&band| self.sums[band] / self.counts[band] as f64).collect(),
            bands,
            moved: vec![0.0; n],
            outer: Mat::zeros(n, n),
            pixels: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            centred: Vec::new(),
            noise: with_noise.then(|| NeighbourNoise::new(n)),
        })
    }
}

impl Scatter {
    fn add(&mut self, samples: &[f64], info: &SceneInfo) {
        self.centred.clear();
        for pixel in samples.chunks_exact(info.bands) {
            if self.bands.iter().all(|&band| is_data(pixel[band], info.nodata)) {
                self.pixels += 1;
                for ((&band, shift), moved) in self.bands.iter().zip(&self.shift).zip(&mut self.moved) {
                    let value = pixel[band];
                    self.min = self.min.min(value);
                    self.max = self.max.max(value);
                    self.centred.push(value - shift);
                    *moved += value - shift;
                }
            }
        }
        add_outer_products(&mut self.outer, &self.centred, self.bands.len());
        if let Some(noise) = &mut self.noise {
            noise.add(samples, info, &self.bands);
        }
    }

    fn finish(mut self, info: &SceneInfo) -> Result<Moments, PreprocessError> {
        let n = self.bands.len();
        if self.pixels == 0 {
            return Err(PreprocessError::NoData { name: info.name.clone(), bands: n });
        }
        let pixels = self.pixels as f64;
        for value in &mut self.moved {
            *value /= pixels;
        }
        let degrees = (pixels - 1.0).max(1.0);
        let mut covariance = Vec::with_capacity(n * n);
        for i in 0..n {
            for j in 0..n {
                covariance.push((self.outer[(i, j)] - pixels * self.moved[i] * self.moved[j]) / degrees);
            }
        }
        let mean = self.shift.iter().zip(&self.moved).map(|(shift, moved)| shift + moved).collect();
        let noise = self.noise.map(|noise| noise.covariance());
        let Self { bands, pixels, min, max, .. } = self;
        Ok(Moments { bands, pixels, min, max, mean, covariance, noise })
    }
}

/// As many rows as the reader likes, but no more than fit a block.
pub(super) fn rows_at_once(cube: &dyn Cube, row_samples: usize) -> usize {
    cube.preferred_rows().clamp(1, (BLOCK_SAMPLES / row_samples.max(1)).max(1))
}
