//! Plain arithmetic of the page, free of browser and framework: its tests run natively with all others.

pub mod axis;
pub mod bench_request;
pub mod companions;
pub mod draft;
pub mod federate;
pub mod host;
pub mod neighbours;
pub mod number;
pub mod palette;
pub mod plan;
pub mod presets;
pub mod sentence;
pub mod viewport;
pub mod weights;
