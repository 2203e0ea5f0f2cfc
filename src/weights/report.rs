//! What became of every tensor: plain data for the command line and the page.

use serde::{Deserialize, Serialize};

use super::{Quantization, TensorType};
use crate::model::Config;

/// Which part of the network a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The spatial autoencoder of the pre-training.
    Spatial,
    /// The spectral autoencoder of the pre-training.
    Spectral,
    /// Both encoders under the names of the fine-tuning frameworks.
    Whole,
}

impl Role {
    /// In words, with an article.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spatial => "the spatial",
            Self::Spectral => "the spectral",
            Self::Whole => "a whole",
        }
    }
}

/// What made the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Masked autoencoding: encoders without a head, for scenes of any kind.
    Pretraining,
    /// Training on a scene: encoders and head.
    FineTuning,
}

/// What became of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Taken as it is.
    Matched,
    /// A position table, taken for another grid.
    Resized,
    /// The network has it, the file does not: it starts fresh.
    Missing,
    /// The loading procedure does not take it, or it is of another shape.
    Dropped,
    /// It fits, but never influences the result; a complete conversion keeps it.
    LeftOut,
    /// The network has no such tensor.
    Unexpected,
}

impl Status {
    pub const ALL: [Self; 6] =
        [Self::Matched, Self::Resized, Self::Missing, Self::Dropped, Self::LeftOut, Self::Unexpected];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Resized => "resized",
            Self::Missing => "missing",
            Self::Dropped => "dropped",
            Self::LeftOut => "left out",
            Self::Unexpected => "unexpected",
        }
    }
}

/// One tensor of the file or of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorReport {
    /// The official name in the fine-tuning frameworks.
    pub name: String,
    pub status: Status,
    /// Why, where the status does not say it.
    pub reason: Option<String>,
    /// Name in the input; `None` when it is missing there.
    pub key: Option<String>,
    /// Shape in the input.
    pub found: Option<Vec<usize>>,
    /// Shape in the network; `None` when the network has no such tensor.
    pub expected: Option<Vec<usize>>,
    /// Type of the numbers in the input.
    pub stored: Option<TensorType>,
    /// Type of the numbers in the output; `None` when it is not written.
    pub written: Option<TensorType>,
}

impl TensorReport {
    /// Does the network have it, but take it neither from the file nor resized?
    pub fn starts_fresh(&self) -> bool {
        self.expected.is_some() && matches!(self.status, Status::Missing | Status::Dropped)
    }
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    pub name: String,
    pub role: Role,
    /// For example "PyTorch (zip)".
    pub format: String,
    pub bytes: u64,
    /// Of the whole file, in hexadecimal; known once it has been read.
    pub sha256: Option<String>,
}

/// How many tensors, and how many numbers in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub status: Status,
    pub tensors: usize,
    pub values: u64,
}

/// What loading or converting a checkpoint did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    pub inputs: Vec<InputFile>,
    pub origin: Origin,
    /// `base`, `large`, …; `None` for a shape without a name.
    pub size: Option<String>,
    /// The network that the tensors were compared with.
    pub network: Config,
    /// `None` when nothing is written.
    pub quantization: Option<Quantization>,
    /// Bytes of the output.
    pub bytes: u64,
    /// One a status, in the order of [`Status::ALL`].
    pub counts: Vec<Counts>,
    /// What a person should know besides.
    pub notes: Vec<String>,
    /// What the network has, in its order, then everything else in the order of the input.
    pub tensors: Vec<TensorReport>,
}

impl LoadReport {
    /// The tensors of one status.
    pub fn of(&self, status: Status) -> impl Iterator<Item = &TensorReport> {
        self.tensors.iter().filter(move |tensor| tensor.status == status)
    }
}

impl Counts {
    /// One a status, in the order of [`Status::ALL`].
    pub fn of(tensors: &[TensorReport]) -> Vec<Self> {
        let count = |status| {
            let mut counts = Self { status, tensors: 0, values: 0 };
            for tensor in tensors.iter().filter(|tensor| tensor.status == status) {
                let shape = tensor.expected.as_ref().or(tensor.found.as_ref());
                let values: usize = shape.map_or(0, |shape| shape.iter().product());
                counts.tensors += 1;
                counts.values += values as u64;
            }
            counts
        };
        Status::ALL.map(count).to_vec()
    }
}
