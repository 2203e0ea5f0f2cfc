//! A trained network over a whole scene, tile by tile.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use super::area::{Area, Dihedral};
use super::config::TrainConfig;
use super::data::ProjectedScene;
use super::error::TrainError;
use super::layout::Layout;
use crate::labels::LabelMap;
use crate::model::HyperSigma;
use crate::preprocess::{Blend, Projected, Tile};

/// Class numbers of a rectangle of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapBlock {
    pub rows: Range<usize>,
    pub cols: Range<usize>,
    /// Row-major, 1-based; 0 where the scene has no data.
    pub labels: Vec<u8>,
    /// False for the first impression of a tile, which later views and neighbouring tiles may still change.
    pub finished: bool,
}

impl MapBlock {
    /// Writes the block into a map of the whole scene.
    pub fn write(&self, map: &mut LabelMap) {
        for (line, row) in self.labels.chunks_exact(self.cols.len().max(1)).zip(self.rows.clone()) {
            let start = row * map.cols;
            map.labels[start + self.cols.start..start + self.cols.end].copy_from_slice(line);
        }
    }
}

/// The tile in work.
struct Work {
    tile: Tile,
    area: Area,
    /// Sum of the class probabilities over the views so far, `[class][row][col]` of the pixels that the tile sees.
    sums: Vec<f32>,
    /// Views that showed each pixel.
    counts: Vec<f32>,
    /// Views done.
    done: usize,
}

/// A mapping that is driven step by step, as [`Trainer`](super::Trainer) is: one step is one forward pass.
pub struct Mapper {
    network: HyperSigma,
    device: Device,
    layout: Layout,
    classes: usize,
    /// How each tile is looked at: displacement and symmetry.
    views: Vec<((isize, isize), Dihedral)>,
    blend: Blend,
    work: Option<Work>,
    /// Which pixels of the scene hold data, as far as it was read.
    valid: Vec<bool>,
    tiles_done: usize,
}

impl Mapper {
    /// Maps a scene of `rows × cols` with `network` (outside autodiff, on `device`), looking at each tile as
    /// `config.test_time_augmentation` and `test_time_shifts` say.
    ///
    /// # Errors
    /// [`TrainError::Preprocess`] when the scene is empty or one row of tiles would not fit in memory.
    pub fn new(
        network: HyperSigma,
        rows: usize,
        cols: usize,
        config: &TrainConfig,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let shape = network.config();
        let classes = shape.classes;
        let layout = Layout::new(rows, cols, [shape.rows, shape.cols], config)?;
        let blend = Blend::new(layout.tiling(), classes)?;
        let symmetries = if config.test_time_augmentation {
            Dihedral::all(shape.rows, shape.cols)
        } else {
            vec![Dihedral::default()]
        };
        let shifts = layout.shifts(config.test_time_shifts);
        let views = shifts.iter().flat_map(|shift| symmetries.iter().map(|view| (*shift, *view))).collect();
        let valid = vec![false; rows * cols];
        Ok(Self { network, device: device.clone(), layout, classes, views, blend, work: None, valid, tiles_done: 0 })
    }

    /// Forward passes done and of all.
    pub fn progress(&self) -> (usize, usize) {
        let views = self.views.len();
        let in_work = self.work.as_ref().map_or(0, |work| work.done);
        (self.tiles_done * views + in_work, self.layout.tiling().len() * views)
    }

    pub fn finished(&self) -> bool {
        self.tiles_done == self.layout.tiling().len()
    }

    /// One forward pass. Gives a block after the first view of a tile (a first impression) and after the last (what is
    /// finished by it).
    ///
    /// # Errors
    /// Those of reading the scene and of the device.
    pub async fn step(&mut self, scene: &dyn ProjectedScene) -> Result<Option<MapBlock>, TrainError> {
        let mut work = match self.work.take() {
            Some(work) => work,
            None => match self.blend.next_tile() {
                Some(tile) => self.begin(tile, scene)?,
                None => return Ok(None),
            },
        };
        self.look(&mut work).await?;
        if work.done == self.views.len() {
            return self.end(work).map(Some);
        }
        let block = (work.done == 1).then(|| {
            let (rows, cols) = (work.tile.rows.seen.clone(), work.tile.cols.seen.clone());
            self.labels(rows, cols, &work.sums, false)
        });
        self.work = Some(work);
        Ok(block)
    }

    /// Maps the whole scene without interruption.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn run(&mut self, scene: &dyn ProjectedScene, map: &mut LabelMap) -> Result<(), TrainError> {
        while !self.finished() {
            if let Some(block) = self.step(scene).await? {
                block.write(map);
            }
        }
        Ok(())
    }

    fn begin(&mut self, tile: Tile, scene: &dyn ProjectedScene) -> Result<Work, TrainError> {
        if scene.size() != self.layout.scene() {
            return Err(TrainError::OtherScene { planned: self.layout.scene(), found: scene.size() });
        }
        let (rows, cols) = self.layout.needed(&tile);
        let Projected { values, mask, components, .. } = scene.read(rows.clone(), cols.clone())?;
        let expected = self.network.config().components;
        if components != expected {
            return Err(TrainError::Components { expected, found: components });
        }
        for (line, row) in mask.chunks_exact(cols.len()).zip(rows.clone()) {
            let start = row * self.layout.scene().1;
            self.valid[start + cols.start..start + cols.end].copy_from_slice(line);
        }
        let seen = tile.rows.seen.len() * tile.cols.seen.len();
        let area = Area { scene: self.layout.scene(), rows, cols, components, values };
        Ok(Work { tile, area, sums: vec![0.0; self.classes * seen], counts: vec![0.0; seen], done: 0 })
    }

    /// One view: forward, softmax, and back to where the pixels belong.
    async fn look(&mut self, work: &mut Work) -> Result<(), TrainError> {
        let (shift, view) = self.views[work.done];
        let cut = self.layout.cut(&work.tile);
        let origin = (cut.origin.0 + shift.0, cut.origin.1 + shift.1);
        let (height, width) = (cut.height, cut.width);
        let pixels = work.area.tile(origin, height, width, view);
        let input = TensorData::new(pixels, [1, work.area.components, height, width]);
        let logits = self.network.forward(Tensor::from_data(input, &self.device));
        let logits: Vec<f32> = logits.into_data_async().await?.iter::<f32>().collect(); // [K][H][W]
        if logits.iter().any(|value| !value.is_finite()) {
            return Err(TrainError::NotFinite);
        }
        let (rows, cols) = (&work.tile.rows.seen, &work.tile.cols.seen);
        let (plane, seen) = (height * width, rows.len() * cols.len());
        let mut scores = vec![0.0f32; self.classes];
        for (i, row) in rows.clone().enumerate() {
            for (j, col) in cols.clone().enumerate() {
                // A displaced tile misses outer pixels that it decides; the undisplaced view, the first, has them all.
                let inside = |position: usize, start: isize, side: usize| {
                    usize::try_from(position as isize - start).ok().filter(|offset| *offset < side)
                };
                let (Some(tile_row), Some(tile_col)) = (inside(row, origin.0, height), inside(col, origin.1, width))
                else {
                    continue;
                };
                let (shown_row, shown_col) = view.target(tile_row, tile_col, height, width);
                let at = shown_row * width + shown_col;
                for (class, score) in scores.iter_mut().enumerate() {
                    *score = logits[class * plane + at];
                }
                softmax(&mut scores);
                let pixel = i * cols.len() + j;
                work.counts[pixel] += 1.0;
                for (class, score) in scores.iter().enumerate() {
                    work.sums[class * seen + pixel] += score;
                }
            }
        }
        work.done += 1;
        Ok(())
    }

    fn end(&mut self, mut work: Work) -> Result<MapBlock, TrainError> {
        for plane in work.sums.chunks_exact_mut(work.counts.len()) {
            for (sum, count) in plane.iter_mut().zip(&work.counts) {
                *sum /= count;
            }
        }
        let block = self.blend.add(&work.sums)?;
        self.tiles_done += 1;
        Ok(self.labels(block.rows, block.cols, &block.values, true))
    }

    /// The most probable class of each pixel of a rectangle; `scores` are `[class][row][col]`.
    fn labels(&self, rows: Range<usize>, cols: Range<usize>, scores: &[f32], finished: bool) -> MapBlock {
        let (plane, scene_cols) = (rows.len() * cols.len(), self.layout.scene().1);
        let label = |pixel: usize| {
            let (row, col) = (rows.start + pixel / cols.len(), cols.start + pixel % cols.len());
            if !self.valid[row * scene_cols + col] {
                return 0;
            }
            let best = (0..self.classes).fold((0, f32::MIN), |best, class| {
                let score = scores[class * plane + pixel];
                if score > best.1 { (class, score) } else { best }
            });
            u8::try_from(best.0 + 1).unwrap_or(u8::MAX)
        };
        let labels = (0..plane).map(label).collect();
        MapBlock { rows, cols, labels, finished }
    }
}

fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::MIN, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        sum += *score;
    }
    for score in scores.iter_mut() {
        *score /= sum;
    }
}
