//! Why weights cannot be had.

use thiserror::Error;

use super::catalogue::CatalogueError;
use super::network::NetworkError;
use super::store::StoreError;
use crate::scene::SourceError;
use crate::weights::WeightsError;

/// Why weights cannot be had; every sentence says what can be done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShelfError {
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(
        "{name} needs {needed} bytes, but the browser has no room for them and they are too many for memory (at most {most}); delete weights that you no longer need, or choose a smaller size or quantisation"
    )]
    NoRoom { name: String, needed: u64, most: u64 },
    #[error("{name} is not kept here any more; load it again")]
    Unknown { name: String },
    #[error(
        "what {name} sent is not the file that was promised (SHA-256 {found}, not {expected}); nothing of it was kept. Load it again; if that does not help, the server has another file"
    )]
    Hash { name: String, expected: String, found: String },
    #[error(
        "{name} was damaged where this browser keeps it (SHA-256 {found}, not {expected}) and has been deleted; load it again"
    )]
    Damaged { name: String, expected: String, found: String },
    #[error("{name} has {found} bytes, but {expected} were promised; the server has another file")]
    Size { name: String, expected: u64, found: u64 },
    #[error("{url} gives a web page instead of weights; the address is wrong, or it needs a login")]
    WebPage { url: String },
    #[error(
        "{url} gives no GGUF file; choose the address of a .gguf file, or download the checkpoint and drop it here"
    )]
    NotGguf { url: String },
    #[error("{url} is not there (the server answers {status}); check the address")]
    NotFound { url: String, status: u16 },
    #[error(
        "the server refuses {url} (it answers {status}); it may need a login, so download the file and drop it here"
    )]
    Refused { url: String, status: u16 },
    #[error(
        "the connection to {url} breaks again and again ({reason}); {done} bytes are kept, load it again to go on from there"
    )]
    Broken { url: String, reason: String, done: u64 },
    #[error(
        "{url} cannot be reached ({reason}); another server must allow it, and so must the one of this page (serve --weights-from). Otherwise download the file and drop it here"
    )]
    Unreachable { url: String, reason: String },
}

impl ShelfError {
    /// An address that could not be asked at all.
    pub(super) fn unreachable(url: &str, error: &NetworkError) -> Self {
        Self::Unreachable { url: url.to_owned(), reason: error.to_string() }
    }

    /// A status that means neither success nor a trouble that passes.
    pub(super) fn of_status(url: &str, status: u16) -> Self {
        let url = url.to_owned();
        match status {
            404 | 410 => Self::NotFound { url, status },
            _ => Self::Refused { url, status },
        }
    }
}
