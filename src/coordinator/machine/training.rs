//! A round of training: clients send updates.
//!
//! | message | outcome |
//! | --- | --- |
//! | update of this round | `accepted`; `duplicate` (the same again); `already_submitted` (another one); `samples_out_of_range`; `metrics_invalid` |
//! | update of a former round | `duplicate` (it was counted then); `already_submitted` (another one was); `late` |
//! | update of a later round | `round_not_open` |
//! | statistics | `duplicate`; `already_submitted`; `late`; `no_statistics` |
//! | tick | closes the round when it is ripe |
//! | pause, finish | `done` |
//! | resume | `not_paused` |
//! | start | `already_started` |

use std::cmp::Ordering;
use std::time::Duration;

use super::{Cause, Decision, Event, Federation, Message, Update};
use crate::federation::protocol::{ClientId, Reason};

pub(super) fn decide(
    federation: &Federation,
    current: u32,
    message: &Message,
    now: Duration,
) -> Result<Decision, Reason> {
    match message {
        Message::Update { client, round, update } => decide_update(federation, current, *client, *round, update),
        Message::Statistics { client, blob } => federation.past_statistics(client, *blob),
        Message::Tick => match federation.get_round(current) {
            Some(round) if federation.is_ripe(&round.updates, now) => {
                Decision::with(Reason::Done, [Event::RoundClosed { round: current }])
            }
            _ => Decision::nothing(Reason::Done),
        },
        Message::Pause => Decision::with(Reason::Done, [Event::Paused]),
        Message::Finish => Decision::with(Reason::Done, [Event::Finished { cause: Cause::Host }]),
        Message::Resume => Err(Reason::NotPaused),
        _ => Err(Reason::AlreadyStarted),
    }
}

fn decide_update(
    federation: &Federation,
    current: u32,
    client: ClientId,
    round: u32,
    update: &Update,
) -> Result<Decision, Reason> {
    match round.cmp(&current) {
        Ordering::Less => return federation.past_update(&client, round, update.blob),
        Ordering::Greater => return Err(Reason::RoundNotOpen),
        Ordering::Equal => {}
    }
    match federation.get_round(round).and_then(|round| round.updates.get(&client)) {
        Some(accepted) if accepted.blob == update.blob => return Decision::nothing(Reason::Duplicate),
        Some(_) => return Err(Reason::AlreadySubmitted),
        None => {}
    }
    if update.samples == 0 || update.samples > federation.definition.limits.max_samples {
        return Err(Reason::SamplesOutOfRange);
    }
    update.metrics.map_or(Ok(()), |metrics| metrics.check())?;
    Decision::with(Reason::Accepted, [Event::UpdateAccepted { client, round, update: *update }])
}
