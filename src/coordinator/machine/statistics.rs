//! Round 0: clients send the band statistics of their scenes.
//!
//! | message | outcome |
//! | --- | --- |
//! | statistics | `accepted`; `duplicate` (the same again); `already_submitted` (other ones) |
//! | tick | closes the round when it is ripe |
//! | update | `statistics_first` |
//! | pause, finish | `done` |
//! | resume | `not_paused` |
//! | start | `already_started` |

use std::time::Duration;

use super::{Cause, Decision, Event, Federation, Message};
use crate::federation::protocol::Reason;

pub(super) fn decide(federation: &Federation, message: &Message, now: Duration) -> Result<Decision, Reason> {
    match *message {
        Message::Statistics { client, blob } => match federation.statistics.get(&client) {
            Some(accepted) if *accepted == blob => Decision::nothing(Reason::Duplicate),
            Some(_) => Err(Reason::AlreadySubmitted),
            None => Decision::with(Reason::Accepted, [Event::StatisticsAccepted { client, blob }]),
        },
        Message::Tick if federation.is_ripe(&federation.statistics, now) => {
            Decision::with(Reason::Done, [Event::RoundClosed { round: 0 }])
        }
        Message::Tick => Decision::nothing(Reason::Done),
        Message::Update { .. } => Err(Reason::StatisticsFirst),
        Message::Pause => Decision::with(Reason::Done, [Event::Paused]),
        Message::Finish => Decision::with(Reason::Done, [Event::Finished { cause: Cause::Host }]),
        Message::Resume => Err(Reason::NotPaused),
        _ => Err(Reason::AlreadyStarted),
    }
}
