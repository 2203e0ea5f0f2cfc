//! The file of band statistics (round 0), and their exact sum: clients with different scenes get one input space.

use safetensors::Dtype;
use thiserror::Error;

use super::tensors::{Layout, numbers};
use super::update::{no_surplus, take};
use super::{Binding, Reason, UpdateError};
use crate::preprocess::BandMoments;
use crate::scene::{Source, SourceError};
use crate::scope::{ExactSum, NotFinite};

/// Headers of these files are at most this long.
pub const STATISTICS_HEADER_MAX: u64 = 4096;

/// Most pixels that a client may count: what an f64 holds exactly.
const COUNT_MAX: u64 = 1 << 53;

/// Sums over the pixels of one client's scenes, resampled to the federation's wavelengths. Pixels cannot be told from them as
/// long as there are many more pixels than bands.
#[derive(Debug, Clone, PartialEq)]
pub struct BandStatistics {
    /// Pixels with data in all bands
    pub count: u64,
    /// Smallest and largest sample
    pub range: [f64; 2],
    /// Σ x, a band each
    pub sum: Vec<f64>,
    /// Σ x xᵀ, `bands × bands`, symmetric
    pub scatter: Vec<f64>,
}

/// Why band statistics are refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum StatisticsError {
    #[error(transparent)]
    File(#[from] UpdateError),
    #[error("{0}")]
    Invalid(&'static str),
}

impl StatisticsError {
    /// The reason of the answer.
    pub fn reason(&self) -> Reason {
        match self {
            Self::File(error) => error.reason(),
            Self::Invalid(_) => Reason::StatisticsInvalid,
        }
    }
}

impl From<SourceError> for StatisticsError {
    fn from(error: SourceError) -> Self {
        Self::File(error.into())
    }
}

/// No file with the statistics of so many bands is longer.
pub fn statistics_bytes(bands: usize) -> u64 {
    let bands = bands as u64;
    8 + STATISTICS_HEADER_MAX + 8 * (1 + 2 + bands + bands * bands)
}

impl BandStatistics {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`StatisticsError`] when it is none, was made for something else, or contradicts itself.
    pub fn read(source: &dyn Source, bands: usize, binding: &Binding) -> Result<Self, StatisticsError> {
        let layout = Layout::read(source, STATISTICS_HEADER_MAX).map_err(UpdateError::from)?;
        binding.check(&layout)?;
        let mut found = layout.tensors;
        let count = take(&mut found, "count", Dtype::U64, &[1])?;
        let range = take(&mut found, "range", Dtype::F64, &[2])?;
        let sum = take(&mut found, "sum", Dtype::F64, &[bands])?;
        let scatter = take(&mut found, "scatter", Dtype::F64, &[bands, bands])?;
        no_surplus(found)?;
        let mut limits = numbers(source, range.at, 0, 2)?;
        let statistics = Self {
            count: numbers(source, count.at, 0, 1)?.next().unwrap_or(0),
            range: [limits.next().unwrap_or(f64::NAN), limits.next().unwrap_or(f64::NAN)],
            sum: numbers(source, sum.at, 0, bands)?.collect(),
            scatter: numbers(source, scatter.at, 0, bands * bands)?.collect(),
        };
        statistics.check()?;
        Ok(statistics)
    }

    /// The file; the same statistics give the same bytes.
    pub fn to_bytes(&self, binding: &Binding) -> Vec<u8> {
        let bands = self.sum.len();
        let mut bytes = binding.header(&[
            ("count".into(), Dtype::U64, vec![1]),
            ("range".into(), Dtype::F64, vec![2]),
            ("sum".into(), Dtype::F64, vec![bands]),
            ("scatter".into(), Dtype::F64, vec![bands, bands]),
        ]);
        bytes.extend(self.count.to_le_bytes());
        for value in self.range.iter().chain(&self.sum).chain(&self.scatter) {
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }

    fn check(&self) -> Result<(), StatisticsError> {
        let bands = self.sum.len();
        let [min, max] = self.range;
        let n = self.count as f64;
        let invalid = |what| Err(StatisticsError::Invalid(what));
        if self.count == 0 || self.count > COUNT_MAX {
            return invalid("the count must be 1 to 2^53 pixels");
        }
        if !(self.range.iter().chain(&self.sum).chain(&self.scatter))
            .all(|value| value.is_finite() && value.abs() <= 1e100)
        {
            return invalid("a number is not finite or above 1e100");
        }
        // Sums are rounded while they are added up; a millionth of the largest possible sum is far above that.
        let slack = n * min.abs().max(max.abs()) * 1e-6;
        if min > max || self.sum.iter().any(|&sum| sum < n * min - slack || sum > n * max + slack) {
            return invalid("the range does not hold the mean of every band");
        }
        for i in 0..bands {
            let square = self.sum[i] * self.sum[i];
            if self.scatter[i * bands + i] * n < square - square.abs() * 1e-6 {
                return invalid("a band has a negative variance");
            }
            if (0..i).any(|j| self.scatter[i * bands + j] != self.scatter[j * bands + i]) {
                return invalid("the scatter matrix is not symmetric");
            }
        }
        Ok(())
    }
}

/// The sum over clients. Exact, so the order in which they are added changes nothing.
///
/// Memory: 280 bytes an entry of the triangle, 37 MB for 512 bands.
pub struct BandSum {
    bands: usize,
    count: u64,
    range: [f64; 2],
    sum: Vec<ExactSum>,
    /// Lower triangle, row by row.
    scatter: Vec<ExactSum>,
}

impl BandSum {
    pub fn new(bands: usize) -> Self {
        Self {
            bands,
            count: 0,
            range: [f64::INFINITY, f64::NEG_INFINITY],
            sum: vec![ExactSum::default(); bands],
            scatter: vec![ExactSum::default(); bands * (bands + 1) / 2],
        }
    }

    /// Adds one client's statistics, of as many bands.
    ///
    /// # Errors
    /// [`NotFinite`]; checked statistics never cause it.
    pub fn add(&mut self, statistics: &BandStatistics) -> Result<(), NotFinite> {
        self.count = self.count.saturating_add(statistics.count);
        self.range = [self.range[0].min(statistics.range[0]), self.range[1].max(statistics.range[1])];
        for (total, &value) in self.sum.iter_mut().zip(&statistics.sum) {
            total.add(value, 1)?;
        }
        let rows = statistics.scatter.chunks_exact(self.bands.max(1)).enumerate();
        let triangle = rows.flat_map(|(row, values)| &values[..=row]);
        for (total, &value) in self.scatter.iter_mut().zip(triangle) {
            total.add(value, 1)?;
        }
        Ok(())
    }

    /// Mean and covariance of all pixels of all clients.
    pub fn moments(&self) -> BandMoments {
        let n = self.count as f64;
        let degrees = (n - 1.0).max(1.0);
        let mean: Vec<f64> = self.sum.iter().map(|sum| sum.divided_by(self.count)).collect();
        let mut covariance = vec![0.0; self.bands * self.bands];
        let mut totals = self.scatter.iter();
        for row in 0..self.bands {
            for col in 0..=row {
                let total = totals.next().map_or(0.0, ExactSum::value);
                let value = (total - n * mean[row] * mean[col]) / degrees;
                covariance[row * self.bands + col] = value;
                covariance[col * self.bands + row] = value;
            }
        }
        BandMoments { pixels: self.count, min: self.range[0], max: self.range[1], mean, covariance }
    }
}
