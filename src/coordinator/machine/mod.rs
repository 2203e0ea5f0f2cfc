//! The state of one federation, and every transition of it.
//!
//! A federation is the sum of its [`Event`]s. A [`Message`] is decided on (one file a phase) without changing anything: the
//! [`Decision`] names the outcome and the events that follow. They are stored first and applied then, so whatever was
//! answered is in the log, and reading the log again gives the same state. Nothing here reads a clock, a disk or a network:
//! `now` is the time since the process started, and a restart gives the current phase its whole time again.
//!
//! ```text
//! gathering ──► statistics ──► aggregating (round 0) ──► training 1 ──► aggregating ──► training 2 … ──► finished
//!     └────────────── without round 0 ────────────────────►│    ▲
//!                              statistics, training ──► paused ┘
//! ```

mod aggregating;
mod finished;
mod gathering;
mod members;
mod message;
mod paused;
mod statistics;
mod training;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::federation::protocol::{ClientId, Definition, FederationId, Hash, LayerTarget, Metrics, Reason};

pub use members::{Attendance, Member};
pub use message::{Cause, Decision, Event, Message, Update};

/// One federation.
#[derive(Debug, Clone)]
pub struct Federation {
    pub id: FederationId,
    pub definition: Arc<Definition>,
    /// SHA-256 of the invite token.
    pub invite: Hash,
    pub phase: Phase,
    /// The common model, once the host has uploaded it.
    pub model: Option<Hash>,
    /// What the server optimiser carries from round to round.
    pub optimizer: Option<Hash>,
    pub projection: Option<Hash>,
    pub members: BTreeMap<ClientId, Member>,
    /// Accepted band statistics.
    pub statistics: BTreeMap<ClientId, Hash>,
    /// Round 1 first.
    pub rounds: Vec<Round>,
    /// Scopes for the next round.
    targets: Vec<LayerTarget>,
    /// What clients reported of the model that came out of the last round.
    final_evaluation: BTreeMap<ClientId, Metrics>,
    /// When the phase was entered.
    since: Duration,
    /// Number of events so far.
    pub events: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Gathering,
    /// Round 0: clients send band statistics.
    Statistics,
    Training {
        round: u32,
    },
    /// The round has closed; its result is being computed.
    Aggregating {
        round: u32,
    },
    Finished(Cause),
    /// Of this round; 0 is the statistics.
    Paused {
        round: u32,
    },
}

/// One round of training.
#[derive(Debug, Clone)]
pub struct Round {
    /// The model with which it began.
    pub model: Hash,
    pub targets: Vec<LayerTarget>,
    pub updates: BTreeMap<ClientId, Update>,
    pub result: Option<Hash>,
    pub evaluation: BTreeMap<ClientId, Metrics>,
}

impl Federation {
    /// A federation as its first event makes it. `None` when that is no creation or its definition is none.
    pub fn new(id: FederationId, first: &Event) -> Option<Self> {
        let Event::Created { definition, invite } = first else { return None };
        let definition = serde_json::from_str(definition).ok()?;
        Some(Self {
            id,
            definition: Arc::new(definition),
            invite: *invite,
            phase: Phase::Gathering,
            model: None,
            optimizer: None,
            projection: None,
            members: BTreeMap::new(),
            statistics: BTreeMap::new(),
            rounds: Vec::new(),
            targets: Vec::new(),
            final_evaluation: BTreeMap::new(),
            since: Duration::ZERO,
            events: 1,
        })
    }

    /// What a message leads to now. The outcomes of each message in each phase are those of the phase's file.
    ///
    /// # Errors
    /// The reason why it has no effect.
    pub fn decide(&self, message: &Message, now: Duration) -> Result<Decision, Reason> {
        if let Some(decision) = self.always(message) {
            return decision;
        }
        let is_result =
            matches!(message, Message::StatisticsDone { .. } | Message::Aggregated { .. } | Message::Diverged { .. });
        if is_result && !matches!(self.phase, Phase::Aggregating { .. }) {
            // It was computed twice, or the host has ended the federation meanwhile.
            return Decision::nothing(Reason::Done);
        }
        match self.phase {
            Phase::Gathering => gathering::decide(self, message, now),
            Phase::Statistics => statistics::decide(self, message, now),
            Phase::Training { round } => training::decide(self, round, message, now),
            Phase::Aggregating { round } => aggregating::decide(self, round, message),
            Phase::Finished(_) => finished::decide(message),
            Phase::Paused { round } => paused::decide(self, round, message),
        }
    }

    /// Takes an event into account. Events come from the log only.
    pub fn apply(&mut self, event: &Event, now: Duration) {
        self.events += 1;
        let before = self.phase;
        match event {
            Event::Created { .. } => {}
            Event::Invited { token } => self.invite = *token,
            Event::ModelStored { targets } => {
                self.model = Some(self.definition.model.weights.sha256);
                self.targets.clone_from(targets);
            }
            Event::Joined { client, token } => {
                self.members.insert(*client, Member { token: *token, departed: false, seen: now });
            }
            Event::Left { client } => {
                if let Some(member) = self.members.get_mut(client) {
                    member.departed = true;
                }
            }
            Event::StatisticsOpened => self.phase = Phase::Statistics,
            Event::StatisticsAccepted { client, blob } => {
                self.statistics.insert(*client, *blob);
            }
            Event::StatisticsDone { projection } => self.projection = Some(*projection),
            Event::RoundOpened { round } => {
                self.phase = Phase::Training { round: *round };
                if let Some(model) = self.model {
                    let targets = self.targets.clone();
                    let (updates, evaluation) = (BTreeMap::new(), BTreeMap::new());
                    self.rounds.push(Round { model, targets, updates, result: None, evaluation });
                }
            }
            Event::UpdateAccepted { client, round, update } => {
                if let Some(round) = self.round_mut(*round) {
                    round.updates.insert(*client, *update);
                }
            }
            Event::RoundClosed { round } => self.phase = Phase::Aggregating { round: *round },
            Event::Aggregated { round, model, optimizer, targets } => {
                self.model = Some(*model);
                self.optimizer = *optimizer;
                self.targets.clone_from(targets);
                if let Some(round) = self.round_mut(*round) {
                    round.result = Some(*model);
                }
            }
            Event::Evaluated { client, round, metrics } => {
                let reports = match self.round_mut(*round) {
                    Some(round) => &mut round.evaluation,
                    None => &mut self.final_evaluation,
                };
                reports.insert(*client, *metrics);
            }
            Event::Paused => self.phase = Phase::Paused { round: self.round() },
            Event::Resumed => {
                self.phase = match self.round() {
                    0 => Phase::Statistics,
                    round => Phase::Training { round },
                }
            }
            Event::Finished { cause } => self.phase = Phase::Finished(*cause),
        }
        if before != self.phase {
            self.since = now;
        }
    }

    /// After the log has been read: the current phase begins anew, and everybody has a chance to come back.
    pub fn restart(&mut self, now: Duration) {
        self.since = now;
        self.members.values_mut().for_each(|member| member.seen = now);
    }

    /// The current round; 0 before the first.
    pub fn round(&self) -> u32 {
        match self.phase {
            Phase::Training { round } | Phase::Aggregating { round } | Phase::Paused { round } => round,
            Phase::Gathering | Phase::Statistics | Phase::Finished(_) => self.rounds.len() as u32,
        }
    }

    /// A round of training that has been opened.
    pub fn get_round(&self, round: u32) -> Option<&Round> {
        self.rounds.get((round as usize).checked_sub(1)?)
    }

    fn round_mut(&mut self, round: u32) -> Option<&mut Round> {
        self.rounds.get_mut((round as usize).checked_sub(1)?)
    }

    /// When the current round may close with less than everybody.
    fn deadline(&self) -> Option<Duration> {
        let deadlines = &self.definition.deadlines;
        let seconds = match self.phase {
            Phase::Statistics => deadlines.statistics_s,
            Phase::Training { .. } => deadlines.round_s,
            _ => return None,
        };
        Some(self.since + Duration::from_secs_f64(seconds))
    }

    /// Whether the round closes now, when these clients' contributions have been accepted: at once when everybody present has
    /// answered; at the deadline with the fraction that the federation asks for; at twice the deadline with the minimum.
    fn is_ripe<T>(&self, accepted: &BTreeMap<ClientId, T>, now: Duration) -> bool {
        let quorum = &self.definition.quorum;
        if accepted.is_empty() || accepted.len() < quorum.min_clients as usize {
            return false;
        }
        let mut waiting = self.present(now).filter(|client| !accepted.contains_key(client));
        if waiting.next().is_none() {
            return true;
        }
        let Some(deadline) = self.deadline().filter(|&deadline| now >= deadline) else { return false };
        let share = accepted.len() as f64 / (accepted.len() + 1 + waiting.count()) as f64;
        share >= quorum.min_fraction || now >= deadline + deadline.saturating_sub(self.since)
    }

    /// The first thing after gathering.
    fn opening(&self) -> Event {
        match self.definition.input.projection {
            Some(_) => Event::StatisticsOpened,
            None => Event::RoundOpened { round: 1 },
        }
    }

    /// Whether an update for a round that is no longer open was accepted then.
    fn past_update(&self, client: &ClientId, round: u32, blob: Hash) -> Result<Decision, Reason> {
        match self.get_round(round).and_then(|round| round.updates.get(client)) {
            Some(update) if update.blob == blob => Decision::nothing(Reason::Duplicate),
            Some(_) => Err(Reason::AlreadySubmitted),
            None => Err(Reason::Late),
        }
    }

    /// The same for statistics.
    fn past_statistics(&self, client: &ClientId, blob: Hash) -> Result<Decision, Reason> {
        if self.definition.input.projection.is_none() {
            return Err(Reason::NoStatistics);
        }
        match self.statistics.get(client) {
            Some(accepted) if *accepted == blob => Decision::nothing(Reason::Duplicate),
            Some(_) => Err(Reason::AlreadySubmitted),
            None => Err(Reason::Late),
        }
    }
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
