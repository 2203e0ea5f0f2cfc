//! Split files: fixed lists of pixels, so that methods are compared on the same ones.
//!
//! Two forms of JSON are read. Pixel indices are row-major and 0-based (row × width + column), `shape` is `[rows, cols]`,
//! unknown fields are ignored.
//!
//! ```json
//! {"shape": [145, 145], "kind": "random10", "seeds": [{"seed": 0, "train": [12, …], "val": [7, …], "test": [0, …]}, …]}
//! {"shape": [145, 145], "train": […], "train_labels": […], "test": […], "test_labels": […], "class_names": ["Corn", …]}
//! ```
//!
//! In the first the classes come from the scene's ground truth. The second brings its own, 1-based; it then replaces the
//! ground truth. Where a list of validation pixels is missing, [`HOLD_OUT`] of each class's training pixels are held out
//! (by seed 0, so always the same ones).

use serde::Deserialize;
use thiserror::Error;

use super::palette::class_color;
use super::{Class, LabelMap, LabelledPixel, Split};

/// Share of the training pixels that validate where a file names no validation pixels: 139 of the 695 in the fixed split
/// of Indian Pines.
pub const HOLD_OUT: f64 = 0.2;

/// What a split file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitFile {
    pub splits: Vec<Split>,
    /// The file's own labels, where it brings some; they replace the ground truth.
    pub labels: Option<LabelMap>,
    /// What the user should know: "no validation pixels; 20 % of the training pixels are held out".
    pub notes: Vec<String>,
}

/// Why a split file cannot be used with a scene.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SplitFileError {
    #[error("{name} is not a split file: {reason}")]
    Json { name: String, reason: String },
    #[error("{name} holds no split: it needs either \"seeds\" or \"train\" with \"train_labels\"")]
    Empty { name: String },
    #[error(
        "{name} is made for {rows} × {cols} pixels, but the scene has {scene_rows} × {scene_cols}; open the scene it belongs to"
    )]
    Shape { name: String, rows: usize, cols: usize, scene_rows: usize, scene_cols: usize },
    #[error("{name}: {list} pixel {index} lies outside the scene of {pixels} pixels")]
    Outside { name: String, list: String, index: i64, pixels: usize },
    #[error(
        "{name}: {list} pixel {index} is not labelled in the ground truth; open the ground truth that the split is made for"
    )]
    Unlabelled { name: String, list: String, index: u32 },
    #[error("{name}: pixel {index} stands twice, in {first} and in {second}")]
    Twice { name: String, index: u32, first: String, second: String },
    #[error("{name}: {list} has {pixels} pixels but {labels} labels")]
    LabelCount { name: String, list: String, pixels: usize, labels: usize },
    #[error("{name}: {list} pixel {index} has class {class}, but the file names {classes} classes")]
    Class { name: String, list: String, index: u32, class: i64, classes: usize },
    #[error("{name} brings {classes} classes; at least 1 and at most 255 can be used")]
    ClassNames { name: String, classes: usize },
    #[error("{name}: {list} has no training pixel")]
    NothingToTrain { name: String, list: String },
}

#[derive(Deserialize)]
struct Contents {
    shape: [usize; 2],
    seeds: Option<Vec<Lists>>,
    train: Option<Vec<i64>>,
    val: Option<Vec<i64>>,
    test: Option<Vec<i64>>,
    train_labels: Option<Vec<i64>>,
    val_labels: Option<Vec<i64>>,
    test_labels: Option<Vec<i64>>,
    class_names: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Lists {
    seed: Option<i64>,
    train: Vec<i64>,
    val: Option<Vec<i64>>,
    #[serde(default)]
    test: Vec<i64>,
}

/// Reads a split file for a scene whose ground truth (or, for files with their own labels, whose shape) is `labels`.
///
/// # Errors
/// [`SplitFileError`] when the JSON is broken, the shape differs, an index or class does not exist, a pixel stands twice or
/// nothing would train.
pub fn read_split_file(name: &str, bytes: &[u8], labels: &LabelMap) -> Result<SplitFile, SplitFileError> {
    let contents: Contents = serde_json::from_slice(bytes)
        .map_err(|error| SplitFileError::Json { name: name.to_owned(), reason: error.to_string() })?;
    let [rows, cols] = contents.shape;
    if (rows, cols) != (labels.rows, labels.cols) || rows.checked_mul(cols) != Some(labels.labels.len()) {
        let (scene_rows, scene_cols) = (labels.rows, labels.cols);
        return Err(SplitFileError::Shape { name: name.to_owned(), rows, cols, scene_rows, scene_cols });
    }
    let mut reader = Reader { name, notes: Vec::new() };
    if contents.seeds.is_some() {
        let splits = reader.seeds(contents.seeds.unwrap_or_default(), labels)?;
        Ok(SplitFile { splits, labels: None, notes: reader.notes })
    } else {
        let (split, own) = reader.own_labels(contents, labels)?;
        Ok(SplitFile { splits: vec![split], labels: Some(own), notes: reader.notes })
    }
}

struct Reader<'a> {
    name: &'a str,
    notes: Vec<String>,
}

impl Reader<'_> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn seeds(&mut self, seeds: Vec<Lists>, labels: &LabelMap) -> Result<Vec<Split>, SplitFileError> {
        if seeds.is_empty() {
            return Err(SplitFileError::Empty { name: self.name() });
        }
        let mut splits = Vec::with_capacity(seeds.len());
        for (position, lists) in seeds.into_iter().enumerate() {
            let seed = lists.seed.unwrap_or(position as i64);
            let prefix = format!("seed {seed} ");
            let classes_of =
                |reader: &Self, list: &str, indices: &[i64]| -> Result<Vec<LabelledPixel>, SplitFileError> {
                    reader
                        .indices(list, indices, labels.labels.len())?
                        .into_iter()
                        .map(|index| match labels.labels[index as usize] {
                            class if class > 0 && usize::from(class) <= labels.classes.len() => {
                                Ok(LabelledPixel { index, class })
                            }
                            _ => Err(SplitFileError::Unlabelled { name: reader.name(), list: list.to_owned(), index }),
                        })
                        .collect()
                };
            let has_val = lists.val.is_some();
            let split = Split {
                name: format!("{}, seed {seed}", self.name),
                train: classes_of(self, &format!("{prefix}train"), &lists.train)?,
                val: classes_of(self, &format!("{prefix}val"), &lists.val.unwrap_or_default())?,
                test: classes_of(self, &format!("{prefix}test"), &lists.test)?,
            };
            splits.push(self.finish(split, &prefix, has_val, labels.labels.len())?);
        }
        Ok(splits)
    }

    fn own_labels(&mut self, contents: Contents, scene: &LabelMap) -> Result<(Split, LabelMap), SplitFileError> {
        let (Some(train), Some(train_labels)) = (contents.train, contents.train_labels) else {
            return Err(SplitFileError::Empty { name: self.name() });
        };
        let val_labels = contents.val_labels.unwrap_or_default();
        let test_labels = contents.test_labels.unwrap_or_default();
        let names = contents.class_names.unwrap_or_else(|| {
            let highest = train_labels.iter().chain(&val_labels).chain(&test_labels).copied().max().unwrap_or(0);
            (1..=highest.clamp(0, 256)).map(|class| format!("class {class}")).collect()
        });
        if names.is_empty() || names.len() > 255 {
            return Err(SplitFileError::ClassNames { name: self.name(), classes: names.len() });
        }
        let has_val = contents.val.is_some();
        let lists = [
            ("train", train, train_labels),
            ("val", contents.val.unwrap_or_default(), val_labels),
            ("test", contents.test.unwrap_or_default(), test_labels),
        ];
        let mut own = LabelMap {
            rows: scene.rows,
            cols: scene.cols,
            labels: vec![0; scene.labels.len()],
            classes: colored(names, &scene.classes),
        };
        let mut split = Split { name: self.name(), ..Split::default() };
        for ((list, indices, classes), into) in
            lists.into_iter().zip([&mut split.train, &mut split.val, &mut split.test])
        {
            if indices.len() != classes.len() {
                let (pixels, labels) = (indices.len(), classes.len());
                return Err(SplitFileError::LabelCount { name: self.name(), list: list.to_owned(), pixels, labels });
            }
            for (index, class) in self.indices(list, &indices, own.labels.len())?.into_iter().zip(classes) {
                let classes = own.classes.len();
                let valid = u8::try_from(class).ok().filter(|&valid| valid > 0 && usize::from(valid) <= classes);
                let Some(valid) = valid else {
                    return Err(SplitFileError::Class {
                        name: self.name(),
                        list: list.to_owned(),
                        index,
                        class,
                        classes,
                    });
                };
                own.labels[index as usize] = valid;
                into.push(LabelledPixel { index, class: valid });
            }
        }
        let split = self.finish(split, "", has_val, own.labels.len())?;
        self.notes.push(format!("{} brings its own labels; they replace the ground truth", self.name));
        Ok((split, own))
    }

    fn indices(&self, list: &str, indices: &[i64], pixels: usize) -> Result<Vec<u32>, SplitFileError> {
        let outside = |index| SplitFileError::Outside { name: self.name(), list: list.to_owned(), index, pixels };
        indices
            .iter()
            .map(|&index| {
                let valid = u32::try_from(index).ok().filter(|&valid| (valid as usize) < pixels);
                valid.ok_or_else(|| outside(index))
            })
            .collect()
    }

    /// Checks that no pixel stands twice, holds out validation pixels where the file has none, sorts.
    fn finish(
        &mut self,
        mut split: Split,
        prefix: &str,
        has_val: bool,
        pixels: usize,
    ) -> Result<Split, SplitFileError> {
        if split.train.is_empty() {
            return Err(SplitFileError::NothingToTrain { name: self.name(), list: format!("{prefix}train") });
        }
        let lists = [("train", &split.train), ("val", &split.val), ("test", &split.test)];
        // One byte a pixel: 0 = not seen, otherwise 1 + the list.
        let mut seen = vec![0u8; pixels];
        for (number, (list, members)) in (1u8..).zip(lists) {
            for pixel in members {
                let before = std::mem::replace(&mut seen[pixel.index as usize], number);
                if before > 0 {
                    let first = lists[usize::from(before) - 1].0;
                    return Err(SplitFileError::Twice {
                        name: self.name(),
                        index: pixel.index,
                        first: format!("{prefix}{first}"),
                        second: format!("{prefix}{list}"),
                    });
                }
            }
        }
        split.sort();
        if !has_val {
            split.hold_out_validation(HOLD_OUT, 0);
            let note = format!(
                "{} names no validation pixels; {:.0} % of the training pixels of each class are held out for early stopping",
                self.name,
                100.0 * HOLD_OUT
            );
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        Ok(split)
    }
}

/// Classes in the colours of the scene's classes: of the same names where every name is known there, otherwise of the same
/// numbers. Classes past the scene's table take the palette's.
fn colored(names: Vec<String>, scene: &[Class]) -> Vec<Class> {
    let same = |name: &str| scene.iter().find(|class| class.name.eq_ignore_ascii_case(name)).map(|class| class.color);
    let known = names.iter().all(|name| same(name).is_some());
    let paint = |(number, name): (usize, String)| {
        let color = if known { same(&name) } else { scene.get(number).map(|class| class.color) };
        Class { color: color.unwrap_or_else(|| class_color(number + 1)), name }
    };
    names.into_iter().enumerate().map(paint).collect()
}
