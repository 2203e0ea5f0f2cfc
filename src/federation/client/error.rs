//! What a client cannot get over by itself.

use thiserror::Error;

use super::InvitationError;
use crate::federation::protocol::{DefinitionError, Hash, Reason, UpdateError};

/// Why a client has stopped. Everything that waiting can mend is not here.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ClientError {
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// The sentence of the reason says what to do.
    #[error("{message}")]
    Refused { reason: Reason, message: String },
    #[error(
        "the coordinator answers with status {status}, which this program does not know; check the link, and whether a proxy in front lets it through"
    )]
    Strange { status: u16 },
    #[error(
        "the coordinator's answer to {what} cannot be read ({detail}); reload the page, and ask the host which version runs there"
    )]
    Unreadable { what: &'static str, detail: String },
    #[error("the federation's definition contradicts itself ({0}); tell the host")]
    Definition(#[from] DefinitionError),
    #[error("the content {hash} arrived damaged {times} times; check the connection and try again")]
    Damaged { hash: Hash, times: u32 },
    #[error("the federation's model cannot be used ({0}); tell the host")]
    Model(UpdateError),
    #[error("the federation's projection cannot be used ({0}); tell the host")]
    Projection(String),
    #[error("this update was refused {times} times although it arrived whole; check the connection and try again")]
    Upload { times: u32 },
}

/// What was kept of a client cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "what this browser kept of the federation cannot be used ({0}); joining again starts anew, nothing of the scene is lost"
)]
pub struct SavedError(pub String);
