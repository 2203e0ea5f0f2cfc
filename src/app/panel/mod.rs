//! Everything around the image.

mod cautions;
mod classes;
mod codes;
mod confusion;
mod device;
mod figures;
mod model;
mod notices;
mod questions;
mod rail;
mod results;
mod samples;
mod scene;
mod split;
mod status;
mod take_away;
mod top_bar;
mod train;
mod tuning;
mod weights;

pub use model::size_word;
pub use notices::Notices;
pub use questions::Questions;
pub use rail::Rail;
pub use results::{Results, Tabs};
pub use status::StatusLine;
pub use top_bar::{Later, TopBar};
