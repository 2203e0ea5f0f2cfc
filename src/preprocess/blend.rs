//! Merging overlapping tiles without seams.
//!
//! In an overlap the outputs of all tiles are averaged with weights that fall linearly towards a tile's inner border, so
//! that no tile begins or ends with a step. Tiles arrive in row-major order; after each one a rectangle is finished and
//! leaves, so that only one row of tiles is held.

use std::ops::Range;

use super::{PreprocessError, Tile, Tiling};

/// A finished rectangle of the merged output.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub rows: Range<usize>,
    pub cols: Range<usize>,
    /// `[channel][row][col]`.
    pub values: Vec<f32>,
}

/// Merges tile outputs into a seamless whole.
pub struct Blend {
    tiling: Tiling,
    channels: usize,
    next: usize,
    /// Rows `top..top + tile rows` of the scene: weighted sums `[channel][row][col]` and weights `[row][col]`.
    top: usize,
    sums: Vec<f32>,
    weights: Vec<f32>,
}

/// Memory that a merge may take.
const LARGEST_BYTES: u128 = 1 << 30;

impl Blend {
    /// # Errors
    /// [`PreprocessError::Memory`] when one row of tiles would take more than 1 GiB.
    pub fn new(tiling: &Tiling, channels: usize) -> Result<Self, PreprocessError> {
        let pixels = tiling.tile_size().0 as u128 * tiling.cols as u128;
        let bytes = pixels * (channels as u128 + 1) * 4;
        if bytes > LARGEST_BYTES {
            return Err(PreprocessError::Memory { bytes });
        }
        let pixels = pixels as usize;
        Ok(Self {
            tiling: tiling.clone(),
            channels,
            next: 0,
            top: 0,
            sums: vec![0.0; pixels * channels],
            weights: vec![0.0; pixels],
        })
    }

    /// The tile that [`Blend::add`] expects; `None` when all have been merged.
    pub fn next_tile(&self) -> Option<Tile> {
        self.tiling.get(self.next)
    }

    /// Merges the output of the next tile (`[channel][row][col]` of the pixels that the tile sees, without padding) and
    /// gives the rectangle that is finished by it.
    ///
    /// # Errors
    /// [`PreprocessError`] when the values are not as many as the tile has, or all tiles have been merged.
    pub fn add(&mut self, values: &[f32]) -> Result<Block, PreprocessError> {
        let Some(tile) = self.next_tile() else {
            return Err(PreprocessError::TooManyTiles { tiles: self.tiling.len() });
        };
        let (height, width) = (tile.rows.seen.len(), tile.cols.seen.len());
        let expected = self.channels * height * width;
        if values.len() != expected {
            return Err(PreprocessError::TileValues { tile: tile.index, expected, given: values.len() });
        }
        self.move_to(tile.rows.seen.start);
        let (row_starts, col_starts) = self.tiling.starts();
        let down = ramps(row_starts, tile.rows.seen.start, height);
        let across = ramps(col_starts, tile.cols.seen.start, width);
        let cols = self.tiling.cols;
        let plane = height * cols;
        for (r, down) in down.iter().enumerate() {
            let line = r * cols + tile.cols.seen.start;
            for (c, across) in across.iter().enumerate() {
                let weight = down * across;
                self.weights[line + c] += weight;
                for channel in 0..self.channels {
                    self.sums[channel * plane + line + c] += weight * values[(channel * height + r) * width + c];
                }
            }
        }
        self.next += 1;
        let Tile { rows, cols: columns, .. } = tile;
        let (rows, columns) = (rows.finished, columns.finished);
        let mut finished = Vec::with_capacity(self.channels * rows.len() * columns.len());
        for channel in 0..self.channels {
            for row in rows.clone() {
                let line = (row - self.top) * cols;
                finished.extend(
                    columns.clone().map(|col| self.sums[channel * plane + line + col] / self.weights[line + col]),
                );
            }
        }
        Ok(Block { rows, cols: columns, values: finished })
    }

    /// Shifts the held rows so that they begin at `top`.
    fn move_to(&mut self, top: usize) {
        let shift = (top - self.top) * self.tiling.cols;
        if shift == 0 {
            return;
        }
        let plane = self.weights.len();
        let shift = shift.min(plane);
        for plane in self.sums.chunks_exact_mut(plane).chain([self.weights.as_mut_slice()]) {
            plane.copy_within(shift.., 0);
            let kept = plane.len() - shift;
            plane[kept..].fill(0.0);
        }
        self.top = top;
    }
}

/// Weights along one axis of the tile that begins at `start`: rising over the overlap with the tile before, falling over
/// the overlap with the tile after, never 0. Two neighbours' weights add up to 1.
fn ramps(starts: &[usize], start: usize, length: usize) -> Vec<f32> {
    let position = starts.partition_point(|other| *other < start);
    let overlap = |from: usize, to: usize| (from + length).saturating_sub(to);
    let before = position.checked_sub(1).map_or(0, |before| overlap(starts[before], start));
    let after = starts.get(position + 1).map_or(0, |after| overlap(start, *after));
    let ramp =
        |inside: usize, overlap: usize| if inside < overlap { (inside + 1) as f32 / (overlap + 1) as f32 } else { 1.0 };
    (0..length).map(|i| ramp(i, before).min(ramp(length - 1 - i, after))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Merges tiles cut out of `field` (channel, row, col) plus `error` (tile, row in tile, col in tile).
    fn merged(
        tiling: &Tiling,
        field: impl Fn(usize, usize, usize) -> f32,
        error: impl Fn(&Tile, usize, usize) -> f32,
    ) -> Vec<f32> {
        let channels = 2;
        let mut blend = Blend::new(tiling, channels).expect("small");
        let mut whole = vec![f32::NAN; channels * tiling.rows * tiling.cols];
        while let Some(tile) = blend.next_tile() {
            let mut values = Vec::new();
            for channel in 0..channels {
                for row in tile.rows.seen.clone() {
                    for col in tile.cols.seen.clone() {
                        values.push(
                            field(channel, row, col)
                                + error(&tile, row - tile.rows.seen.start, col - tile.cols.seen.start),
                        );
                    }
                }
            }
            let block = blend.add(&values).expect("the next tile");
            let mut block_values = block.values.iter();
            for channel in 0..channels {
                for row in block.rows.clone() {
                    for col in block.cols.clone() {
                        let at = (channel * tiling.rows + row) * tiling.cols + col;
                        assert!(whole[at].is_nan(), "finished twice");
                        whole[at] = *block_values.next().expect("a value a pixel");
                    }
                }
            }
        }
        whole
    }

    const SIZES: [(usize, usize, usize, usize); 5] =
        [(41, 30, 16, 4), (9, 70, 16, 12), (16, 16, 16, 0), (50, 33, 10, 0), (37, 37, 12, 11)];

    #[test]
    fn agreeing_tiles_give_the_field_itself() {
        for (rows, cols, tile, overlap) in SIZES {
            let tiling = Tiling::new(rows, cols, (tile, tile), overlap).expect("valid sizes");
            let field =
                |channel: usize, row: usize, col: usize| 3.0 * channel as f32 + 0.5 * row as f32 - 0.25 * col as f32;
            let whole = merged(&tiling, field, |_, _, _| 0.0);
            for (at, value) in whole.iter().enumerate() {
                let (channel, row, col) = (at / (rows * cols), at / cols % rows, at % cols);
                assert!((value - field(channel, row, col)).abs() < 2e-5, "{value} at {row}, {col}");
            }
        }
    }

    #[test]
    fn disagreeing_tiles_leave_no_step() {
        // Every tile is off by its own constant in 0..1: the hard rule steps by up to 1, the blend spreads it.
        let (rows, cols, tile, overlap) = (64, 64, 24, 12);
        let tiling = Tiling::new(rows, cols, (tile, tile), overlap).expect("valid sizes");
        let off = |index: usize| (index * 7 % 5) as f32 / 4.0;
        let whole = merged(&tiling, |_, _, _| 0.0, |tile, _, _| off(tile.index));
        let owner = tile_owner_field(&tiling, overlap, off);
        let steepest = |field: &[f32]| {
            let mut steepest = 0f32;
            for row in 0..rows - 1 {
                for col in 0..cols - 1 {
                    let here = field[row * cols + col];
                    steepest = steepest
                        .max((field[row * cols + col + 1] - here).abs())
                        .max((field[(row + 1) * cols + col] - here).abs());
                }
            }
            steepest
        };
        // The real overlap is at least 12, so a step of 1 becomes 1/13 a pixel along an axis, plus rounding.
        assert!(steepest(&whole[..rows * cols]) < 1.0 / 12.0, "{}", steepest(&whole[..rows * cols]));
        assert!(steepest(&owner) >= 0.75);
    }

    fn tile_owner_field(tiling: &Tiling, overlap: usize, off: impl Fn(usize) -> f32) -> Vec<f32> {
        let owner = super::super::tile_owner(tiling.rows, tiling.cols, tiling.tile.0, overlap).expect("valid sizes");
        owner.into_iter().map(off).collect()
    }

    #[test]
    fn border_errors_fade() {
        // A network errs at the borders of its tiles; inside the scene such errors get small weights.
        let tiling = Tiling::new(16, 64, (32, 32), 16).expect("valid sizes");
        let whole = merged(&tiling, |_, _, _| 1.0, |_, _, col| if col == 0 || col == 31 { 1.0 } else { 0.0 });
        let inner = &whole[1..63];
        assert!(inner.iter().all(|value| (value - 1.0).abs() < 0.07), "{inner:?}");
    }

    #[test]
    fn wrong_calls() {
        let tiling = Tiling::new(4, 4, (4, 4), 0).expect("valid sizes");
        let mut blend = Blend::new(&tiling, 1).expect("small");
        assert_eq!(blend.add(&[0.0]), Err(PreprocessError::TileValues { tile: 0, expected: 16, given: 1 }));
        blend.add(&[0.0; 16]).expect("the only tile");
        assert_eq!(blend.add(&[0.0; 16]), Err(PreprocessError::TooManyTiles { tiles: 1 }));
        let wide = Tiling::new(512, 10_000_000, (512, 512), 0).expect("valid sizes");
        assert!(matches!(Blend::new(&wide, 16), Err(PreprocessError::Memory { .. })));
    }
}
