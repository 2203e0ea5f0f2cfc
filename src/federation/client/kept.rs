//! What a client keeps across reloads and crashes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::SavedError;
use super::invitation::Invitation;
use super::ledger::Ledger;
use super::uploading::Upload;
use crate::federation::protocol::{ClientId, Encoder};

/// Rises whenever [`Kept`] changes.
const VERSION: u32 = 1;

/// A place in a federation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub client: ClientId,
    pub token: String,
}

/// The scope of one's own trained layer: mean, standard deviation, skewness, excess kurtosis.
pub type OwnScope = [f64; 4];

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    version: u32,
    pub invitation: Invitation,
    pub member: Option<Member>,
    /// What the encoding of accepted updates has lost.
    pub encoder: Encoder,
    pub upload: Option<Upload>,
    /// The last round whose beginning model has been measured here.
    pub evaluated: u32,
    /// A round in which this client does not answer, because it cannot.
    pub sits_out: Option<u32>,
    /// Names of the layers, sorted.
    pub layers: Vec<String>,
    /// Scopes of the own trained layers, by round.
    pub scopes: BTreeMap<u32, Vec<OwnScope>>,
    pub ledger: Ledger,
}

impl Kept {
    pub fn new(invitation: Invitation) -> Self {
        Self {
            version: VERSION,
            invitation,
            member: None,
            encoder: Encoder::default(),
            upload: None,
            evaluated: 0,
            sits_out: None,
            layers: Vec::new(),
            scopes: BTreeMap::new(),
            ledger: Ledger::default(),
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        // Writing into a vector cannot fail, and every type here has a binary form.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// # Errors
    /// [`SavedError`] when the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SavedError> {
        let damaged = |_| SavedError("it is damaged".to_owned());
        let (version, _) = postcard::take_from_bytes::<u32>(bytes).map_err(damaged)?;
        if version != VERSION {
            return Err(SavedError(format!("it was kept by another version, {version}")));
        }
        postcard::from_bytes(bytes).map_err(damaged)
    }
}
