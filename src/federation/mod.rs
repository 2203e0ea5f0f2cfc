//! Federated rounds: many labs improve one model, and no scene leaves its tab.
//!
//! [`protocol`] is what client and coordinator say to each other, `docs/federation.md` describes it for a third party; [`client`]
//! takes part.

pub mod client;
pub mod protocol;
