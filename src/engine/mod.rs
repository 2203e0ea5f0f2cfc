//! The engine: scene, training and mapping behind typed messages. In the page it lives in a dedicated worker.

pub mod message;
