//! A round has closed; its result is being computed from what was accepted.
//!
//! | message | outcome |
//! | --- | --- |
//! | statistics done (round 0) | opens round 1 |
//! | aggregated | opens the next round, or finishes after the last |
//! | diverged | finishes |
//! | the result of another round | nothing: it was computed twice |
//! | update of this or a former round | `duplicate` (it counts); `already_submitted`; `late` |
//! | update of a later round | `round_not_open`, `aggregating` for the next one |
//! | statistics | `duplicate`; `already_submitted`; `late`; `no_statistics` |
//! | pause | `aggregating`: in a moment |
//! | finish | `done`; what was accepted in this round is given up |
//! | resume | `not_paused` |
//! | start | `already_started` |

use super::{Cause, Decision, Event, Federation, Message};
use crate::federation::protocol::Reason;

pub(super) fn decide(federation: &Federation, current: u32, message: &Message) -> Result<Decision, Reason> {
    match message {
        Message::StatisticsDone { projection } if current == 0 => {
            let events = [Event::StatisticsDone { projection: *projection }, Event::RoundOpened { round: 1 }];
            Decision::with(Reason::Done, events)
        }
        Message::Aggregated { round, model, optimizer, targets } if *round == current && current > 0 => {
            let (round, model, optimizer, targets) = (current, *model, *optimizer, targets.clone());
            let next = if current >= federation.definition.rounds {
                Event::Finished { cause: Cause::Rounds }
            } else {
                Event::RoundOpened { round: current + 1 }
            };
            Decision::with(Reason::Done, [Event::Aggregated { round, model, optimizer, targets }, next])
        }
        Message::Diverged { round } if *round == current => {
            Decision::with(Reason::Done, [Event::Finished { cause: Cause::Diverged }])
        }
        Message::Update { client, round, update } if *round <= current => {
            federation.past_update(client, *round, update.blob)
        }
        Message::Update { round, .. } if *round == current + 1 => Err(Reason::Aggregating),
        Message::Update { .. } => Err(Reason::RoundNotOpen),
        Message::Statistics { client, blob } => federation.past_statistics(client, *blob),
        Message::Tick | Message::StatisticsDone { .. } | Message::Aggregated { .. } | Message::Diverged { .. } => {
            Decision::nothing(Reason::Done)
        }
        Message::Finish => Decision::with(Reason::Done, [Event::Finished { cause: Cause::Host }]),
        Message::Resume => Err(Reason::NotPaused),
        Message::Start => Err(Reason::AlreadyStarted),
        _ => Err(Reason::Aggregating),
    }
}
