//! Contents on their way to the coordinator: chunked, resumable, idempotent.

use std::collections::VecDeque;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::federation::protocol::{Encoder, FinishUpload, Hash, Metrics, Received};

/// Times that a content may be found damaged on arrival before the client gives up.
pub(super) const RESENDS_MAX: u32 = 3;

/// What an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Content {
    Statistics,
    Update { round: u32, model: Hash },
}

impl Content {
    /// 0 for statistics.
    pub fn round(self) -> u32 {
        match self {
            Self::Statistics => 0,
            Self::Update { round, .. } => round,
        }
    }
}

/// An upload, also across reloads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Upload {
    pub content: Content,
    bytes: ByteBuf,
    finish: FinishUpload,
    /// With which to go on once it has been accepted.
    pub next: Option<Encoder>,
    /// Chunks that are still to be sent; `None` until the coordinator has been asked.
    #[serde(skip)]
    missing: Option<VecDeque<u32>>,
    #[serde(skip)]
    chunk_bytes: u64,
    #[serde(skip)]
    pub resent: u32,
}

/// What to ask next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UploadStep {
    AskChunks,
    Chunk(u32),
    Finish,
}

impl Upload {
    pub fn new(
        content: Content,
        bytes: Vec<u8>,
        samples: u64,
        metrics: Option<Metrics>,
        next: Option<Encoder>,
    ) -> Self {
        let finish = FinishUpload { sha256: Hash::of(&bytes), bytes: bytes.len() as u64, samples, metrics };
        Self { content, bytes: bytes.into(), finish, next, missing: None, chunk_bytes: 0, resent: 0 }
    }

    pub fn sha256(&self) -> Hash {
        self.finish.sha256
    }

    /// Bytes at the coordinator and in all.
    pub fn progress(&self) -> (u64, u64) {
        let total = self.finish.bytes;
        let missing = self
            .missing
            .as_ref()
            .map(|missing| missing.iter().map(|&index| self.chunk(index).len() as u64).sum::<u64>());
        (total - missing.unwrap_or(total), total)
    }

    pub fn step(&self) -> UploadStep {
        match &self.missing {
            None => UploadStep::AskChunks,
            Some(missing) => missing.front().map_or(UploadStep::Finish, |&index| UploadStep::Chunk(index)),
        }
    }

    fn chunk(&self, index: u32) -> Range<usize> {
        let end = self.bytes.len();
        let start = (u64::from(index) * self.chunk_bytes).min(end as u64) as usize;
        start..(start as u64 + self.chunk_bytes).min(end as u64) as usize
    }

    pub fn chunk_bytes(&self, index: u32) -> Vec<u8> {
        self.bytes[self.chunk(index)].to_vec()
    }

    pub fn finish(&self) -> &FinishUpload {
        &self.finish
    }

    /// Which chunks are there. A length of 0 is nonsense and taken as 1 MiB.
    pub fn learn(&mut self, received: &Received) {
        self.chunk_bytes =
            if received.chunk_bytes == 0 { crate::federation::protocol::CHUNK_BYTES } else { received.chunk_bytes };
        let count = self.finish.bytes.div_ceil(self.chunk_bytes) as u32;
        self.missing = Some((0..count).filter(|index| !received.received.contains(index)).collect());
    }

    pub fn stored(&mut self, index: u32) {
        if let Some(missing) = &mut self.missing {
            missing.retain(|&other| other != index);
        }
    }

    /// Asks again which chunks are there, for example after the coordinator has forgotten them.
    pub fn look_again(&mut self) {
        self.missing = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(chunk_bytes: u64, received: &[u32]) -> Received {
        Received { chunk_bytes, received: received.to_vec(), accepted: None }
    }

    #[test]
    fn only_what_is_missing_is_sent() {
        let mut upload = Upload::new(Content::Statistics, (0..25).collect(), 0, None, None);
        assert_eq!(upload.step(), UploadStep::AskChunks);
        upload.learn(&received(10, &[1]));
        assert_eq!((upload.step(), upload.progress()), (UploadStep::Chunk(0), (10, 25)));
        upload.stored(0);
        assert_eq!(upload.step(), UploadStep::Chunk(2));
        assert_eq!(upload.chunk_bytes(2), [20, 21, 22, 23, 24]);
        upload.stored(2);
        upload.stored(2);
        assert_eq!((upload.step(), upload.progress()), (UploadStep::Finish, (25, 25)));
        upload.look_again();
        upload.learn(&received(10, &[]));
        assert_eq!(upload.step(), UploadStep::Chunk(0));
    }

    #[test]
    fn a_kept_upload_goes_on() {
        let mut upload = Upload::new(Content::Update { round: 3, model: Hash([1; 32]) }, vec![7; 30], 5, None, None);
        upload.learn(&received(10, &[0, 1]));
        let kept: Upload = postcard::from_bytes(&postcard::to_stdvec(&upload).unwrap()).unwrap();
        assert_eq!((kept.step(), kept.finish()), (UploadStep::AskChunks, upload.finish()));
        assert_eq!(kept.sha256(), Hash::of(&[7; 30]));
    }
}
