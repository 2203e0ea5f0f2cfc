//! Where tiles lie: evenly spread starts, the last flush with the border.

use std::ops::Range;

use super::PreprocessError;

/// The official rule (demo notebooks of HyperSIGMA; OFFICIAL_BEHAVIOUR.md, 24): `ceil((length − tile) / (tile − overlap)) + 1`
/// starts spread evenly over 0..=length − tile and cut to whole numbers, so neighbours overlap by at least `overlap`. A
/// length of at most one tile gives the start 0 alone.
///
/// # Errors
/// [`PreprocessError`] when the overlap is not smaller than the tile or one of them is 0.
pub fn tile_starts(length: usize, tile: usize, overlap: usize) -> Result<Vec<usize>, PreprocessError> {
    if length == 0 || tile == 0 {
        return Err(PreprocessError::Empty { rows: length, cols: length, tile });
    }
    if overlap >= tile {
        return Err(PreprocessError::Overlap { tile, overlap });
    }
    let Some(last) = length.checked_sub(tile).filter(|last| *last > 0) else { return Ok(vec![0]) };
    let steps = last.div_ceil(tile - overlap);
    // In floating point as numpy.linspace does it, because cutting makes the rounding visible.
    let step = last as f64 / steps as f64;
    Ok((0..=steps).map(|i| if i == steps { last } else { (i as f64 * step) as usize }).collect())
}

/// One tile's place along one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The pixels that the tile sees.
    pub seen: Range<usize>,
    /// The pixels that no later tile changes once this one is merged. The finished ranges of an axis follow each other
    /// without gaps.
    pub finished: Range<usize>,
}

/// A tile: what it sees, and what is finished after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Position in row-major order.
    pub index: usize,
    pub rows: Span,
    pub cols: Span,
}

/// All tiles of a scene, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiling {
    /// Size of the scene.
    pub rows: usize,
    pub cols: usize,
    /// Nominal height and width of a tile; a smaller scene gives smaller tiles, to be enlarged by mirroring if the network
    /// needs more.
    pub tile: (usize, usize),
    row_starts: Vec<usize>,
    col_starts: Vec<usize>,
}

impl Tiling {
    /// # Errors
    /// As [`tile_starts`].
    pub fn new(rows: usize, cols: usize, tile: (usize, usize), overlap: usize) -> Result<Self, PreprocessError> {
        if rows == 0 || cols == 0 || tile.0 == 0 || tile.1 == 0 {
            return Err(PreprocessError::Empty { rows, cols, tile: tile.0.min(tile.1) });
        }
        let (row_starts, col_starts) = (tile_starts(rows, tile.0, overlap)?, tile_starts(cols, tile.1, overlap)?);
        Ok(Self { rows, cols, tile, row_starts, col_starts })
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.row_starts.len() * self.col_starts.len()
    }

    /// Never true: a scene has at least one tile.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Height and width of every tile.
    pub fn tile_size(&self) -> (usize, usize) {
        (self.tile.0.min(self.rows), self.tile.1.min(self.cols))
    }

    /// First rows (columns) of the tiles.
    pub fn starts(&self) -> (&[usize], &[usize]) {
        (&self.row_starts, &self.col_starts)
    }

    /// Tile `index` in row-major order.
    pub fn get(&self, index: usize) -> Option<Tile> {
        let across = self.col_starts.len();
        let (down, right) = (index / across, index % across);
        (down < self.row_starts.len()).then(|| Tile {
            index,
            rows: span(&self.row_starts, down, self.tile.0, self.rows),
            cols: span(&self.col_starts, right, self.tile.1, self.cols),
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = Tile> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

fn span(starts: &[usize], position: usize, tile: usize, length: usize) -> Span {
    let start = starts[position];
    let end = (start + tile).min(length);
    // The starts of overlapping tiles rise, so nothing before the next start is touched again.
    Span { seen: start..end, finished: start..starts.get(position + 1).copied().unwrap_or(length) }
}

/// Which tile decides each pixel under the official rule of merging (OFFICIAL_BEHAVIOUR.md, 25), row-major: tiles are written
/// one over the other, and one that is not in the first row (column) leaves out its first `overlap / 2` rows (columns).
///
/// Kept for comparison: it cuts hard from one tile to the next. [`super::Blend`] has no such seams.
///
/// # Errors
/// As [`tile_starts`].
pub fn tile_owner(rows: usize, cols: usize, tile: usize, overlap: usize) -> Result<Vec<usize>, PreprocessError> {
    let tiling = Tiling::new(rows, cols, (tile, tile), overlap)?;
    let mut owner = vec![0; rows * cols];
    let skip = |start: usize| if start == 0 { 0 } else { start + overlap / 2 };
    for tile in tiling.iter() {
        for row in skip(tile.rows.seen.start)..tile.rows.seen.end {
            for col in skip(tile.cols.seen.start)..tile.cols.seen.end {
                owner[row * cols + col] = tile.index;
            }
        }
    }
    Ok(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_parts_cover_the_scene_once() {
        for (rows, cols, tile, overlap) in [(41, 30, 16, 4), (7, 100, 16, 15), (16, 16, 16, 0), (129, 128, 128, 32)] {
            let tiling = Tiling::new(rows, cols, (tile, tile), overlap).expect("valid sizes");
            let mut times = vec![0; rows * cols];
            for tile in tiling.iter() {
                assert_eq!((tile.rows.seen.len(), tile.cols.seen.len()), tiling.tile_size());
                for row in tile.rows.finished.clone() {
                    for col in tile.cols.finished.clone() {
                        assert!(tile.rows.seen.contains(&row) && tile.cols.seen.contains(&col));
                        times[row * cols + col] += 1;
                    }
                }
            }
            assert!(times.iter().all(|times| *times == 1));
            assert_eq!(tiling.iter().count(), tiling.len());
        }
    }

    #[test]
    fn impossible_tilings() {
        assert_eq!(tile_starts(10, 4, 4), Err(PreprocessError::Overlap { tile: 4, overlap: 4 }));
        assert!(matches!(Tiling::new(0, 5, (4, 4), 0), Err(PreprocessError::Empty { .. })));
        assert!(matches!(Tiling::new(5, 5, (0, 0), 0), Err(PreprocessError::Empty { .. })));
        assert_eq!(tile_starts(3, 4, 0), Ok(vec![0]));
    }
}
