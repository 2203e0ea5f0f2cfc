//! Who belongs to a federation, and what is allowed in every phase.

use std::time::Duration;

use super::{Decision, Event, Federation, Message, Phase};
use crate::federation::protocol::{ClientId, Hash, Reason};

/// A client that has joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// SHA-256 of its token.
    pub token: Hash,
    /// It has left for good; its token is void. What was accepted from it still counts.
    pub departed: bool,
    /// Its last request. Not in the log.
    pub seen: Duration,
}

/// Members that have not left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attendance {
    pub clients: u32,
    pub present: u32,
}

impl Federation {
    /// Members that count when it is asked who still has to answer.
    pub(super) fn present(&self, now: Duration) -> impl Iterator<Item = &ClientId> {
        let presence = Duration::from_secs_f64(self.definition.deadlines.presence_s);
        self.members
            .iter()
            .filter(move |(_, member)| !member.departed && now.saturating_sub(member.seen) < presence)
            .map(|(client, _)| client)
    }

    /// How many members there are and how many of them are present; takes a look at each.
    pub fn attendance(&self, now: Duration) -> Attendance {
        Attendance {
            clients: self.members.values().filter(|member| !member.departed).count() as u32,
            present: self.present(now).count() as u32,
        }
    }

    /// A client has asked for something.
    pub fn saw(&mut self, client: ClientId, now: Duration) {
        if let Some(member) = self.members.get_mut(&client) {
            member.seen = now;
        }
    }

    /// Messages whose outcome does not depend on the phase.
    ///
    /// | message | outcome |
    /// | --- | --- |
    /// | invite | `done` |
    /// | leave | `done`; `duplicate` when it has left |
    /// | join | `joined`; `finished`; `federation_full` |
    /// | model stored | `duplicate` once it is |
    /// | evaluate | `accepted`; `duplicate` (the same again); `already_submitted` (others); `round_unknown`; `metrics_invalid` |
    pub(super) fn always(&self, message: &Message) -> Option<Result<Decision, Reason>> {
        Some(match *message {
            Message::Invite { token } => Decision::with(Reason::Done, [Event::Invited { token }]),
            Message::Leave { client } => match self.members.get(&client) {
                Some(member) if !member.departed => Decision::with(Reason::Done, [Event::Left { client }]),
                _ => Decision::nothing(Reason::Duplicate),
            },
            Message::Join { client, token } => self.join(client, token),
            Message::ModelStored { .. } if self.model.is_some() => Decision::nothing(Reason::Duplicate),
            Message::Evaluate { client, round, metrics } => {
                let reports = match self.get_round(round) {
                    Some(round) => &round.evaluation,
                    None if round > 0 && self.has_result(round - 1) => &self.final_evaluation,
                    None => return Some(Err(Reason::RoundUnknown)),
                };
                if let Err(reason) = metrics.check() {
                    return Some(Err(reason));
                }
                match reports.get(&client) {
                    Some(told) if *told == metrics => Decision::nothing(Reason::Duplicate),
                    // One each, or the log would grow as fast as somebody reports.
                    Some(_) => Err(Reason::AlreadySubmitted),
                    None => Decision::with(Reason::Accepted, [Event::Evaluated { client, round, metrics }]),
                }
            }
            _ => return None,
        })
    }

    fn has_result(&self, round: u32) -> bool {
        self.get_round(round).is_some_and(|round| round.result.is_some())
    }

    fn join(&self, client: ClientId, token: Hash) -> Result<Decision, Reason> {
        if let Phase::Finished(_) = self.phase {
            return Err(Reason::Finished);
        }
        // Departed members keep their place in the log, and the log is finite.
        if self.members.len() >= self.definition.quorum.max_clients as usize || self.members.contains_key(&client) {
            return Err(Reason::FederationFull);
        }
        Decision::with(Reason::Joined, [Event::Joined { client, token }])
    }
}
