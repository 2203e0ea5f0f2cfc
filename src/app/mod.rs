//! The page. It paints and asks; the engine computes. It knows nothing of tensors and holds no samples of the scene.
//!
//! | module | what |
//! | --- | --- |
//! | `state` | everything the page knows, as signals |
//! | `acts` | everything the page does |
//! | `link` | the line to the engine's worker |
//! | `view` | the scene in the middle |
//! | `panel` | rail, results, bars, notices |
//! | `federate` | the area of federated rounds |
//! | `chart` | plots |
//! | `bench` | the bench page, `#bench` |
//! | `storage`, `settings` | what survives a reload |
//! | [`plain`] | arithmetic without browser |

pub mod plain;

#[cfg(feature = "app")]
mod acts;
#[cfg(feature = "app")]
mod bench;
#[cfg(feature = "app")]
mod chart;
#[cfg(feature = "app")]
mod dialog;
#[cfg(feature = "app")]
mod federate;
#[cfg(feature = "app")]
mod field;
#[cfg(feature = "app")]
mod icon;
#[cfg(feature = "app")]
mod link;
#[cfg(feature = "app")]
mod page;
#[cfg(feature = "app")]
mod panel;
#[cfg(feature = "app")]
mod settings;
#[cfg(feature = "app")]
mod state;
#[cfg(feature = "app")]
mod storage;
#[cfg(feature = "app")]
mod theme;
#[cfg(feature = "app")]
mod view;

#[cfg(feature = "app")]
pub use page::start;
