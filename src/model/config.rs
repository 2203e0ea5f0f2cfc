//! Shapes of HyperSIGMA: the sizes of the paper, our own small ones, and what fits together.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Channels into which every feature is reduced before the head (`DR1..4`, `l1` and the inner width of `fc_spec`).
pub const REDUCED: usize = 128;

/// What the network says about a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// A class for every pixel of the tile.
    Segmentation,
    /// One class for the whole window, meant for its centre pixel.
    Classification,
}

/// Everything that fixes the shapes of a network. Plain data; [`Config::validate`] says whether it can be built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    pub task: Task,
    /// Rows of the tile in pixels. The official networks know only square tiles; nothing here needs that.
    pub rows: usize,
    /// Columns of the tile in pixels.
    pub cols: usize,
    /// Side of a spatial patch in pixels. Pixels past the last whole patch are not seen by the spatial encoder.
    pub patch: usize,
    /// Input channels: principal components of the spectrum.
    pub components: usize,
    /// Outputs of the head.
    pub classes: usize,
    pub embed_dim: usize,
    /// Blocks of the spatial encoder.
    pub depth: usize,
    pub heads: usize,
    /// Width of the MLP between its two layers, in multiples of `embed_dim`.
    pub mlp_ratio: usize,
    /// Block i attends to all tokens if (i + 1) is a multiple of this; the others sample sparsely.
    pub interval: usize,
    /// Samples a query takes in sparse sampling attention.
    pub points: usize,
    /// Tokens of the spectral encoder: a square number, laid out as a square grid.
    pub spectral_tokens: usize,
    /// Blocks of the spectral encoder that run: up to the one whose output feeds the SEM. Later ones change nothing.
    pub spectral_blocks: usize,
    /// Spatial blocks whose outputs become the four features, shallowest first.
    pub features: [usize; 4],
    /// Stochastic depth of the last block while training, growing linearly from 0 (official: 0.1).
    pub drop_path: f64,
    /// Dropout of the classification head while training (official: 0.4).
    pub dropout: f64,
    /// Keep what the official state dict holds but the forward pass never uses (dead spectral blocks, unused layers),
    /// so that a complete official checkpoint can be written again.
    pub complete: bool,
}

/// A configuration that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error(
        "the tile of {rows} × {cols} pixels with patch {patch} has {grid_rows} × {grid_cols} tokens, but this network needs at least {least} × {least}; choose a larger tile or a smaller patch"
    )]
    Grid { rows: usize, cols: usize, patch: usize, grid_rows: usize, grid_cols: usize, least: usize },
    #[error("patch {patch} is not one of {allowed}")]
    Patch { patch: usize, allowed: &'static str },
    #[error("the width {embed_dim} cannot be split among {heads} heads; choose a multiple")]
    Heads { embed_dim: usize, heads: usize },
    #[error("{tokens} spectral tokens do not form a square; choose 16, 25, 36, … 100")]
    SpectralTokens { tokens: usize },
    #[error("features are taken after blocks {}, {}, {} and {}, which must not fall and must stay below the depth {depth}", features[0], features[1], features[2], features[3])]
    Features { features: [usize; 4], depth: usize },
    #[error("{blocks} spectral blocks of a depth of {depth}: choose 1 to {depth}")]
    SpectralBlocks { blocks: usize, depth: usize },
    #[error("{what} is {value}, but must be 1 to {most}")]
    Bounds { what: &'static str, value: usize, most: usize },
    #[error("stochastic depth and dropout must be at least 0 and below 1")]
    Noise,
}

impl Config {
    /// ViT-B: 12 blocks of 768, 12 heads.
    pub fn base(task: Task, tile: [usize; 2], components: usize, classes: usize) -> Self {
        Self {
            embed_dim: 768,
            depth: 12,
            heads: 12,
            interval: 3,
            ..Self::vit(task, tile, components, classes, [3, 5, 7, 11])
        }
    }

    /// ViT-L: 24 blocks of 1024, 16 heads.
    pub fn large(task: Task, tile: [usize; 2], components: usize, classes: usize) -> Self {
        Self {
            embed_dim: 1024,
            depth: 24,
            heads: 16,
            interval: 6,
            ..Self::vit(task, tile, components, classes, [7, 11, 15, 23])
        }
    }

    /// ViT-H: 32 blocks of 1280, 16 heads.
    pub fn huge(task: Task, tile: [usize; 2], components: usize, classes: usize) -> Self {
        Self {
            embed_dim: 1280,
            depth: 32,
            heads: 16,
            interval: 8,
            ..Self::vit(task, tile, components, classes, [10, 15, 20, 31])
        }
    }

    /// Our own small size for a browser tab: trains from scratch in minutes on a CPU. All blocks sample sparsely.
    ///
    /// The shape of the few-shot experiments (ten labels a class). Depth and width have not been compared systematically.
    pub fn nano(task: Task, tile: [usize; 2], components: usize, classes: usize) -> Self {
        Self {
            patch: 2,
            embed_dim: 64,
            depth: 4,
            heads: 4,
            interval: 5,
            ..Self::vit(task, tile, components, classes, [0, 1, 2, 3])
        }
    }

    /// The small shape of the reference data, for tests.
    pub fn tiny(task: Task, tile: [usize; 2], components: usize, classes: usize) -> Self {
        Self {
            embed_dim: 48,
            depth: 4,
            heads: 4,
            interval: 2,
            spectral_tokens: 16,
            spectral_blocks: 2,
            ..Self::vit(task, tile, components, classes, [0, 1, 2, 3])
        }
    }

    /// What all sizes share. The official patch is 8 for segmentation and 2 for classification.
    fn vit(task: Task, [rows, cols]: [usize; 2], components: usize, classes: usize, features: [usize; 4]) -> Self {
        Self {
            task,
            rows,
            cols,
            patch: if task == Task::Segmentation { 8 } else { 2 },
            components,
            classes,
            embed_dim: 0,
            depth: 0,
            heads: 0,
            mlp_ratio: 4,
            interval: 0,
            points: 8,
            spectral_tokens: 100,
            // The SEM takes the first collected feature (ss_fusion_seg.py:217).
            spectral_blocks: features[0] + 1,
            features,
            drop_path: 0.1,
            dropout: 0.4,
            complete: false,
        }
    }

    /// Tokens of the spatial encoder: `[rows, cols]` of whole patches.
    pub fn grid(&self) -> [usize; 2] {
        [self.rows / self.patch, self.cols / self.patch]
    }

    /// Tokens of the spectral encoder as a grid: token t lies at row t / side, column t % side.
    pub fn spectral_grid(&self) -> [usize; 2] {
        let side = self.spectral_tokens.isqrt();
        [side, side]
    }

    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.embed_dim / self.heads
    }

    /// Does block `index` attend to all tokens? (SpatViT_fusion.py:435)
    pub fn attends_fully(&self, index: usize) -> bool {
        (index + 1).is_multiple_of(self.interval)
    }

    /// Stochastic depth of block `index`.
    pub fn drop_path_of(&self, index: usize) -> f64 {
        if self.depth > 1 { self.drop_path * index as f64 / (self.depth - 1) as f64 } else { 0.0 }
    }

    /// How each feature, shallowest first, is brought to its own scale (SpatViT_fusion.py:445-511).
    pub fn scales(&self) -> [Scale; 4] {
        use Scale::{Double, Keep, Pool};
        match self.patch {
            1 | 2 => [Double, Keep, Pool(2), Pool(4)],
            4 | 8 => [Keep, Keep, Pool(2), Pool(4)],
            _ => [Keep; 4],
        }
    }

    /// Entries of one SEM weight vector: it scales the features before `DR` in segmentation, after it in classification.
    pub fn enhanced_channels(&self) -> usize {
        match self.task {
            Task::Segmentation => self.embed_dim,
            Task::Classification => REDUCED,
        }
    }

    /// Checks that everything fits together.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        // The upper bounds keep every product far from overflow and the constant matrices small, whatever a file says.
        let bounded = [
            (self.rows, 4096, "the number of rows"),
            (self.cols, 4096, "the number of columns"),
            (self.patch, 16, "the patch"),
            (self.components, 4096, "the number of components"),
            (self.classes, 4096, "the number of classes"),
            (self.embed_dim, 8192, "the width"),
            (self.depth, 128, "the depth"),
            (self.heads, 128, "the number of heads"),
            (self.mlp_ratio, 16, "the MLP ratio"),
            (self.interval, 1024, "the interval"),
            (self.points, 64, "the number of points"),
            (self.spectral_tokens, 4096, "the number of spectral tokens"),
        ];
        if let Some((value, most, what)) = bounded.into_iter().find(|(value, most, _)| !(1..=*most).contains(value)) {
            return Err(ConfigError::Bounds { what, value, most });
        }
        if !(0.0..1.0).contains(&self.drop_path) || !(0.0..1.0).contains(&self.dropout) {
            return Err(ConfigError::Noise);
        }
        // The official classification network of patch 16 has layers of its own that are not built here.
        let allowed = match self.task {
            Task::Segmentation => ([1, 2, 4, 8, 16].as_slice(), "1, 2, 4, 8, 16"),
            Task::Classification => ([1, 2, 4, 8].as_slice(), "1, 2, 4, 8 (classification)"),
        };
        if !allowed.0.contains(&self.patch) {
            return Err(ConfigError::Patch { patch: self.patch, allowed: allowed.1 });
        }
        let [grid_rows, grid_cols] = self.grid();
        let least = self.scales().iter().map(Scale::least_grid).max().unwrap_or(1);
        if grid_rows < least || grid_cols < least {
            let Self { rows, cols, patch, .. } = *self;
            return Err(ConfigError::Grid { rows, cols, patch, grid_rows, grid_cols, least });
        }
        if !self.embed_dim.is_multiple_of(self.heads) {
            return Err(ConfigError::Heads { embed_dim: self.embed_dim, heads: self.heads });
        }
        let side = self.spectral_tokens.isqrt();
        if side == 0 || side * side != self.spectral_tokens {
            return Err(ConfigError::SpectralTokens { tokens: self.spectral_tokens });
        }
        if !self.features.is_sorted() || self.features[3] >= self.depth {
            return Err(ConfigError::Features { features: self.features, depth: self.depth });
        }
        if !(1..=self.depth).contains(&self.spectral_blocks) {
            return Err(ConfigError::SpectralBlocks { blocks: self.spectral_blocks, depth: self.depth });
        }
        Ok(())
    }
}

/// How a feature is brought to its own scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Twice the grid, by a transposed convolution.
    Double,
    /// The grid itself.
    Keep,
    /// Maximum over squares of this side; leftover rows and columns are dropped.
    Pool(usize),
}

impl Scale {
    /// The grid of the feature on a token grid.
    pub fn grid(&self, [rows, cols]: [usize; 2]) -> [usize; 2] {
        match *self {
            Self::Double => [2 * rows, 2 * cols],
            Self::Keep => [rows, cols],
            Self::Pool(side) => [rows / side, cols / side],
        }
    }

    fn least_grid(&self) -> usize {
        match *self {
            Self::Pool(side) => side,
            _ => 1,
        }
    }
}
