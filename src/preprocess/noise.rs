//! The noise of a scene, estimated from its neighbouring pixels.

use faer::Mat;

use super::eigen::add_outer_products;
use super::moments::is_data;
use crate::scene::SceneInfo;

/// Covariance of the noise, streamed over row blocks from the top: half that of the difference between neighbours, left
/// and right as well as above and below. Where fields are larger than pixels, neighbours share their signal, and what they
/// differ by is the noise of both.
///
/// Green, Berman, Switzer and Craig, "A transformation for ordering multispectral data in terms of image quality with
/// implications for noise removal", IEEE TGRS 26(1), 1988 (section III: shift differences).
pub(super) struct NeighbourNoise {
    /// Sum of the outer products of the differences.
    outer: Mat<f64>,
    pairs: u64,
    /// The row before the next one: used bands of each pixel, NaN where one of them holds no data.
    above: Vec<f64>,
    row: Vec<f64>,
    differences: Vec<f64>,
}

impl NeighbourNoise {
    /// Of so many used bands.
    pub(super) fn new(bands: usize) -> Self {
        let (above, row, differences) = (Vec::new(), Vec::new(), Vec::new());
        Self { outer: Mat::zeros(bands, bands), pairs: 0, above, row, differences }
    }

    /// Adds the next rows, `[row][col][band]` with all bands of the scene. Only pixels with data in each of the used
    /// `bands` count.
    pub(super) fn add(&mut self, samples: &[f64], info: &SceneInfo, bands: &[usize]) {
        for row in samples.chunks_exact(info.cols * info.bands) {
            self.row.clear();
            for pixel in row.chunks_exact(info.bands) {
                let complete = bands.iter().all(|&band| is_data(pixel[band], info.nodata));
                self.row.extend(bands.iter().map(|&band| if complete { pixel[band] } else { f64::NAN }));
            }
            let n = bands.len();
            let neighbours = self.row.chunks_exact(n).zip(self.row[n..].chunks_exact(n));
            let neighbours = neighbours.chain(self.row.chunks_exact(n).zip(self.above.chunks_exact(n)));
            self.differences.clear();
            for (pixel, neighbour) in neighbours {
                if !pixel[0].is_nan() && !neighbour[0].is_nan() {
                    self.pairs += 1;
                    self.differences.extend(pixel.iter().zip(neighbour).map(|(a, b)| a - b));
                }
            }
            add_outer_products(&mut self.outer, &self.differences, n);
            std::mem::swap(&mut self.above, &mut self.row);
        }
    }

    /// `bands × bands`, row-major; all 0 where no two neighbours hold data.
    pub(super) fn covariance(&self) -> Vec<f64> {
        let n = self.outer.nrows();
        let divisor = 2.0 * self.pairs.max(1) as f64;
        (0..n * n).map(|at| self.outer[(at / n, at % n)] / divisor).collect()
    }
}
