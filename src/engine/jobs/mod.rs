//! Long acts: training, mapping, loading weights, federated rounds, benchmarks. Each is a loop of short steps; between two steps the worker hears its messages,
//! so that a job can be paused and stopped, and the page can draw meanwhile.

mod bench;
mod federate;
mod load;
mod map;
mod pace;
mod train;

pub(super) use bench::bench;
pub(super) use federate::federate;
pub(super) use load::load;
pub(super) use map::map;
pub(super) use train::train;

use super::clock::{breathe, sleep_ms};
use super::message::{Event, RequestId};
use super::session::{Refusal, Session};
use crate::train::TrainError;

/// Why a job ended before its end.
enum Stop {
    Cancelled,
    DeviceLost(String),
    Refused(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

impl From<TrainError> for Stop {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Device(reason) => Stop::DeviceLost(reason),
            error => Stop::Refused(error.into()),
        }
    }
}

/// Lets messages in, waits while paused.
async fn listen(session: &Session) -> Result<(), Stop> {
    breathe().await;
    while session.control.is_paused() && !session.control.is_cancelled() {
        sleep_ms(50).await;
    }
    if session.control.is_cancelled() { Err(Stop::Cancelled) } else { Ok(()) }
}

/// Turns the end of a job into its last event.
fn conclude(session: &Session, id: RequestId, end: Result<(), Stop>) -> Result<(), Refusal> {
    match end {
        Ok(()) => session.post(id, Event::JobFinished),
        Err(Stop::Cancelled) => session.post(id, Event::Cancelled),
        Err(Stop::DeviceLost(reason)) => session.post(id, Event::DeviceLost { reason }),
        Err(Stop::Refused(refusal)) => return Err(refusal),
    }
    Ok(())
}

const BUSY: &str = "a job is already running; stop it first";
