//! What somebody wants, what has happened, and what follows from the one for the other.

use serde::{Deserialize, Serialize};

use crate::federation::protocol::{ClientId, Hash, LayerTarget, Metrics, Reason};

/// Why a federation is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// All rounds are done.
    Rounds,
    /// The host ended it.
    Host,
    /// The aggregated model is not finite, or the projection cannot be computed.
    Diverged,
}

/// An accepted update.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Update {
    pub blob: Hash,
    pub samples: u64,
    pub norm: f64,
    pub metrics: Option<Metrics>,
}

/// What somebody wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The host has uploaded the model; with its scopes.
    ModelStored {
        targets: Vec<LayerTarget>,
    },
    /// A new invite token.
    Invite {
        token: Hash,
    },
    Join {
        client: ClientId,
        token: Hash,
    },
    Leave {
        client: ClientId,
    },
    Start,
    Pause,
    Resume,
    Finish,
    Statistics {
        client: ClientId,
        blob: Hash,
    },
    Update {
        client: ClientId,
        round: u32,
        update: Update,
    },
    Evaluate {
        client: ClientId,
        round: u32,
        metrics: Metrics,
    },
    /// Time has passed.
    Tick,
    StatisticsDone {
        projection: Hash,
    },
    Aggregated {
        round: u32,
        model: Hash,
        optimizer: Option<Hash>,
        targets: Vec<LayerTarget>,
    },
    /// The round has no result.
    Diverged {
        round: u32,
    },
}

/// What has happened. The log is made of these; their order and fields never change, new ones go to the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The definition is JSON, as it came.
    Created {
        definition: String,
        invite: Hash,
    },
    Invited {
        token: Hash,
    },
    ModelStored {
        targets: Vec<LayerTarget>,
    },
    Joined {
        client: ClientId,
        token: Hash,
    },
    Left {
        client: ClientId,
    },
    StatisticsOpened,
    StatisticsAccepted {
        client: ClientId,
        blob: Hash,
    },
    StatisticsDone {
        projection: Hash,
    },
    RoundOpened {
        round: u32,
    },
    UpdateAccepted {
        client: ClientId,
        round: u32,
        update: Update,
    },
    /// No more is accepted for it; 0 is the statistics.
    RoundClosed {
        round: u32,
    },
    Aggregated {
        round: u32,
        model: Hash,
        optimizer: Option<Hash>,
        targets: Vec<LayerTarget>,
    },
    Evaluated {
        client: ClientId,
        round: u32,
        metrics: Metrics,
    },
    Paused,
    Resumed,
    Finished {
        cause: Cause,
    },
}

/// An outcome and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub reason: Reason,
    /// Empty where nothing changes.
    pub events: Vec<Event>,
}

impl Decision {
    pub(super) fn with(reason: Reason, events: impl Into<Vec<Event>>) -> Result<Self, Reason> {
        Ok(Self { reason, events: events.into() })
    }

    pub(super) fn nothing(reason: Reason) -> Result<Self, Reason> {
        Self::with(reason, [])
    }
}
