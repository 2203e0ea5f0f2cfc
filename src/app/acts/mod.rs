//! What the page does: every act of the user, every event of the engine. Acts change the [`Store`](crate::app::state::Store);
//! components only call them.

pub mod drop;
pub mod job;
pub mod keep;
pub mod labels;
pub mod model;
pub mod recover;
pub mod scene;
pub mod split;
pub mod take_away;
pub mod weights;
