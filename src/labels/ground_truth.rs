//! Ground truth from an opened file: one band of whole numbers becomes a [`LabelMap`].

use thiserror::Error;

use super::palette::class_color;
use super::{Class, LabelMap};
use crate::scene::{Cube, SceneError, Window};

/// Why a file cannot serve as ground truth.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum GroundTruthError {
    #[error(transparent)]
    Scene(#[from] SceneError),
    /// More than one band: most likely the scene itself.
    #[error("{name} has {bands} bands, but ground truth has one band of class numbers; choose the label file")]
    NotOneBand { name: String, bands: usize },
    /// Not a whole number from 0 to 255.
    #[error(
        "{name} holds {value} at row {row}, column {col}; class numbers are whole numbers from 0 (unlabelled) to 255, \
         so this is not a label file or it is damaged"
    )]
    NotAClass { name: String, value: f64, row: usize, col: usize },
    #[error("{name} has no labelled pixel: all its values are 0")]
    Empty { name: String },
    /// Labels of another scene.
    #[error(
        "the labels have {rows} rows × {cols} columns, but the scene has {scene_rows} × {scene_cols}; they belong to \
         another scene or were cropped differently"
    )]
    WrongSize { rows: usize, cols: usize, scene_rows: usize, scene_cols: usize },
}

/// Reads class numbers 0..=255 from a file of one band, whatever its type and its kind say.
///
/// No-data samples count as unlabelled. Names and colours are taken from the file where it has them; otherwise classes
/// are called "Class 1", "Class 2", … in the colours of [`class_color`]. The class table reaches to the highest class
/// that is named or used.
///
/// # Errors
/// [`GroundTruthError`], all but `WrongSize`.
pub fn read_labels(cube: &dyn Cube) -> Result<LabelMap, GroundTruthError> {
    let info = cube.info();
    let (rows, cols) = (info.rows, info.cols);
    if info.bands != 1 {
        return Err(GroundTruthError::NotOneBand { name: info.name.clone(), bands: info.bands });
    }
    let mut labels = Vec::new();
    let mut block = Vec::new();
    let step = cube.preferred_rows().max(1);
    let mut row = 0;
    while row < rows {
        let end = row.saturating_add(step).min(rows);
        let window = Window { rows: row..end, cols: 0..cols, bands: 0..1 };
        block.resize(window.len(), 0.0);
        cube.read(&window, &mut block)?;
        for (index, &value) in block.iter().enumerate() {
            let class = if info.nodata == Some(value) { Some(0) } else { class_number(value) };
            labels.push(class.ok_or_else(|| GroundTruthError::NotAClass {
                name: info.name.clone(),
                value,
                row: row + index / cols,
                col: index % cols,
            })?);
        }
        row = end;
    }
    let used = labels.iter().copied().max().map_or(0, usize::from);
    if used == 0 {
        return Err(GroundTruthError::Empty { name: info.name.clone() });
    }
    let named = info.class_names.as_ref().map_or(0, |names| names.len().saturating_sub(1)).min(255);
    let classes = (1..=used.max(named)).map(|class| Class {
        name: info
            .class_names
            .as_ref()
            .and_then(|names| names.get(class))
            .filter(|name| !name.is_empty())
            .cloned()
            .unwrap_or_else(|| format!("Class {class}")),
        color: info
            .class_colors
            .as_ref()
            .and_then(|colors| colors.get(class).copied())
            .unwrap_or_else(|| class_color(class)),
    });
    Ok(LabelMap { rows, cols, labels, classes: classes.collect() })
}

fn class_number(value: f64) -> Option<u8> {
    (value.fract() == 0.0 && (0.0..=255.0).contains(&value)).then_some(value as u8)
}

impl LabelMap {
    /// Checks that the labels can lie over a scene.
    ///
    /// # Errors
    /// [`GroundTruthError::WrongSize`].
    pub fn check_fits(&self, scene_rows: usize, scene_cols: usize) -> Result<(), GroundTruthError> {
        if (self.rows, self.cols) == (scene_rows, scene_cols) {
            return Ok(());
        }
        Err(GroundTruthError::WrongSize { rows: self.rows, cols: self.cols, scene_rows, scene_cols })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_numbers() {
        assert_eq!(class_number(0.0), Some(0));
        assert_eq!(class_number(-0.0), Some(0));
        assert_eq!(class_number(255.0), Some(255));
        for wild in [-7.0, 256.0, 1e6, 0.5, f64::NAN, f64::INFINITY] {
            assert_eq!(class_number(wild), None, "{wild}");
        }
    }
}
