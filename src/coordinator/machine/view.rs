//! What others see of a federation, and which contents it needs.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::{Attendance, Cause, Federation, Phase, Update};
use crate::federation::protocol::{
    self as protocol, ClientId, Evaluation, Hash, Metrics, RoundView, Start, StateView, UpdateEntry, Why,
};

impl Federation {
    /// Whether everybody in the federation may fetch this content: models and the projection, nobody's update.
    pub fn is_public(&self, blob: Hash) -> bool {
        let model = self.model.is_some() && self.definition.model.weights.sha256 == blob;
        let result = self.rounds.iter().any(|round| round.result == Some(blob));
        model || result || self.projection == Some(blob)
    }

    /// Every content that this federation still needs.
    pub fn needed(&self) -> impl Iterator<Item = Hash> + '_ {
        let current = self.round();
        let open = !matches!(self.phase, Phase::Finished(_));
        let keep = self.definition.privacy.keep_updates;
        let weights = self.definition.model.weights.sha256;
        let rounds = self.rounds.iter().enumerate().flat_map(move |(index, round)| {
            let updates = keep || open && index + 1 == current as usize && round.result.is_none();
            let updates = round.updates.values().filter(move |_| updates).map(|update| update.blob);
            round.result.into_iter().chain(updates)
        });
        let statistics = self.statistics.values().copied().filter(move |_| open && current == 0);
        [weights].into_iter().chain(self.optimizer).chain(self.projection).chain(statistics).chain(rounds)
    }

    /// Contents of the round that may just have ended, which nobody needs once it has.
    pub fn released(&self) -> Vec<Hash> {
        let ended = self.rounds.iter().rev().take(2).flat_map(|round| round.updates.values());
        let statistics = self.statistics.values().copied().filter(|_| self.rounds.len() <= 1);
        let needed: HashSet<Hash> = self.needed().collect();
        statistics.chain(ended.map(|update| update.blob)).filter(|hash| !needed.contains(hash)).collect()
    }

    /// What a poll answers.
    pub fn state(&self, client: Option<ClientId>, attendance: Attendance, now: Duration) -> StateView {
        let round = self.round();
        let in_statistics = matches!(self.phase, Phase::Statistics) || round == 0;
        let (accepted, submitted) = if in_statistics {
            (self.statistics.len(), client.is_some_and(|client| self.statistics.contains_key(&client)))
        } else {
            let updates = self.get_round(round).map(|round| &round.updates);
            let submitted = client.zip(updates).is_some_and(|(client, updates)| updates.contains_key(&client));
            (updates.map_or(0, BTreeMap::len), submitted)
        };
        let deadline = self.deadline();
        let remaining_ms = deadline.map(|deadline| deadline.as_millis() as i64 - now.as_millis() as i64);
        StateView {
            phase: match self.phase {
                Phase::Gathering => protocol::Phase::Gathering,
                Phase::Statistics => protocol::Phase::Statistics,
                Phase::Training { .. } => protocol::Phase::Training,
                Phase::Aggregating { .. } => protocol::Phase::Aggregating,
                Phase::Finished(_) => protocol::Phase::Finished,
                Phase::Paused { .. } => protocol::Phase::Paused,
            },
            why: self.why(attendance, accepted, remaining_ms.is_some_and(|remaining| remaining <= 0)),
            round,
            rounds: self.definition.rounds,
            model: self.model,
            projection: self.projection,
            clients: attendance.clients,
            present: attendance.present,
            accepted: accepted as u32,
            submitted,
            remaining_ms,
            retry_after_ms: self.retry_after_ms(),
        }
    }

    /// Why it does not go on, where it does not; `late`: the deadline of the round is over.
    fn why(&self, attendance: Attendance, accepted: usize, late: bool) -> Option<Why> {
        let wanted = self.definition.quorum.min_clients;
        let accepted = accepted as u32;
        match self.phase {
            Phase::Finished(Cause::Rounds) => Some(Why::RoundsDone),
            Phase::Finished(Cause::Host) => Some(Why::FinishedByHost),
            Phase::Finished(Cause::Diverged) if self.rounds.is_empty() => Some(Why::NoProjection),
            Phase::Finished(Cause::Diverged) => Some(Why::Diverged),
            Phase::Paused { .. } => Some(Why::PausedByHost),
            Phase::Gathering if self.model.is_none() => Some(Why::ModelMissing),
            Phase::Gathering if attendance.present < wanted => Some(Why::TooFewClients),
            Phase::Gathering => (self.definition.start == Start::Manual).then_some(Why::WaitsForHost),
            // Who has answered may be away.
            Phase::Statistics | Phase::Training { .. } if attendance.present.max(accepted) < wanted => {
                Some(Why::TooFewClients)
            }
            Phase::Statistics | Phase::Training { .. } if late && accepted < wanted => Some(Why::TooFewAnswers),
            Phase::Statistics | Phase::Training { .. } => late.then_some(Why::Stragglers),
            Phase::Aggregating { .. } => None,
        }
    }

    /// How long a client may wait before it asks again: often enough to count as present.
    pub fn retry_after_ms(&self) -> u64 {
        let wanted = match self.phase {
            Phase::Aggregating { .. } => 500,
            Phase::Finished(_) | Phase::Paused { .. } => 10_000,
            Phase::Gathering | Phase::Statistics | Phase::Training { .. } => 2_000,
        };
        wanted.min((self.definition.deadlines.presence_s * 1000.0 / 3.0) as u64).max(20)
    }

    /// A round as everybody may see it.
    pub fn round_view(&self, number: u32) -> Option<RoundView> {
        let round = self.get_round(number)?;
        let entry = |update: &Update| UpdateEntry { sha256: update.blob, samples: update.samples, norm: update.norm };
        // By hash: neither the order of arrival nor that of clients' names is anybody's business.
        let mut updates: Vec<UpdateEntry> = round.updates.values().map(entry).collect();
        updates.sort_by_key(|update| update.sha256);
        let metrics =
            |reports: &BTreeMap<ClientId, Metrics>| Evaluation::of(&reports.values().copied().collect::<Vec<_>>());
        let local: Vec<Metrics> = round.updates.values().filter_map(|update| update.metrics).collect();
        Some(RoundView {
            round: number,
            model: round.model,
            targets: round.targets.clone(),
            updates,
            result: round.result,
            evaluation: metrics(&round.evaluation),
            result_evaluation: match self.get_round(number + 1) {
                Some(next) => metrics(&next.evaluation),
                None => metrics(&self.final_evaluation),
            },
            local: Evaluation::of(&local),
        })
    }
}
