//! The engine: scene, training and mapping behind typed messages. In the page it lives in a dedicated worker.

pub mod message;

#[cfg(all(feature = "engine", target_arch = "wasm32"))]
mod browser;
#[cfg(feature = "model")]
mod clock;
#[cfg(all(feature = "engine", target_arch = "wasm32"))]
mod constructors;
#[cfg(feature = "model")]
mod control;
#[cfg(feature = "model")]
mod device;
#[cfg(feature = "model")]
pub mod federation;
#[cfg(feature = "model")]
pub mod fit;
#[cfg(feature = "model")]
mod heap;
#[cfg(feature = "model")]
mod jobs;
#[cfg(feature = "model")]
pub mod memory;
#[cfg(feature = "model")]
mod refusal;
#[cfg(feature = "model")]
mod render;
#[cfg(feature = "model")]
mod session;
#[cfg(feature = "model")]
mod weights;
#[cfg(all(feature = "engine", target_arch = "wasm32"))]
pub mod worker;

#[cfg(all(feature = "engine", target_arch = "wasm32"))]
pub use constructors::run_constructors;
#[cfg(feature = "model")]
pub use heap::Allocator;
#[cfg(feature = "model")]
pub use session::{Outbox, Session};
#[cfg(feature = "model")]
pub use weights::Shelf;
