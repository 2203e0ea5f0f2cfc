//! Why weights cannot be read or written.

use std::io;

use thiserror::Error;

use super::Role;
use crate::model::ConfigError;
use crate::scene::{SourceError, shape_text};

/// Why weights cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WeightsError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{name} is not a weights file SigmaScope can read ({found}); choose a .pth, .safetensors or .gguf file")]
    Format { name: String, found: String },
    #[error("{name} is damaged: {what}; fetch it again")]
    Malformed { name: String, what: String },
    #[error("{name} cannot be read: {what}")]
    Unsupported { name: String, what: String },
    #[error(
        "{name} asks for {global}, which is no part of a state dict; nothing was executed. If you trust where the file comes from, save only model.state_dict() with torch.save and choose that"
    )]
    Global { name: String, global: String },
    #[error("{name} holds several state dicts ({found}); save the one that is meant by itself")]
    Ambiguous { name: String, found: String },
    #[error(
        "{name} holds no weights of HyperSIGMA (it starts with {first}); choose a checkpoint of the pre-training, or of the segmentation or classification framework"
    )]
    NotHyperSigma { name: String, first: String },
    #[error("{first} and {second} are no pair: {why}. Choose one spatial and one spectral checkpoint of the same size")]
    Pair { first: String, second: String, why: String },
    #[error("{name} was given as {} checkpoint, but is {}; exchange the files", expected.name(), found.name())]
    Role { name: String, expected: Role, found: Role },
    #[error("{names} are {count} files; choose one file, or a spatial and a spectral checkpoint")]
    Files { names: String, count: usize },
    #[error(
        "the size of the network cannot be told from {name} ({width} wide, {depth} deep); say which it is: {sizes}"
    )]
    Size { name: String, width: usize, depth: usize, sizes: String },
    #[error("{name} is {width} wide and {depth} deep, but {size} is {expected_width} wide and {expected_depth} deep")]
    OtherSize { name: String, width: usize, depth: usize, size: String, expected_width: usize, expected_depth: usize },
    #[error("the network of {name} cannot be built: {error}")]
    Config { name: String, error: ConfigError },
    #[error(
        "{tensor} of {name} has the shape {}, but the network has {}; the file does not fit together",
        shape_text(found),
        shape_text(expected)
    )]
    Shape { name: String, tensor: String, found: Vec<usize>, expected: Vec<usize> },
    #[error(
        "value {index} of {tensor} is {value}, which cannot be stored as {kind}; the checkpoint is of no use, or choose f32"
    )]
    Number { tensor: String, index: u64, value: String, kind: &'static str },
    #[error("{name} holds nothing of the network")]
    Nothing { name: String },
    #[error("the output could not be written: {reason}")]
    Write { reason: String },
    #[error("the disk is full: the output needs {bytes} bytes; free some space or write elsewhere")]
    DiskFull { bytes: u64 },
}

impl WeightsError {
    pub(super) fn malformed(name: &str, what: impl Into<String>) -> Self {
        Self::Malformed { name: name.to_owned(), what: what.into() }
    }

    pub(super) fn unsupported(name: &str, what: impl Into<String>) -> Self {
        Self::Unsupported { name: name.to_owned(), what: what.into() }
    }

    /// An error of a stream over a source.
    pub(super) fn stream(name: &str, what: &str, error: &io::Error) -> Self {
        if let Some(source) = error.get_ref().and_then(|inner| inner.downcast_ref::<SourceError>()) {
            return source.clone().into();
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::malformed(name, format!("{what} ends too early")),
            _ => Self::malformed(name, format!("{what} cannot be read ({error})")),
        }
    }

    /// An error of writing an output of `bytes` bytes.
    pub(super) fn write(error: &io::Error, bytes: u64) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { bytes },
            _ => Self::Write { reason: error.to_string() },
        }
    }
}
