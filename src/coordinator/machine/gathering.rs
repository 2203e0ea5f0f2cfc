//! Clients join, the host uploads the model.
//!
//! | message | outcome |
//! | --- | --- |
//! | model stored | `accepted` |
//! | start | `done`; `model_missing`; `too_few_clients` |
//! | tick | starts by itself where the definition says so |
//! | finish | `done` |
//! | pause, resume, statistics, update | `not_started` |

use std::time::Duration;

use super::{Cause, Decision, Event, Federation, Message};
use crate::federation::protocol::{Reason, Start};

pub(super) fn decide(federation: &Federation, message: &Message, now: Duration) -> Result<Decision, Reason> {
    let wanted = federation.definition.quorum.min_clients as usize;
    let enough = || federation.present(now).take(wanted).count() >= wanted;
    match message {
        Message::ModelStored { targets } => {
            Decision::with(Reason::Accepted, [Event::ModelStored { targets: targets.clone() }])
        }
        Message::Start if federation.model.is_none() => Err(Reason::ModelMissing),
        Message::Start if !enough() => Err(Reason::TooFewClients),
        Message::Start => Decision::with(Reason::Done, [federation.opening()]),
        Message::Tick if federation.definition.start == Start::AtQuorum && federation.model.is_some() && enough() => {
            Decision::with(Reason::Done, [federation.opening()])
        }
        Message::Tick => Decision::nothing(Reason::Done),
        Message::Finish => Decision::with(Reason::Done, [Event::Finished { cause: Cause::Host }]),
        _ => Err(Reason::NotStarted),
    }
}
