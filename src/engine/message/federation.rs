//! What page and engine say about federated rounds.
//!
//! | command | answered by |
//! | --- | --- |
//! | [`Command::AskCoordinator`](super::Command::AskCoordinator) | [`Event::CoordinatorAnswered`](super::Event::CoordinatorAnswered) |
//! | [`Command::MakeFederatedModel`](super::Command::MakeFederatedModel) | [`Event::FederatedModel`](super::Event::FederatedModel) |
//! | [`Command::UploadFederatedModel`](super::Command::UploadFederatedModel) | [`Event::CoordinatorAnswered`](super::Event::CoordinatorAnswered) of its last request |
//! | [`Command::FetchContent`](super::Command::FetchContent) | [`Event::File`](super::Event::File) |
//! | [`Command::Federate`](super::Command::Federate), a job | [`Event::Federation`](super::Event::Federation), [`Event::FederationRounds`](super::Event::FederationRounds)…, [`Event::FederationEnded`](super::Event::FederationEnded), [`Event::JobFinished`](super::Event::JobFinished); or `Cancelled`, `DeviceLost`, `Failed` |
//!
//! The job hears `Pause`, `Resume`, `Cancel` (the place in the federation is kept) and `FinishEarly` (it leaves for good).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::federation::client::{Bytes, Invitation, Ledger, OwnScope, Stage, Traffic};
use crate::federation::protocol::{BlobRef, ClientId, FederationId, Hash, RoundView, StateView};
use crate::labels::{Accuracy, LabelMap, Split};

/// Where a federation is, and what opens it: an invite token, or the host's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Address of the coordinator's page, ending with `/`.
    pub server: String,
    pub federation: FederationId,
    pub token: String,
}

/// Without the token: this may end in a log.
impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Place {{ {}, {} }}", self.server, self.federation)
    }
}

/// The weights with which a federation begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FederatedModel {
    /// A safetensors file.
    pub bytes: serde_bytes::ByteBuf,
    pub sha256: Hash,
    /// The frozen weights, where these are adapters.
    pub backbone: Option<BlobRef>,
}

/// One small request to a coordinator.
#[derive(Clone, Serialize, Deserialize)]
pub struct CoordinatorRequest {
    pub server: String,
    pub token: String,
    pub act: CoordinatorAct,
    /// Below `api/v1`.
    pub path: String,
}

/// Without the token.
impl std::fmt::Debug for CoordinatorRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CoordinatorRequest {{ {:?} {}{} }}", self.act, self.server, self.path)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoordinatorAct {
    Get,
    /// With this JSON, or without a body.
    Post(Option<String>),
    Delete,
}

/// What a coordinator said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorAnswer {
    pub status: u16,
    /// JSON, unless something else than a coordinator has answered.
    pub body: String,
}

/// Take part in a federation with the open scene.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FederateJob {
    pub invitation: Invitation,
    /// Training pixels train; test pixels (where there are none, validation pixels) are held out.
    pub split: Split,
    /// For each class of the split (class 1 first) the federation's class, 1-based; 0: its pixels are not used.
    pub classes: Vec<u8>,
    /// At the end train a model on this scene alone, as long as the federation did, and map with both.
    pub compare: bool,
    /// A neighbour with a scene that is made up: nothing is kept for after a reload, nothing is mapped at the end.
    pub simulated: bool,
}

/// Where a client is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FederationProgress {
    pub stage: Stage,
    pub client: Option<ClientId>,
    pub state: Option<StateView>,
    /// What is in the way, and what the client does about it.
    pub trouble: Option<String>,
    pub local: LocalProgress,
    pub ledger: Ledger,
}

/// What this machine is doing for the federation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalPhase {
    Idle,
    /// Rows of the scene are read.
    Preparing,
    Evaluating,
    /// Epochs of the round.
    Training,
    /// Epochs of the model of this scene alone.
    TrainingAlone,
    /// Tiles.
    Mapping,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LocalProgress {
    pub phase: LocalPhase,
    pub done: usize,
    pub total: usize,
    /// Of this phase.
    pub remaining_s: Option<f64>,
    /// Training only: mean loss of the last epoch.
    pub loss: Option<f32>,
}

impl LocalProgress {
    pub const IDLE: Self = Self { phase: LocalPhase::Idle, done: 0, total: 0, remaining_s: None, loss: None };
}

/// All rounds so far, told when they have changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FederationRounds {
    pub rounds: Vec<RoundView>,
    /// Names of the layers that have a scope.
    pub layers: Vec<String>,
    /// Scopes of one's own trained layers, by round.
    pub own: BTreeMap<u32, Vec<OwnScope>>,
}

/// The end of a federation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FederationEnd {
    /// The last common model; `None` where there never was one.
    pub model: Option<Hash>,
    pub global: Option<FederatedMap>,
    /// Of the model of this scene alone.
    pub alone: Option<FederatedMap>,
}

/// The open scene, mapped.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FederatedMap {
    /// Classes are the federation's.
    pub map: LabelMap,
    /// On the held-out pixels.
    pub accuracy: Option<Accuracy>,
    /// The model as a file.
    pub model: serde_bytes::ByteBuf,
}
