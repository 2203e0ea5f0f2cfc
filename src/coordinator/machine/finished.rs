//! It is over: the model and the history can be fetched, metrics of the last model reported.
//!
//! | message | outcome |
//! | --- | --- |
//! | tick | nothing |
//! | everything else | `finished` |

use super::{Decision, Message};
use crate::federation::protocol::Reason;

pub(super) fn decide(message: &Message) -> Result<Decision, Reason> {
    match message {
        Message::Tick => Decision::nothing(Reason::Done),
        _ => Err(Reason::Finished),
    }
}
