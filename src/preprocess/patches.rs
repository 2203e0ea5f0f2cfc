//! Windows round pixels, and what stands beyond the border: zeros (the official patches) or the mirrored scene.

/// The window of `size × size` pixels round (`row`, `col`) of an image `[channel][row][col]`, zeros beyond the border
/// (ImageClassification/model/split_data.py:44-83). `size` is odd; of an even size the centre is the lower right of the
/// middle four. The result is `[channel][window row][window col]`.
pub fn patch(image: &[f32], rows: usize, cols: usize, row: usize, col: usize, size: usize) -> Vec<f32> {
    let plane = rows * cols;
    let channels = image.len().checked_div(plane).unwrap_or(0);
    let half = size / 2;
    let mut window = vec![0.0; channels * size * size];
    for (channel, window) in window.chunks_exact_mut((size * size).max(1)).enumerate() {
        for (i, line) in window.chunks_exact_mut(size).enumerate() {
            let Some(r) = (row + i).checked_sub(half).filter(|r| *r < rows) else { continue };
            for (j, value) in line.iter_mut().enumerate() {
                if let Some(c) = (col + j).checked_sub(half).filter(|c| *c < cols) {
                    *value = image[channel * plane + r * cols + c];
                }
            }
        }
    }
    window
}

/// Where position `index` lies in a scene of `len` pixels that is mirrored at its borders again and again, the border pixel
/// not repeated: …2 1 | 0 1 2 3 | 2 1 0 1…  `len` must be at least 1.
pub fn mirror_index(index: usize, len: usize) -> usize {
    if len <= 1 {
        return 0;
    }
    let period = 2 * (len - 1);
    let folded = index % period;
    folded.min(period - folded)
}

/// Enlarges planes `[plane][row][col]` at the bottom and the right to `to_rows × to_cols` by mirroring: for scenes smaller
/// than the network's tile. Nothing happens where they are large enough already; they are never cut.
pub fn mirror_pad<T: Copy>(planes: &[T], rows: usize, cols: usize, to_rows: usize, to_cols: usize) -> Vec<T> {
    let (to_rows, to_cols) = (to_rows.max(rows), to_cols.max(cols));
    if rows == 0 || cols == 0 {
        return Vec::new();
    }
    let mut padded = Vec::with_capacity(planes.len() / (rows * cols) * to_rows * to_cols);
    for plane in planes.chunks_exact(rows * cols) {
        for row in 0..to_rows {
            let line = &plane[mirror_index(row, rows) * cols..][..cols];
            padded.extend((0..to_cols).map(|col| line[mirror_index(col, cols)]));
        }
    }
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_do_not_repeat_the_border() {
        let indices: Vec<usize> = (0..9).map(|index| mirror_index(index, 4)).collect();
        assert_eq!(indices, [0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert_eq!(mirror_index(5, 1), 0);
        assert_eq!(mirror_pad(&[1, 2, 3, 4], 2, 2, 3, 4), [1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2]);
        assert_eq!(mirror_pad(&[1, 2, 3, 4], 2, 2, 1, 1), [1, 2, 3, 4]);
    }
}
