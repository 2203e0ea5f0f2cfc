//! A rectangle of the projected scene in memory, from which tiles are cut; past the scene's border it is mirrored.

use std::ops::Range;

/// Components of a rectangle of the scene.
#[derive(Debug, Clone, PartialEq)]
pub struct Area {
    /// Size of the whole scene.
    pub scene: (usize, usize),
    pub rows: Range<usize>,
    pub cols: Range<usize>,
    pub components: usize,
    /// `[component][row][col]`.
    pub values: Vec<f32>,
}

/// The part of one axis that a tile at `start` (may be negative) of length `length` shows, mirroring included.
pub fn needed(start: isize, length: usize, scene: usize) -> Range<usize> {
    let shown = || (start..start + length as isize).map(|index| mirror(index, scene));
    shown().min().unwrap_or(0)..shown().max().map_or(0, |last| last + 1)
}

/// The pixel shown at `index` of an axis continued by mirror images, the border pixel repeated.
pub fn mirror(index: isize, length: usize) -> usize {
    let period = 2 * length as isize;
    let index = index.rem_euclid(period);
    (if index < length as isize { index } else { period - 1 - index }) as usize
}

/// One of the eight symmetries of the square: mirror along columns, then along rows, then transpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dihedral {
    pub flip_cols: bool,
    pub flip_rows: bool,
    pub transpose: bool,
}

impl Dihedral {
    /// All symmetries of a tile of `height × width`: eight of a square, four of a rectangle.
    pub fn all(height: usize, width: usize) -> Vec<Self> {
        let transposes: &[bool] = if height == width { &[false, true] } else { &[false] };
        let mut all = Vec::with_capacity(4 * transposes.len());
        for &transpose in transposes {
            for flips in 0..4 {
                all.push(Self { flip_cols: flips & 1 != 0, flip_rows: flips & 2 != 0, transpose });
            }
        }
        all
    }

    /// Whether it turns the tile (by 90, 180 or 270 degrees or not at all) instead of mirroring it.
    pub fn is_rotation(self) -> bool {
        !(self.flip_cols ^ self.flip_rows ^ self.transpose)
    }

    /// Where in the original tile the pixel shown at (row, col) comes from.
    pub fn source(self, row: usize, col: usize, height: usize, width: usize) -> (usize, usize) {
        let (row, col) = if self.transpose { (col, row) } else { (row, col) };
        (if self.flip_rows { height - 1 - row } else { row }, if self.flip_cols { width - 1 - col } else { col })
    }

    /// Where the original tile's pixel (row, col) is shown; the inverse of [`source`](Self::source).
    pub fn target(self, row: usize, col: usize, height: usize, width: usize) -> (usize, usize) {
        let row = if self.flip_rows { height - 1 - row } else { row };
        let col = if self.flip_cols { width - 1 - col } else { col };
        if self.transpose { (col, row) } else { (row, col) }
    }
}

impl Area {
    /// Number of values the area must have.
    pub fn expected_len(&self) -> usize {
        self.components * self.rows.len() * self.cols.len()
    }

    /// The tile of `height × width` whose first pixel is scene pixel `origin` (may lie outside), seen through `view`, as
    /// `[component][row][col]`. The area must hold everything that [`needed`] asks for.
    pub fn tile(&self, origin: (isize, isize), height: usize, width: usize, view: Dihedral) -> Vec<f32> {
        let (area_rows, area_cols) = (self.rows.len(), self.cols.len());
        let row_of: Vec<usize> =
            (0..height).map(|row| mirror(origin.0 + row as isize, self.scene.0) - self.rows.start).collect();
        let col_of: Vec<usize> =
            (0..width).map(|col| mirror(origin.1 + col as isize, self.scene.1) - self.cols.start).collect();
        let mut tile = Vec::with_capacity(self.components * height * width);
        for plane in self.values.chunks_exact(area_rows * area_cols) {
            // A transposed view is only taken of square tiles, so the shown tile has the same size.
            for row in 0..height {
                for col in 0..width {
                    let (row, col) = view.source(row, col, height, width);
                    tile.push(plane[row_of[row] * area_cols + col_of[col]]);
                }
            }
        }
        tile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_with_the_border_repeated() {
        let shown: Vec<usize> = (-4..8).map(|index| mirror(index, 3)).collect();
        assert_eq!(shown, [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]);
    }

    #[test]
    fn asks_for_what_a_tile_shows() {
        for scene in 1..9usize {
            for length in 1..12usize {
                for start in -6..9isize {
                    let range = needed(start, length, scene);
                    assert!(range.end <= scene, "{start} {length} {scene}");
                    for offset in 0..length as isize {
                        assert!(range.contains(&mirror(start + offset, scene)), "{start} {length} {scene}: {range:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn views_are_undone() {
        for (height, width) in [(3, 3), (2, 5)] {
            let views = Dihedral::all(height, width);
            assert_eq!(views.len(), if height == width { 8 } else { 4 });
            assert_eq!(views.iter().filter(|view| view.is_rotation()).count(), views.len() / 2);
            for view in views {
                for row in 0..height {
                    for col in 0..width {
                        let (shown_row, shown_col) = view.target(row, col, height, width);
                        assert_eq!(view.source(shown_row, shown_col, height, width), (row, col));
                    }
                }
            }
        }
    }

    #[test]
    fn cuts_a_mirrored_and_turned_tile() {
        let area = Area { scene: (2, 3), rows: 0..2, cols: 0..3, components: 1, values: vec![1., 2., 3., 4., 5., 6.] };
        let tile = area.tile((-1, 0), 3, 3, Dihedral::default());
        assert_eq!(tile, [1., 2., 3., 1., 2., 3., 4., 5., 6.]);
        let turned = area.tile((-1, 0), 3, 3, Dihedral { flip_rows: true, transpose: true, flip_cols: false });
        assert_eq!(turned, [4., 1., 1., 5., 2., 2., 6., 3., 3.]);
    }
}
