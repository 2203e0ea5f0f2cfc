//! What a run learns from: the tiles that hold labelled pixels, in memory, and nothing else of the scene.

use std::collections::BTreeSet;
use std::ops::Range;

use super::area::Area;
use super::augment::{Cut, Target};
use super::config::TrainConfig;
use super::error::TrainError;
use super::layout::{Layout, input_size};
use crate::labels::{LabelledPixel, Split};
use crate::preprocess::{PreprocessError, Projected, Projection, Tile};
use crate::scene::Cube;

/// A scene seen through a projection: the network's input, read rectangle by rectangle.
pub trait ProjectedScene {
    /// (rows, columns) of the scene.
    fn size(&self) -> (usize, usize);

    /// Components and mask of a rectangle.
    ///
    /// # Errors
    /// Those of reading and projecting the scene.
    fn read(&self, rows: Range<usize>, cols: Range<usize>) -> Result<Projected, PreprocessError>;
}

/// An opened scene with the projection fitted to it, or kept by a trained model.
pub struct CubeView<'a> {
    pub cube: &'a dyn Cube,
    pub projection: &'a Projection,
}

impl ProjectedScene for CubeView<'_> {
    fn size(&self) -> (usize, usize) {
        (self.cube.info().rows, self.cube.info().cols)
    }

    fn read(&self, rows: Range<usize>, cols: Range<usize>) -> Result<Projected, PreprocessError> {
        self.projection.project(self.cube, rows, cols)
    }
}

/// One tile and the labelled pixels it teaches or checks.
#[derive(Debug, Clone)]
pub struct TileData {
    pub cut: Cut,
    pub area: Area,
    /// Training pixels that the tile can show.
    pub train: Vec<Target>,
    /// Validation pixels that this tile decides.
    pub val: Vec<Target>,
}

/// The tiles of a run.
#[derive(Debug, Clone)]
pub struct TrainingData {
    layout: Layout,
    components: usize,
    classes: usize,
    train: Vec<Target>,
    val: Vec<Target>,
    /// Tiles still to be read.
    waiting: Vec<Tile>,
    tiles: Vec<TileData>,
}

impl TrainingData {
    /// Checks the split against the scene and finds the tiles that it needs; [`read_next`](Self::read_next) then reads
    /// them one by one.
    ///
    /// # Errors
    /// [`TrainError::Config`], [`TrainError::PixelOutside`], [`TrainError::ClassOutside`], [`TrainError::TooFewClasses`].
    pub fn new(
        scene: &dyn ProjectedScene,
        components: usize,
        classes: usize,
        split: &Split,
        config: &TrainConfig,
    ) -> Result<Self, TrainError> {
        let (rows, cols) = scene.size();
        Self::of_size(scene, components, classes, split, config, input_size(rows, cols, config))
    }

    /// The same for a network whose input is `size` (height, width) whatever the scene: networks of one federation have one
    /// size, scenes have theirs.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_size(
        scene: &dyn ProjectedScene,
        components: usize,
        classes: usize,
        split: &Split,
        config: &TrainConfig,
        size: [usize; 2],
    ) -> Result<Self, TrainError> {
        config.validate()?;
        let (rows, cols) = scene.size();
        let layout = Layout::new(rows, cols, size, config)?;
        let targets = |pixels: &[LabelledPixel]| -> Result<Vec<Target>, TrainError> {
            let target = |pixel: &LabelledPixel| {
                let index = pixel.index as usize;
                if index >= rows * cols {
                    return Err(TrainError::PixelOutside { index, rows, cols });
                }
                if pixel.class == 0 || usize::from(pixel.class) > classes {
                    return Err(TrainError::ClassOutside { class: pixel.class, classes });
                }
                Ok(Target { row: index / cols, col: index % cols, class: usize::from(pixel.class) - 1 })
            };
            pixels.iter().map(target).collect()
        };
        let (train, val) = (targets(&split.train)?, targets(&split.val)?);
        let present: BTreeSet<usize> = train.iter().map(|target| target.class).collect();
        if present.len() < 2 {
            return Err(TrainError::TooFewClasses { present: present.len() });
        }
        let shows =
            |tile: &Tile, target: &Target| tile.rows.seen.contains(&target.row) && tile.cols.seen.contains(&target.col);
        let owners: BTreeSet<usize> = val.iter().map(|target| layout.owner(target.row, target.col)).collect();
        let mut waiting: Vec<Tile> = layout
            .tiling()
            .iter()
            .filter(|tile| owners.contains(&tile.index) || train.iter().any(|target| shows(tile, target)))
            .collect();
        waiting.reverse();
        Ok(Self { layout, components, classes, train, val, waiting, tiles: Vec::new() })
    }

    /// Reads the next tile; true while there are more.
    ///
    /// # Errors
    /// Those of reading the scene, and [`TrainError::OtherScene`] when it is not the planned one.
    pub fn read_next(&mut self, scene: &dyn ProjectedScene) -> Result<bool, TrainError> {
        if scene.size() != self.layout.scene() {
            return Err(TrainError::OtherScene { planned: self.layout.scene(), found: scene.size() });
        }
        let Some(tile) = self.waiting.pop() else { return Ok(false) };
        let (rows, cols) = self.layout.needed(&tile);
        let Projected { values, components, .. } = scene.read(rows.clone(), cols.clone())?;
        if components != self.components {
            return Err(TrainError::Components { expected: self.components, found: components });
        }
        let inside = |target: &&Target| rows.contains(&target.row) && cols.contains(&target.col);
        let train = self.train.iter().filter(inside).copied().collect();
        let owned = |target: &&Target| self.layout.owner(target.row, target.col) == tile.index;
        let val = self.val.iter().filter(owned).copied().collect();
        let area = Area { scene: self.layout.scene(), rows, cols, components: self.components, values };
        self.tiles.push(TileData { cut: self.layout.cut(&tile), area, train, val });
        Ok(!self.waiting.is_empty())
    }

    /// Reads all tiles.
    ///
    /// # Errors
    /// As [`read_next`](Self::read_next).
    pub fn read_all(&mut self, scene: &dyn ProjectedScene) -> Result<(), TrainError> {
        while self.read_next(scene)? {}
        Ok(())
    }

    /// Tiles read and tiles in all.
    pub fn progress(&self) -> (usize, usize) {
        (self.tiles.len(), self.tiles.len() + self.waiting.len())
    }

    pub fn is_complete(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn components(&self) -> usize {
        self.components
    }

    pub fn classes(&self) -> usize {
        self.classes
    }

    pub fn tiles(&self) -> &[TileData] {
        &self.tiles
    }

    /// Number of validation pixels.
    pub fn validation_pixels(&self) -> usize {
        self.val.len()
    }

    /// Training pixels of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        for target in &self.train {
            counts[target.class] += 1;
        }
        counts
    }

    /// Standard deviation of each component over the tiles in memory, the unit of spectral augmentation.
    pub fn deviations(&self) -> Vec<f32> {
        (0..self.components)
            .map(|component| {
                let (mut count, mut sum, mut squares) = (0usize, 0.0f64, 0.0f64);
                for tile in &self.tiles {
                    let plane = tile.area.rows.len() * tile.area.cols.len();
                    for &value in &tile.area.values[component * plane..(component + 1) * plane] {
                        count += 1;
                        sum += f64::from(value);
                        squares += f64::from(value) * f64::from(value);
                    }
                }
                let mean = sum / count.max(1) as f64;
                (squares / count.max(1) as f64 - mean * mean).max(0.0).sqrt() as f32
            })
            .collect()
    }

    /// Identifies scene cut and labels, so that a checkpoint is not resumed on others (FNV-1a).
    pub fn fingerprint(&self) -> u64 {
        let (rows, cols) = self.layout.scene();
        let [height, width] = self.layout.size();
        let mut numbers = vec![rows, cols, height, width, self.layout.tiling().len(), self.components, self.classes];
        for (list, targets) in [(1, &self.train), (2, &self.val)] {
            numbers.push(list);
            numbers.extend(targets.iter().flat_map(|target| [target.row, target.col, target.class]));
        }
        numbers
            .iter()
            .flat_map(|number| (*number as u64).to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }
}
