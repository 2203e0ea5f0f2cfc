//! What client and coordinator say to each other, version 1. Described for a third party in `docs/federation.md`.
//!
//! Control messages are JSON, tensors are safetensors. Whatever arrives is checked before memory is taken for it; every
//! refusal has a [`Reason`] with a status of its own.
//!
//! | file | what |
//! | --- | --- |
//! | `id` | names of federations and clients, hashes of contents |
//! | `definition` | what a federation fixes once and for all |
//! | `messages` | the JSON bodies of requests and answers |
//! | `reason` | every outcome of every message |
//! | `why` | why a federation does not go on by itself |
//! | `tensors` | the header of a safetensors file, and numbers from it |
//! | `encoding` | how a change of weights is written: float32, float16, int8 with error feedback |
//! | `update` | the file of an update, written and checked |
//! | `bands` | the file of band statistics, and their exact sum |

mod bands;
mod definition;
mod encoding;
mod id;
mod messages;
mod reason;
mod tensors;
mod update;
mod why;

pub use bands::{BandStatistics, BandSum, STATISTICS_HEADER_MAX, StatisticsError, statistics_bytes};
pub use definition::{
    Algorithm, BlobRef, Class, Deadlines, Definition, DefinitionError, Input, Limits, LocalWork, Model, Privacy,
    Quorum, Robust, ServerOptimizer, Start, Trainable, Wsa, WsaSchedule,
};
pub use encoding::{BLOCK, Encoding};
pub use id::{BadId, ClientId, FederationId, Hash};
pub use messages::{
    Answer, Created, Evaluation, FederationView, FinishUpload, Invited, Join, Joined, LayerTarget, Metrics, Phase,
    Received, RoundView, ServerLimits, Spread, StateView, Statistic, UpdateEntry,
};
pub use reason::{Reason, Refusal};
pub use tensors::{Layout, Tensor, TensorsError, read_f32};
pub use update::{
    Binding, Encoded, Encoder, UPDATE_HEADER_MAX, Update, UpdateError, UpdatePlan, UpdateSummary, VALUE_MAX,
};
pub use why::Why;

#[cfg(test)]
mod update_tests;

/// The version that this program speaks. A definition and a joining client name theirs; others are refused.
pub const VERSION: u32 = 1;

/// JSON bodies are at most this long.
pub const JSON_MAX: usize = 1 << 20;

/// Chunks of an upload have this length, the last one what is left.
pub const CHUNK_BYTES: u64 = 1 << 20;
