//! Bands of a scene as a picture.

use std::collections::VecDeque;

use super::message::{Image, Render};
use crate::scene::{Cube, SceneError, Window};

/// Planes kept so that a slider or a new stretch does not read the file again.
const KEPT_PLANES: usize = 12;

/// One band, thinned to the picture's size: `[row][col]`, NaN where the scene holds no data.
struct Plane {
    band: usize,
    step: usize,
    values: Vec<f32>,
}

/// Draws bands, remembering the last few.
#[derive(Default)]
pub struct Renderer {
    planes: VecDeque<Plane>,
}

impl Renderer {
    /// Draws one band in grey or three in colour.
    ///
    /// # Errors
    /// [`SceneError`] when a band does not exist or the file cannot be read.
    pub fn draw(&mut self, cube: &dyn Cube, render: &Render) -> Result<Image, SceneError> {
        let info = cube.info();
        let max_side = render.max_side.clamp(16, 4096);
        let step = info.rows.max(info.cols).div_ceil(max_side).max(1);
        let (rows, cols) = (info.rows.div_ceil(step), info.cols.div_ceil(step));
        if !matches!(render.bands.len(), 1 | 3) {
            return Err(SceneError::Unsupported {
                name: info.name.clone(),
                what: format!("a picture shows one band or three, not {}", render.bands.len()),
            });
        }

        let mut rgba = vec![0u8; rows * cols * 4];
        for pixel in rgba.chunks_exact_mut(4) {
            pixel[3] = 255;
        }
        let mut limits = Vec::with_capacity(render.bands.len());
        for (channel, &band) in render.bands.iter().enumerate() {
            let plane = self.plane(cube, band, step)?;
            let (low, high) = percentiles(&plane.values, render.stretch);
            let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
            for (pixel, &value) in rgba.chunks_exact_mut(4).zip(&plane.values) {
                if value.is_nan() {
                    pixel[3] = 0;
                    continue;
                }
                // A constant band has no contrast: middle grey says so better than black.
                let level = if scale > 0.0 { ((value - low) * scale).round().clamp(0.0, 255.0) as u8 } else { 128 };
                match render.bands.len() {
                    1 => pixel[..3].fill(level),
                    _ => pixel[channel] = level,
                }
            }
            limits.push((low, high));
        }
        Ok(Image { render: render.clone(), rows, cols, step, rgba: rgba.into(), limits })
    }

    fn plane(&mut self, cube: &dyn Cube, band: usize, step: usize) -> Result<&Plane, SceneError> {
        if let Some(at) = self.planes.iter().position(|plane| plane.band == band && plane.step == step) {
            let plane = self.planes.remove(at).unwrap_or_else(|| unreachable!("position() found it"));
            self.planes.push_front(plane);
        } else {
            let values = read_plane(cube, band, step)?;
            self.planes.push_front(Plane { band, step, values });
            self.planes.truncate(KEPT_PLANES);
        }
        Ok(&self.planes[0])
    }
}

/// Reads every `step`-th row and column of a band, in blocks of rows that the file likes.
fn read_plane(cube: &dyn Cube, band: usize, step: usize) -> Result<Vec<f32>, SceneError> {
    let info = cube.info();
    let mut values = Vec::with_capacity(info.rows.div_ceil(step) * info.cols.div_ceil(step));
    // Thinned pictures read single rows; full ones read as many as are cheap together.
    let block = if step == 1 { cube.preferred_rows().max(1) } else { 1 };
    let mut buffer = Vec::new();
    let mut row = 0;
    while row < info.rows {
        let end = (row + block).min(info.rows);
        let window = Window { rows: row..end, cols: 0..info.cols, bands: band..band + 1 };
        buffer.resize(window.len(), 0.0);
        cube.read(&window, &mut buffer)?;
        for line in buffer.chunks_exact(info.cols) {
            values.extend(
                line.iter()
                    .step_by(step)
                    .map(|&value| if crate::scene::is_valid(value, info.nodata) { value as f32 } else { f32::NAN }),
            );
        }
        row = if step == 1 { end } else { row + step };
    }
    Ok(values)
}

/// The values at two percentiles (0..=100) of what is not NaN; (0, 0) when nothing is.
fn percentiles(values: &[f32], (low, high): (f32, f32)) -> (f32, f32) {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    if sorted.is_empty() {
        return (0.0, 0.0);
    }
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |percent: f32| {
        let position = f64::from(percent.clamp(0.0, 100.0)) / 100.0 * (sorted.len() - 1) as f64;
        sorted[position.round() as usize]
    };
    (at(low.min(high)), at(high.max(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_ignore_missing_values() {
        let values = [f32::NAN, 3.0, 1.0, 2.0, f32::NAN, 0.0, 4.0];
        assert_eq!(percentiles(&values, (0.0, 100.0)), (0.0, 4.0));
        assert_eq!(percentiles(&values, (25.0, 75.0)), (1.0, 3.0));
        assert_eq!(percentiles(&[f32::NAN], (2.0, 98.0)), (0.0, 0.0));
    }
}
