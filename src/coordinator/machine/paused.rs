//! The host has paused the federation. What was accepted in the round is kept; the deadline begins anew when it goes on.
//!
//! | message | outcome |
//! | --- | --- |
//! | resume, finish | `done` |
//! | pause | `duplicate` |
//! | update, statistics | `duplicate` (the same was accepted); `already_submitted`, `late` (of a former round); `paused` |
//! | start | `already_started` |
//! | tick | nothing |

use super::{Cause, Decision, Event, Federation, Message};
use crate::federation::protocol::Reason;

pub(super) fn decide(federation: &Federation, current: u32, message: &Message) -> Result<Decision, Reason> {
    // In the current round what is not known yet may still come.
    let open = |outcome: Result<Decision, Reason>| match outcome {
        Err(Reason::Late) => Err(Reason::Paused),
        outcome => outcome,
    };
    match message {
        Message::Resume => Decision::with(Reason::Done, [Event::Resumed]),
        Message::Finish => Decision::with(Reason::Done, [Event::Finished { cause: Cause::Host }]),
        Message::Pause => Decision::nothing(Reason::Duplicate),
        Message::Update { client, round, update } if *round < current => {
            federation.past_update(client, *round, update.blob)
        }
        Message::Update { client, round, update } if *round == current && current > 0 => {
            open(federation.past_update(client, *round, update.blob))
        }
        Message::Statistics { client, blob } if current == 0 => open(federation.past_statistics(client, *blob)),
        Message::Statistics { client, blob } => federation.past_statistics(client, *blob),
        Message::Update { .. } => Err(Reason::Paused),
        Message::Start => Err(Reason::AlreadyStarted),
        _ => Decision::nothing(Reason::Done),
    }
}
