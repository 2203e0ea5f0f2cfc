//! Ground truth from an opened file: one band of whole numbers becomes a [`LabelMap`] (docs/labels.md).

use thiserror::Error;

use super::codes::{CodeChoices, CodeUse, Codes, MOST_CLASSES, MOST_CODES, number_of};
use super::palette::class_color;
use super::{Class, LabelMap};
use crate::scene::{Cube, SceneError, SceneInfo, Window};

/// Why a file cannot serve as ground truth.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum GroundTruthError {
    #[error(transparent)]
    Scene(#[from] SceneError),
    /// More than one band: most likely the scene itself.
    #[error("{name} has {bands} bands, but ground truth has one band of class numbers; choose the label file")]
    NotOneBand { name: String, bands: usize },
    /// A fraction, an infinity, or a negative number that does not mean "nothing here".
    #[error(
        "{name} holds {value} at row {row}, column {col}; class numbers are whole numbers from 0 (unlabelled), so this is \
         not a label file or it is damaged; if the number marks pixels to be ignored, make it 0 or declare it as no data"
    )]
    NotAClass { name: String, value: f64, row: usize, col: usize },
    #[error("{name} holds more than {MOST_CODES} different numbers; this is a measurement, not a label file")]
    TooManyCodes { name: String },
    #[error("{name} holds {classes} classes, but at most {MOST_CLASSES} can be used; join some of them")]
    TooManyClasses { name: String, classes: usize },
    /// What the user said about codes contradicts itself.
    #[error("code {code} cannot be a class and unlabelled at once, and NaN can be no class; choose one")]
    Choice { code: String },
    #[error("{name} has no labelled pixel: all its values are 0, no data, or taken for unlabelled")]
    Empty { name: String },
    /// Labels of another scene.
    #[error(
        "the labels have {rows} rows × {cols} columns, but the scene has {scene_rows} × {scene_cols}; they belong to \
         another scene or were cropped differently"
    )]
    WrongSize { rows: usize, cols: usize, scene_rows: usize, scene_cols: usize },
}

/// A label file with what became of its codes.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    pub map: LabelMap,
    /// Every code that occurs.
    pub codes: Vec<CodeUse>,
    /// What the user should know, the file's own notes first.
    pub notes: Vec<String>,
}

/// Reads class numbers from a file of one band, whatever its type and its kind say, as [`import_labels`] does by itself.
///
/// # Errors
/// As [`import_labels`].
pub fn read_labels(cube: &dyn Cube) -> Result<LabelMap, GroundTruthError> {
    import_labels(cube, &CodeChoices::default()).map(|imported| imported.map)
}

/// Reads class numbers from a file of one band, whatever its type and its kind say.
///
/// What the file declares as no data, NaN and 0 are unlabelled; 0 is a class where another value is declared. 255 and the
/// like far above the other codes, and negative numbers that programs fill with, are taken for unlabelled and the notes call
/// that a guess. `choices` goes before all of this. Codes stay class numbers where they run from 1 without large gaps;
/// otherwise classes are numbered by rank and called by their code. Names and colours are taken from the file where it has
/// them; other colours are those of [`class_color`].
///
/// # Errors
/// [`GroundTruthError`], all but `WrongSize`.
pub fn import_labels(cube: &dyn Cube, choices: &CodeChoices) -> Result<Imported, GroundTruthError> {
    let info = cube.info();
    if info.bands != 1 {
        return Err(GroundTruthError::NotOneBand { name: info.name.clone(), bands: info.bands });
    }
    let mut codes = Codes::new(info, choices);
    for_each_value(cube, &mut |index, value| {
        if codes.add(value)? {
            return Ok(());
        }
        let (row, col) = (index / info.cols, index % info.cols);
        Err(GroundTruthError::NotAClass { name: info.name.clone(), value, row, col })
    })?;
    let decided = codes.decide()?;
    let numbers = decided.numbers();
    let mut labels = Vec::with_capacity(info.rows * info.cols);
    for_each_value(cube, &mut |_, value| {
        labels.push(number_of(&numbers, value));
        Ok(())
    })?;
    let classes = (1..).zip(&decided.table.codes).map(|(number, &code)| class_of(info, number, code)).collect();
    let mut notes = info.notes.clone();
    notes.extend(decided.notes(info));
    Ok(Imported { map: LabelMap { rows: info.rows, cols: info.cols, labels, classes }, codes: decided.codes, notes })
}

fn class_of(info: &SceneInfo, number: usize, code: i64) -> Class {
    let at = usize::try_from(code).ok();
    let name = info.class_names.as_ref().and_then(|names| names.get(at?)).filter(|name| !name.trim().is_empty());
    let color = info.class_colors.as_ref().and_then(|colors| colors.get(at?).copied());
    Class {
        name: name.cloned().unwrap_or_else(|| format!("Class {code}")),
        color: color.unwrap_or_else(|| class_color(number)),
    }
}

/// Calls `each` with every value and its row-major index.
fn for_each_value(
    cube: &dyn Cube,
    each: &mut dyn FnMut(usize, f64) -> Result<(), GroundTruthError>,
) -> Result<(), GroundTruthError> {
    let SceneInfo { rows, cols, .. } = *cube.info();
    let step = cube.preferred_rows().max(1);
    let mut block = Vec::new();
    let mut row = 0;
    while row < rows {
        let end = row.saturating_add(step).min(rows);
        let window = Window { rows: row..end, cols: 0..cols, bands: 0..1 };
        block.resize(window.len(), 0.0);
        cube.read(&window, &mut block)?;
        for (offset, &value) in block.iter().enumerate() {
            each(row * cols + offset, value)?;
        }
        row = end;
    }
    Ok(())
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
