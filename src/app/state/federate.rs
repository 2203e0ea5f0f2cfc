//! Federated rounds: the invitation at hand, one's own part, and federations that are hosted here.

use std::sync::Arc;

use leptos::prelude::*;

use crate::app::plain::draft::Draft;
use crate::app::plain::neighbours::Line;
use crate::engine::message::{FederationEnd, FederationProgress, FederationRounds, Invitation, Place};
use crate::federation::protocol::{FederationView, RoundView};

/// What the area shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Join,
    Host,
}

/// One's own part in a federation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    None,
    Running,
    /// Stopped by the user; the place is kept.
    Away,
    Finished,
    Left,
    Failed,
}

impl Part {
    /// For scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Running => "running",
            Self::Away => "away",
            Self::Finished => "finished",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }
}

/// A federation that was created here.
#[derive(Debug, Clone, PartialEq)]
pub struct Hosted {
    /// With the host's token.
    pub place: Place,
    pub invitation: Invitation,
}

#[derive(Clone, Copy)]
pub struct Federate {
    pub side: RwSignal<Side>,
    /// What stands in the field for the link.
    pub link: RwSignal<String>,
    pub invitation: RwSignal<Option<Invitation>>,
    pub looking: RwSignal<bool>,
    /// What the invitation's federation is.
    pub seen: RwSignal<Option<FederationView>>,
    /// Why it cannot be seen.
    pub problem: RwSignal<Option<String>>,
    /// For each own class the federation's, 1-based; 0 for none.
    pub mapping: RwSignal<Vec<u8>>,
    pub consent: RwSignal<bool>,
    /// Train a model of this scene alone at the end.
    pub compare: RwSignal<bool>,
    pub part: RwSignal<Part>,
    pub progress: RwSignal<Option<FederationProgress>>,
    /// When that came, for the countdown.
    pub told_ms: RwSignal<f64>,
    pub rounds: RwSignal<Option<Arc<FederationRounds>>>,
    pub end: RwSignal<Option<Arc<FederationEnd>>>,
    /// The layer and the round whose scopes are drawn; `None` = the first, the last.
    pub layer: RwSignal<Option<String>>,
    pub round: RwSignal<Option<u32>>,

    pub admin_token: RwSignal<String>,
    /// What stands in the fields of a new federation.
    pub draft: RwSignal<Draft>,
    pub creating: RwSignal<bool>,
    pub hosted: RwSignal<Option<Hosted>>,
    pub hosted_view: RwSignal<Option<FederationView>>,
    pub hosted_rounds: RwSignal<Vec<RoundView>>,
    /// Simulated neighbours of what is hosted, and how many are wanted.
    pub neighbours: RwSignal<Vec<Line>>,
    pub neighbours_wanted: RwSignal<usize>,
}

impl Federate {
    pub fn new() -> Self {
        Self {
            side: RwSignal::new(Side::Join),
            link: RwSignal::new(String::new()),
            invitation: RwSignal::new(None),
            looking: RwSignal::new(false),
            seen: RwSignal::new(None),
            problem: RwSignal::new(None),
            mapping: RwSignal::new(Vec::new()),
            consent: RwSignal::new(false),
            compare: RwSignal::new(true),
            part: RwSignal::new(Part::None),
            progress: RwSignal::new(None),
            told_ms: RwSignal::new(0.0),
            rounds: RwSignal::new(None),
            end: RwSignal::new(None),
            layer: RwSignal::new(None),
            round: RwSignal::new(None),
            admin_token: RwSignal::new(String::new()),
            draft: RwSignal::new(Draft::default()),
            creating: RwSignal::new(false),
            hosted: RwSignal::new(None),
            hosted_view: RwSignal::new(None),
            hosted_rounds: RwSignal::new(Vec::new()),
            neighbours: RwSignal::new(Vec::new()),
            neighbours_wanted: RwSignal::new(2),
        }
    }
}
