//! What a client has its owner do, because it needs the scene and a network.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::model::CommonModel;
use crate::federation::protocol::{Hash, LayerTarget, Metrics};
use crate::preprocess::Projection;

/// What some work is for. Work is wanted until the round is over; see [`Client::wants`](super::Client::wants).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// 0: band statistics.
    pub round: u32,
    /// The common model; `None` for band statistics.
    pub model: Option<Hash>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Statistics,
    Training,
    Evaluation,
}

/// Something to do. Meanwhile the client goes on asking: call [`Client::next`](super::Client::next) now and then.
#[derive(Clone)]
pub enum Work {
    /// Add up the bands of the scene, resampled to the definition's wavelengths; answer with
    /// [`Client::gathered`](super::Client::gathered).
    Statistics { ticket: Ticket },
    /// Train from the common model; answer with [`Client::evaluated`](super::Client::evaluated) for the model as it came, where
    /// `evaluate` asks for it, and with [`Client::trained`](super::Client::trained).
    Training(Box<Training>),
    /// Measure the last model; answer with [`Client::evaluated`](super::Client::evaluated).
    Evaluation { ticket: Ticket, model: CommonModel, projection: Option<Rc<Projection>> },
}

/// One round of local training.
#[derive(Clone)]
pub struct Training {
    pub ticket: Ticket,
    pub model: CommonModel,
    /// The common projection, where round 0 made one.
    pub projection: Option<Rc<Projection>>,
    /// The scopes to which layers are pulled, where the federation aligns scopes.
    pub targets: Vec<LayerTarget>,
    pub evaluate: bool,
}

/// What local training has led to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trained {
    /// All trained tensors in their official order, by name; others are ignored.
    pub weights: BTreeMap<String, Vec<f32>>,
    /// Labelled pixels that were trained on.
    pub samples: u64,
    /// Of the own model, on held-out pixels.
    pub metrics: Option<Metrics>,
}
