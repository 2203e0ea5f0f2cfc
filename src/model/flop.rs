//! How much work a forward pass is.

use super::config::{Config, REDUCED, Scale, Task};

impl Config {
    /// Floating-point operations of one forward pass of one tile, a multiplication and an addition counting as two.
    /// Norms, activations and biases are left out: together they are under one percent.
    pub fn forward_flop(&self) -> f64 {
        let [rows, cols] = self.grid();
        let count = (rows * cols) as f64;
        let dim = self.embed_dim as f64;
        let bands = self.components as f64;
        let pixels = (self.rows * self.cols) as f64;

        let embed = 2.0 * count * bands * (self.patch * self.patch) as f64 * dim;
        let spatial: f64 = (0..self.depth).map(|i| self.block_flop(i, rows * cols)).sum();

        let tokens = self.spectral_tokens as f64;
        // The cheaper order, as in `SpectralEncoder::forward`.
        let map = if bands < tokens {
            2.0 * bands * pixels * dim + 2.0 * tokens * bands * dim
        } else {
            2.0 * tokens * bands * pixels + 2.0 * tokens * pixels * dim
        };
        let spectral: f64 = (0..self.spectral_blocks).map(|i| self.block_flop(i, self.spectral_tokens)).sum();
        let reduced = REDUCED as f64;
        let enhance = 2.0 * tokens * dim + 8.0 * reduced * (tokens + self.enhanced_channels() as f64);

        embed + spatial + map + spectral + enhance + self.head_flop()
    }

    /// Operations of block `index` over `count` tokens.
    pub fn block_flop(&self, index: usize, count: usize) -> f64 {
        let (count, dim) = (count as f64, self.embed_dim as f64);
        let linear = (8 + 4 * self.mlp_ratio) as f64 * count * dim * dim;
        let attention = if self.attends_fully(index) {
            4.0 * count * count * dim
        } else {
            let points = self.points as f64;
            let offsets = 4.0 * count * dim * self.heads as f64 * points;
            // Four neighbours of key and value for each sample, then the dot product and the weighted sum.
            offsets + count * points * dim * (16.0 + 4.0)
        };
        linear + attention
    }

    fn head_flop(&self) -> f64 {
        let (dim, classes, reduced) = (self.embed_dim as f64, self.classes as f64, REDUCED as f64);
        let [rows, cols] = self.grid();
        let count = (rows * cols) as f64;
        if self.task == Task::Classification {
            return 2.0 * (4.0 * dim * reduced + 512.0 * 256.0 + 256.0 * 128.0 + 128.0 * classes);
        }
        let fuse = 8.0 * reduced * classes * (reduced + dim);
        let mut flop = fuse;
        let mut grids = Vec::new();
        for scale in self.scales() {
            let [h, w] = scale.grid([rows, cols]);
            flop += match scale {
                Scale::Double => 8.0 * dim * dim * classes + 8.0 * count * dim * classes,
                _ => 2.0 * (h * w) as f64 * dim * classes,
            };
            if !grids.contains(&[h, w]) && [h, w] != [self.rows, self.cols] {
                grids.push([h, w]);
                flop += 2.0 * classes * (h * self.cols) as f64 * (w + self.rows) as f64;
            }
        }
        flop
    }
}
