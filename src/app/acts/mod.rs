//! What the page does: every act of the user, every event of the engine. Acts change the [`Store`](crate::app::state::Store);
//! components only call them.

pub mod drop;
pub mod federate;
pub mod host;
pub mod job;
pub mod keep;
pub mod labels;
pub mod model;
pub mod neighbours;
pub mod no_data;
pub mod recover;
pub mod scene;
pub mod split;
pub mod take_away;
pub mod weights;

use leptos::prelude::*;

use crate::app::state::{JobState, Store};

/// The running job cannot go on.
pub fn fail_running(store: Store, message: String) {
    if store.job.get_untracked() == JobState::Federating {
        federate::on_failure(store, message);
    } else {
        job::on_failure(store, message);
    }
}
