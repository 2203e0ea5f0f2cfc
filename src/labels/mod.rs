//! Class tables, ground truth, splits and accuracy: plain arithmetic on class numbers.

mod accuracy;
mod accuracy_csv;
mod codes;
mod ground_truth;
mod official_split;
mod palette;
mod regions;
mod samples;
mod split;
mod split_file;

pub use accuracy::{Accuracy, AccuracyError, Spread, Summary};
pub use accuracy_csv::{RunFigures, accuracy_csv, summary_csv};
pub use codes::{Becomes, CodeChoices, CodeUse, MOST_CLASSES, Reason, code_text};
pub use ground_truth::{GroundTruthError, Imported, import_labels, read_labels};
pub use official_split::{OfficialRule, OfficialSplit, official_split};
pub use palette::class_color;
pub use regions::UnknownClass;
pub use samples::{ClassSamples, FEW, class_samples, sample_warnings};
use serde::{Deserialize, Serialize};
pub use split::{SplitError, random_shares, random_split};
pub use split_file::{HOLD_OUT, SplitFile, SplitFileError, read_split_file};

/// One class of a scene. Class numbers start at 1; 0 means "unlabelled".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    pub name: String,
    pub color: [u8; 3],
}

/// A class number for every pixel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelMap {
    pub rows: usize,
    pub cols: usize,
    /// Row-major; 0 = unlabelled, otherwise 1..=classes.len().
    #[serde(with = "serde_bytes")]
    pub labels: Vec<u8>,
    /// `classes[0]` is class 1.
    pub classes: Vec<Class>,
}

/// A pixel and its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LabelledPixel {
    /// Row-major index: row × cols + col.
    pub index: u32,
    /// 1-based.
    pub class: u8,
}

/// Which labelled pixels train, validate and test. Each list is sorted by index and no pixel is in two lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Where it comes from, for the results panel: "random 10 a class, seed 3" or "indian_pines_disjoint10.json, seed 0".
    pub name: String,
    pub train: Vec<LabelledPixel>,
    pub val: Vec<LabelledPixel>,
    pub test: Vec<LabelledPixel>,
}
