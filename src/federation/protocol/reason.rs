//! Every outcome of every message.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

macro_rules! reasons {
    ($($(#[doc = $about:literal])+ $name:ident = $status:literal $code:literal,)+) => {
        /// What became of a message: an HTTP status and a code that never change their meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[doc = $about])+ #[serde(rename = $code)] $name,)+
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The HTTP status of the answer.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),+ }
            }

            /// The code in the field `reason` of the answer.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// What happened and what to do, in sentences.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => concat!($($about),+).trim_ascii()),+ }
            }
        }
    };
}

reasons! {
    /// The federation was created.
    Created = 201 "created",
    /// The client is a member now.
    Joined = 201 "joined",
    /// It was accepted and will be counted once.
    Accepted = 201 "accepted",
    /// The chunk lies at the coordinator. It counts once the upload is finished.
    Stored = 200 "stored",
    /// Exactly this was accepted before. It is counted once; nothing is left to do.
    Duplicate = 200 "duplicate",
    /// Done.
    Done = 200 "done",
    /// The body is no message of this protocol. See the detail; correct the client.
    Malformed = 400 "malformed",
    /// The definition of the federation contradicts itself. See the detail; correct it.
    DefinitionInvalid = 422 "definition_invalid",
    /// The other side speaks another version of the protocol. Reload the page or update the coordinator.
    VersionUnknown = 400 "version_unknown",
    /// The request carries no token. Send it in the header "authorization: Bearer …".
    TokenMissing = 401 "token_missing",
    /// The token is unknown here. Ask the host for a new link, or join again.
    TokenWrong = 401 "token_wrong",
    /// The token does not allow this.
    TokenNotAllowed = 403 "token_not_allowed",
    /// Pages of this origin may not talk to this coordinator. Its operator can allow it with --origin.
    OriginNotAllowed = 403 "origin_not_allowed",
    /// This server shows the page only. Its operator can turn federations on with --data FOLDER.
    FederationsOff = 404 "federations_off",
    /// There is nothing at this address.
    PathUnknown = 404 "path_unknown",
    /// This address does not take this method.
    MethodNotAllowed = 405 "method_not_allowed",
    /// There is no such federation here. Check the link.
    FederationUnknown = 404 "federation_unknown",
    /// There is no such round.
    RoundUnknown = 404 "round_unknown",
    /// There is no such content here; it may have been deleted after its round.
    BlobUnknown = 404 "blob_unknown",
    /// The body did not arrive in time. Send it again.
    TooSlow = 408 "too_slow",
    /// The body is longer than this address takes.
    BodyTooLarge = 413 "body_too_large",
    /// An upload of this length cannot be what was asked for.
    UploadTooLarge = 413 "upload_too_large",
    /// Too many requests. Wait as long as retry_after_ms says.
    TooManyRequests = 429 "too_many_requests",
    /// The coordinator is checking as much as it can. Send it again after retry_after_ms.
    Busy = 503 "busy",
    /// The federation has as many clients as it may have.
    FederationFull = 409 "federation_full",
    /// The coordinator holds as many federations as it may hold. Finish one, or raise --max-federations.
    TooManyFederations = 409 "too_many_federations",
    /// The model has not been uploaded yet. The host uploads it before the start.
    ModelMissing = 409 "model_missing",
    /// The federation has not started. Ask again after retry_after_ms.
    NotStarted = 409 "not_started",
    /// The federation has started already.
    AlreadyStarted = 409 "already_started",
    /// Fewer clients are present than the quorum needs. Wait for more, or lower the quorum.
    TooFewClients = 409 "too_few_clients",
    /// This federation has no round 0: it shares no band statistics.
    NoStatistics = 409 "no_statistics",
    /// Round 0 is gathering band statistics. Send those first.
    StatisticsFirst = 409 "statistics_first",
    /// The federation is paused. What was accepted is kept; ask again after retry_after_ms.
    Paused = 409 "paused",
    /// The federation goes on. Finish it before you delete it.
    NotFinished = 409 "not_finished",
    /// The federation is not paused.
    NotPaused = 409 "not_paused",
    /// The round is being aggregated. Ask again after retry_after_ms.
    Aggregating = 409 "aggregating",
    /// The federation has finished. Its model can be fetched.
    Finished = 410 "finished",
    /// The round has closed without this. Fetch the current model and take the current round.
    Late = 410 "late",
    /// This round has not opened yet.
    RoundNotOpen = 409 "round_not_open",
    /// Something else of this client was accepted in this round. One counts.
    AlreadySubmitted = 409 "already_submitted",
    /// The file was made for another round, model, client or federation. Replays do not count.
    Replayed = 409 "replayed",
    /// Chunks are missing or have the wrong length. Ask which ones have been received and send the others.
    ChunksMissing = 409 "chunks_missing",
    /// The content does not have the hash that was said. Send it again.
    HashMismatch = 422 "hash_mismatch",
    /// The file is no safetensors file, or a damaged one.
    TensorsMalformed = 422 "tensors_malformed",
    /// The file lacks a tensor, has one too many, or one of another shape or type than the federation asks for.
    ShapeMismatch = 422 "shape_mismatch",
    /// The file holds numbers that are infinite or not a number.
    NotFinite = 422 "not_finite",
    /// The file holds a number larger than 65536 in magnitude.
    ValueTooLarge = 422 "value_too_large",
    /// The update is longer than the norm that the federation allows.
    NormTooLarge = 422 "norm_too_large",
    /// The sample count is 0 or more than the federation allows.
    SamplesOutOfRange = 422 "samples_out_of_range",
    /// The band statistics contradict themselves: a count of 0, a matrix that is not symmetric, a range upside down.
    StatisticsInvalid = 422 "statistics_invalid",
    /// A metric lies outside its range.
    MetricsInvalid = 422 "metrics_invalid",
    /// The coordinator could not write to its disk. The operator finds more in its log; try again later.
    StorageFailed = 507 "storage_failed",
    /// The coordinator is shutting down. Try again when it is back.
    ShuttingDown = 503 "shutting_down",
}

impl Reason {
    /// Whether the message had its effect, now or before.
    pub const fn is_success(self) -> bool {
        self.status() < 300
    }

    /// A refusal that says more than its reason.
    pub fn because(self, detail: impl fmt::Display) -> Refusal {
        Refusal { reason: self, detail: Some(detail.to_string()), retry_after_ms: None }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// A message that had no effect.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}{}", .detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default())]
pub struct Refusal {
    pub reason: Reason,
    /// What exactly, for people. Never holds a token.
    pub detail: Option<String>,
    /// When to try again, where that is known.
    pub retry_after_ms: Option<u64>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: None, retry_after_ms: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_differ_and_are_those_of_the_json() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        for &reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.code());
            assert!(reason.sentence().ends_with(['.', '…']) && !reason.sentence().contains("  "), "{reason:?}");
        }
    }

    /// The document lists every reason with its status, and no other.
    #[test]
    fn the_document_lists_every_reason() {
        let document = include_str!("../../../docs/federation.md");
        let section = document.split("## Reasons").nth(1).expect("a section").split("\n## ").next().unwrap();
        let mut listed: Vec<(u16, &str)> = section
            .lines()
            .filter_map(|line| {
                let mut cells = line.split('|').map(str::trim).skip(1);
                let status = cells.next()?.parse().ok()?;
                Some((status, cells.next()?.trim_matches('`')))
            })
            .collect();
        let mut expected: Vec<(u16, &str)> =
            Reason::ALL.iter().map(|reason| (reason.status(), reason.code())).collect();
        listed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(listed, expected);
    }
}
