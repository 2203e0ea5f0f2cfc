//! Ground truth out of an opened file: one band of class numbers.

use thiserror::Error;

use super::{Class, LabelMap};
use crate::scene::{Cube, SceneError, Window};

/// A file that is no ground truth, or not of this scene.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum LabelError {
    #[error(transparent)]
    Scene(#[from] SceneError),
    #[error("{name} has {bands} bands, but ground truth has one; choose the file with the class numbers")]
    Bands { name: String, bands: usize },
    #[error("{name} holds {value} at row {row}, column {col}; class numbers are whole and from 0 to 255")]
    Value { name: String, value: f64, row: usize, col: usize },
    #[error("{name} labels no pixel: all its class numbers are 0")]
    Empty { name: String },
    #[error(
        "the labels have {rows} × {cols} pixels, but the scene has {scene_rows} × {scene_cols}; choose the labels of this scene"
    )]
    Shape { rows: usize, cols: usize, scene_rows: usize, scene_cols: usize },
}

/// Reads a whole file of class numbers. Names and colours are the file's own where it has them, otherwise "class 3" and
/// hues that are far apart.
///
/// # Errors
/// [`LabelError`] when the file has several bands or numbers that are no class numbers, labels nothing, or cannot be read.
pub fn read_labels(cube: &dyn Cube) -> Result<LabelMap, LabelError> {
    let info = cube.info();
    let name = || info.name.clone();
    if info.bands != 1 {
        return Err(LabelError::Bands { name: name(), bands: info.bands });
    }
    let (rows, cols) = (info.rows, info.cols);
    let mut labels = Vec::with_capacity(rows * cols);
    let step = cube.preferred_rows().clamp(1, rows.max(1));
    let mut values = vec![0.0; step * cols];
    for top in (0..rows).step_by(step) {
        let bottom = (top + step).min(rows);
        let block = &mut values[..(bottom - top) * cols];
        cube.read(&Window { rows: top..bottom, cols: 0..cols, bands: 0..1 }, block)?;
        for (at, &value) in block.iter().enumerate() {
            let empty = !value.is_finite() || Some(value) == info.nodata;
            if !empty && (value.fract() != 0.0 || !(0.0..=255.0).contains(&value)) {
                return Err(LabelError::Value { name: name(), value, row: top + at / cols, col: at % cols });
            }
            labels.push(if empty { 0 } else { value as u8 });
        }
    }
    let highest = usize::from(labels.iter().copied().max().unwrap_or(0));
    if highest == 0 {
        return Err(LabelError::Empty { name: name() });
    }
    let own_name = |class: usize| info.class_names.as_ref().and_then(|names| names.get(class)).cloned();
    let own_color = |class: usize| info.class_colors.as_ref().and_then(|colors| colors.get(class)).copied();
    let named = info.class_names.as_ref().map_or(0, |names| names.len().saturating_sub(1)).min(255);
    let classes = (1..=highest.max(named))
        .map(|class| Class {
            name: own_name(class).unwrap_or_else(|| format!("class {class}")),
            color: own_color(class).unwrap_or_else(|| distinct_color(class)),
        })
        .collect();
    Ok(LabelMap { rows, cols, labels, classes })
}

impl LabelMap {
    /// # Errors
    /// [`LabelError::Shape`] when the labels do not belong to a scene of this size.
    pub fn check_fits(&self, scene_rows: usize, scene_cols: usize) -> Result<(), LabelError> {
        if (self.rows, self.cols) == (scene_rows, scene_cols) {
            return Ok(());
        }
        Err(LabelError::Shape { rows: self.rows, cols: self.cols, scene_rows, scene_cols })
    }
}

/// Hues a golden angle apart, in three strengths.
fn distinct_color(class: usize) -> [u8; 3] {
    let hue = (class as f64 * 137.508).rem_euclid(360.0) / 60.0;
    let value = [0.95, 0.7, 0.85][class % 3];
    let ramp = |offset: f64| {
        let k = (offset + hue).rem_euclid(6.0);
        (255.0 * (value - 0.75 * value * k.min(4.0 - k).clamp(0.0, 1.0))).round() as u8
    };
    [ramp(5.0), ramp(3.0), ramp(1.0)]
}
