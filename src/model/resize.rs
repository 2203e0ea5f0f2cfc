//! Position tables for another grid: resizing weights on the host, before a network is built.

/// Bicubic resizing of a position table (a = -0.75, corners not aligned, no antialiasing: PyTorch's `bicubic`).
///
/// `table` is `[rows * cols, dim]` of the grid `from` = `[rows, cols]`; the result is that of the grid `to`. The official
/// detection and denoising code drops the first spectral token and stretches the other 99 to 100 the same way, as a grid
/// of one row (SpecViT_fusion.py:517-536).
pub fn resize_position_table(table: &[f32], dim: usize, from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    debug_assert_eq!(table.len(), from[0] * from[1] * dim);
    let rows = taps(from[0], to[0]);
    let cols = taps(from[1], to[1]);
    let mut out = Vec::with_capacity(to[0] * to[1] * dim);
    for row in &rows {
        for col in &cols {
            let start = out.len();
            out.resize(start + dim, 0.0);
            for (r, row_weight) in row {
                for (c, col_weight) in col {
                    let weight = row_weight * col_weight;
                    let source = &table[(r * from[1] + c) * dim..][..dim];
                    for (value, source) in out[start..].iter_mut().zip(source) {
                        *value += weight * source;
                    }
                }
            }
        }
    }
    out
}

/// For each output place the four inputs it is made of and their weights; places past the border repeat it.
fn taps(from: usize, to: usize) -> Vec<[(usize, f32); 4]> {
    let step = from as f32 / to as f32;
    (0..to)
        .map(|i| {
            let place = (i as f32 + 0.5) * step - 0.5;
            let below = place.floor();
            let share = place - below;
            let weights = [far(share + 1.0), near(share), near(1.0 - share), far(2.0 - share)];
            std::array::from_fn(|k| {
                let index = (below as isize + k as isize - 1).clamp(0, from as isize - 1) as usize;
                (index, weights[k])
            })
        })
        .collect()
}

const A: f32 = -0.75;

/// Keys' kernel for distances up to 1.
fn near(x: f32) -> f32 {
    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
}

/// Keys' kernel for distances between 1 and 2.
fn far(x: f32) -> f32 {
    ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
}
