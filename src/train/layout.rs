//! How the tiles of a scene become inputs of the network: all of one size, with room to move.

use std::ops::Range;

use super::area::needed;
use super::augment::Cut;
use super::config::TrainConfig;
use crate::preprocess::{PreprocessError, Tile, Tiling};

/// The tiles of a scene and the network's input size. A scene smaller than that floats inside its tile, mirrored past
/// its borders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    tiling: Tiling,
    size: [usize; 2],
    jitter: [usize; 2],
}

/// The network's input size for a scene: all of the scene, with room for the jitter, where that is not more than the
/// configured tile. A multiple of four patches, because the coarsest feature is pooled by four.
pub fn input_size(rows: usize, cols: usize, config: &TrainConfig) -> [usize; 2] {
    let multiple = (4 * config.patch()).max(8);
    let largest = (config.tile / multiple).max(1) * multiple;
    [rows, cols].map(|length| (length + config.augmentation.jitter).next_multiple_of(multiple).min(largest))
}

impl Layout {
    /// How a scene of `rows × cols` is cut for a network whose input is `size` (height, width).
    ///
    /// # Errors
    /// [`PreprocessError`] for an empty scene or tile.
    pub fn new(rows: usize, cols: usize, size: [usize; 2], config: &TrainConfig) -> Result<Self, PreprocessError> {
        let [height, width] = size;
        let overlap = config.tile_overlap.min(height.min(width) / 2);
        let tiling = Tiling::new(rows, cols, (height, width), overlap)?;
        let room = |length: usize, side: usize| match side.checked_sub(length) {
            // However a floating scene moves, all of it is shown.
            Some(slack) => config.augmentation.jitter.min(slack / 2),
            None => config.augmentation.jitter,
        };
        Ok(Self { tiling, size, jitter: [room(rows, height), room(cols, width)] })
    }

    pub fn tiling(&self) -> &Tiling {
        &self.tiling
    }

    /// (height, width) of the network's input.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// (rows, columns) of the scene.
    pub fn scene(&self) -> (usize, usize) {
        (self.tiling.rows, self.tiling.cols)
    }

    /// Where the network's input lies for a tile.
    pub fn cut(&self, tile: &Tile) -> Cut {
        let [height, width] = self.size;
        let origin = |seen: &Range<usize>, side: usize| seen.start as isize - ((side - seen.len()) / 2) as isize;
        Cut {
            height,
            width,
            origin: (origin(&tile.rows.seen, height), origin(&tile.cols.seen, width)),
            jitter: (self.jitter[0], self.jitter[1]),
        }
    }

    /// Rows and columns of the scene that a tile needs wherever it moves.
    pub fn needed(&self, tile: &Tile) -> (Range<usize>, Range<usize>) {
        let cut = self.cut(tile);
        let (rows, cols) = self.scene();
        (
            needed(cut.origin.0 - cut.jitter.0 as isize, cut.height + 2 * cut.jitter.0, rows),
            needed(cut.origin.1 - cut.jitter.1 as isize, cut.width + 2 * cut.jitter.1, cols),
        )
    }

    /// The tile in whose middle a pixel lies most.
    pub fn owner(&self, row: usize, col: usize) -> usize {
        let distance = |seen: &Range<usize>, pixel: usize| (seen.start + seen.end).abs_diff(2 * pixel + 1);
        let key = |tile: &Tile| (distance(&tile.rows.seen, row).max(distance(&tile.cols.seen, col)), tile.index);
        self.tiling.iter().min_by_key(key).map_or(0, |tile| tile.index)
    }

    /// `count` displacements (rows, columns) for averaging when mapping: none at all first, because only there a tile shows
    /// all the pixels it decides, then evenly round a circle as wide as the jitter.
    pub fn shifts(&self, count: usize) -> Vec<(isize, isize)> {
        let around = count.saturating_sub(1);
        let place = |step: usize| {
            let angle = std::f64::consts::TAU * (step as f64 + 0.5) / around as f64;
            let at = |jitter: usize, part: f64| (jitter as f64 * part).round() as isize;
            (at(self.jitter[0], angle.sin()), at(self.jitter[1], angle.cos()))
        };
        std::iter::once((0, 0)).chain((0..around).map(place)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(rows: usize, cols: usize, tile: usize, jitter: usize) -> Layout {
        let mut config = TrainConfig { tile, tile_overlap: tile / 4, patch: Some(2), ..TrainConfig::default() };
        config.augmentation.jitter = jitter;
        Layout::new(rows, cols, input_size(rows, cols, &config), &config).unwrap()
    }

    fn tile(layout: &Layout, index: usize) -> Tile {
        layout.tiling().get(index).unwrap()
    }

    #[test]
    fn a_scene_that_fits_is_one_tile_with_room_around_it() {
        let layout = layout(145, 145, 160, 4);
        assert_eq!((layout.tiling().len(), layout.size()), (1, [152, 152]));
        let cut = layout.cut(&tile(&layout, 0));
        assert_eq!((cut.origin, cut.jitter), ((-3, -3), (3, 3)));
        assert_eq!(layout.needed(&tile(&layout, 0)), (0..145, 0..145));
    }

    #[test]
    fn without_jitter_a_fitting_scene_is_shown_as_it_is() {
        let layout = layout(144, 64, 160, 0);
        assert_eq!(layout.size(), [144, 64]);
        assert_eq!(layout.cut(&tile(&layout, 0)).origin, (0, 0));
    }

    #[test]
    fn tiles_lie_in_the_scene_and_need_no_more_than_it_has() {
        for (rows, cols) in [(100, 70), (64, 300), (33, 9), (1, 1), (5, 260)] {
            let layout = layout(rows, cols, 64, 3);
            for tile in layout.tiling().iter() {
                let cut = layout.cut(&tile);
                assert!(cut.height.is_multiple_of(8) && cut.width.is_multiple_of(8));
                let (need_rows, need_cols) = layout.needed(&tile);
                assert!(need_rows.end <= rows && need_cols.end <= cols);
                assert!(need_rows.start <= tile.rows.seen.start && tile.rows.seen.end <= need_rows.end);
                assert!(need_cols.start <= tile.cols.seen.start && tile.cols.seen.end <= need_cols.end);
            }
        }
    }

    #[test]
    fn the_owner_shows_the_pixel_nearest_to_its_middle() {
        let layout = layout(100, 100, 64, 0);
        assert_eq!(layout.tiling().len(), 4);
        assert_eq!(layout.owner(0, 0), 0);
        assert_eq!(layout.owner(99, 0), 2);
        assert_eq!(layout.owner(30, 70), 1);
        assert_eq!(layout.owner(70, 30), 2);
    }

    #[test]
    fn shifts_stay_within_the_jitter_and_differ() {
        let layout = layout(145, 145, 160, 4);
        assert_eq!(layout.shifts(1), [(0, 0)]);
        for count in 2..9 {
            let shifts = layout.shifts(count);
            assert_eq!((shifts.len(), shifts[0]), (count, (0, 0)));
            assert!(shifts.iter().all(|&(row, col)| row.abs() <= 3 && col.abs() <= 3));
            let distinct: std::collections::BTreeSet<_> = shifts.iter().collect();
            assert_eq!(distinct.len(), count, "{shifts:?}");
        }
    }
}
