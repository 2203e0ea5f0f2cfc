//! A GGUF file from an address, in pieces, gone on with where it broke off.

use super::cache::{Cache, Resumed};
use super::incoming::{Arrived, Incoming};
use super::network::{Body, Get, Network, NetworkError, Response};
use super::{CatalogueEntry, ShelfError};

/// Bytes that are asked for at once: a broken connection wastes little, and a request costs little beside them.
const PIECE: u64 = 8 << 20;
pub(super) const MAGIC: [u8; 4] = *b"GGUF";

/// How often and how long a download waits for a connection that broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Failures in a row, without a byte between them, after which it gives up.
    pub attempts: u32,
    /// Before the second attempt; twice as long before each further one.
    pub first_ms: u32,
}

impl Default for Patience {
    /// Half a minute.
    fn default() -> Self {
        Self { attempts: 7, first_ms: 500 }
    }
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// What an earlier attempt has left is hashed.
    Verifying,
    /// Bytes came, or a connection was made.
    Receiving,
    /// The connection broke; wait so long, then go on.
    Wait { milliseconds: u32, reason: String },
    /// Everything is here.
    Done,
}

/// A download that goes step by step.
pub struct Download {
    url: String,
    /// Of the catalogue, or of the user.
    expected_bytes: Option<u64>,
    expected_sha256: Option<String>,
    incoming: Incoming,
    /// What tells this version of the file from others.
    validator: Option<String>,
    total: Option<u64>,
    patience: Patience,
    state: State,
    /// Failures since the last byte.
    failures: u32,
    /// Times that everything had to be thrown away.
    restarts: u32,
    /// The first bytes, until they can be judged.
    head: Vec<u8>,
}

enum State {
    /// Bytes of an earlier attempt are to be hashed.
    Left,
    /// A request is to be made.
    Ask,
    /// Bytes come. `part`: the answer is a piece (206), not the whole file.
    Receive {
        body: Box<dyn Body>,
        part: bool,
        asked: u64,
    },
    Done,
}

impl Download {
    /// Begins, or goes on with what an earlier attempt has left. `title` names the file for people.
    ///
    /// # Errors
    /// [`ShelfError`] when the cache fails.
    pub async fn new(
        cache: &Cache,
        url: &str,
        title: &str,
        sha256: Option<String>,
        patience: Patience,
    ) -> Result<Self, ShelfError> {
        let Resumed { incoming, validator, total } = cache.begin_download(url, title).await?;
        Ok(Self {
            url: url.to_owned(),
            expected_bytes: None,
            expected_sha256: sha256.map(|hash| hash.to_ascii_lowercase()),
            incoming,
            validator,
            total,
            patience,
            state: State::Left,
            failures: 0,
            restarts: 0,
            head: Vec::new(),
        })
    }

    /// An entry of the catalogue.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`ShelfError::NoRoom`] when there is no room for it.
    pub async fn of_catalogue(cache: &Cache, entry: &CatalogueEntry, patience: Patience) -> Result<Self, ShelfError> {
        let mut download = Self::new(cache, &entry.url, &entry.name, Some(entry.sha256.clone()), patience).await?;
        download.expected_bytes = Some(entry.bytes);
        download.incoming.expect(Some(entry.bytes)).await?;
        Ok(download)
    }

    /// Bytes that are here, and of how many.
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.incoming.len(), self.total.or(self.expected_bytes))
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// True after it gave up because of the connection: what is here is of use for a later attempt.
    pub fn is_broken(&self) -> bool {
        self.failures >= self.patience.attempts
    }

    /// Does the next piece of work: makes a request, or takes the bytes that have come.
    ///
    /// # Errors
    /// [`ShelfError`] when the server has no such file, or another one, or there is no room; after too many broken connections
    /// [`ShelfError::Broken`].
    pub async fn step(&mut self, cache: &Cache, network: &dyn Network) -> Result<Step, ShelfError> {
        match std::mem::replace(&mut self.state, State::Ask) {
            State::Left => {
                if self.incoming.take_over()? {
                    self.state = State::Left;
                    return Ok(Step::Verifying);
                }
                if self.total.is_some_and(|total| self.incoming.len() > total) {
                    self.begin_again()?;
                }
                Ok(Step::Receiving)
            }
            State::Ask => self.ask(cache, network).await,
            State::Receive { mut body, part, asked } => match body.next().await {
                Ok(Some(bytes)) => {
                    self.failures = 0;
                    self.take(&bytes).await?;
                    self.state = State::Receive { body, part, asked };
                    Ok(Step::Receiving)
                }
                Ok(None) => self.end_of_answer(part, asked),
                Err(error) => self.broken(&error),
            },
            State::Done => {
                self.state = State::Done;
                Ok(Step::Done)
            }
        }
    }

    /// Checks the hash and opens the file. What is wrong is not kept.
    ///
    /// # Errors
    /// [`ShelfError::Hash`] when it is another file than was promised.
    pub async fn finish(self, cache: &Cache) -> Result<Arrived, ShelfError> {
        let Self { url, expected_sha256, incoming, .. } = self;
        let arrived = incoming.finish().await?;
        match expected_sha256 {
            Some(expected) if expected != arrived.sha256 => {
                cache.forget_resume(&url).await;
                cache.remove_arrived(&arrived).await;
                Err(ShelfError::Hash { name: url, expected, found: arrived.sha256 })
            }
            _ => Ok(arrived),
        }
    }

    /// Ends without leaving anything behind.
    pub async fn discard(self, cache: &Cache) {
        cache.forget_resume(&self.url).await;
        self.incoming.discard().await;
    }

    async fn ask(&mut self, cache: &Cache, network: &dyn Network) -> Result<Step, ShelfError> {
        let from = self.incoming.len();
        if self.total == Some(from) && from > 0 {
            self.state = State::Done;
            return Ok(Step::Done);
        }
        let to = self.total.map_or(u64::MAX, |total| total).min(from + PIECE);
        let if_range = self.validator.clone().filter(|_| from > 0);
        let request = Get { url: self.url.clone(), range: Some((from, to)), if_range };
        let answer = match network.get(&request).await {
            Ok(answer) => answer,
            // A page that was never reached has perhaps a wrong address: say so at once, except in the middle.
            Err(error) if from == 0 && self.failures == 0 && self.validator.is_none() => {
                return Err(ShelfError::unreachable(&self.url, &error));
            }
            Err(error) => return self.broken(&error),
        };
        let Response { status, validator, start, total, content_type, body } = answer;
        match status {
            200 | 206 => {}
            // The file has become shorter, or ends exactly here.
            416 if self.total.is_none() && from > 0 => {
                self.state = State::Done;
                return Ok(Step::Done);
            }
            416 if from > 0 => {
                self.begin_again()?;
                return self.broken(&NetworkError { reason: "the file has changed on the server".to_owned() });
            }
            408 | 425 | 429 | 500..=599 => {
                return self.broken(&NetworkError { reason: format!("the server answers {status}") });
            }
            _ => return Err(ShelfError::of_status(&self.url, status)),
        }
        if content_type == "text/html" {
            return Err(ShelfError::WebPage { url: self.url.clone() });
        }
        let part = status == 206;
        let elsewhere = part && start.is_some_and(|start| start != from);
        let other = validator.is_some() && self.validator.is_some() && validator != self.validator;
        let resized = total.is_some() && self.total.is_some() && total != self.total;
        if from > 0 && (elsewhere || other || resized || !part) {
            // Another version of the file, or a server that knows only whole files: begin again.
            self.begin_again()?;
            if part {
                return self.broken(&NetworkError { reason: "the file has changed on the server".to_owned() });
            }
        }
        if let (Some(expected), Some(found)) = (self.expected_bytes, total)
            && expected != found
        {
            return Err(ShelfError::Size { name: self.url.clone(), expected, found });
        }
        if self.total.is_none() && total.is_some() {
            self.total = total;
            self.incoming.expect(total).await?;
        }
        if part && self.incoming.is_empty() {
            // Without one nobody could tell later whether it is still the same file.
            self.validator = validator;
            cache.note_resume(&self.url, &self.incoming, self.validator.as_deref(), self.total).await?;
        }
        self.state = State::Receive { body, part, asked: to };
        Ok(Step::Receiving)
    }

    /// Takes bytes; looks at the first ones before anything is written.
    async fn take(&mut self, bytes: &[u8]) -> Result<(), ShelfError> {
        let most = self.total.or(self.expected_bytes);
        let held = self.incoming.len() + self.head.len() as u64 + bytes.len() as u64;
        if let Some(expected) = most.filter(|&most| held > most) {
            return Err(ShelfError::Size { name: self.url.clone(), expected, found: held });
        }
        if !self.incoming.is_empty() {
            return self.incoming.append(bytes).await;
        }
        self.head.extend_from_slice(bytes);
        if self.head.len() < MAGIC.len() {
            return Ok(());
        }
        if !self.head.starts_with(&MAGIC) {
            return Err(no_gguf(&self.url, &self.head));
        }
        let head = std::mem::take(&mut self.head);
        self.incoming.append(&head).await
    }

    fn end_of_answer(&mut self, part: bool, asked: u64) -> Result<Step, ShelfError> {
        let len = self.incoming.len();
        if !self.head.is_empty() || len == 0 {
            return Err(ShelfError::NotGguf { url: self.url.clone() });
        }
        match self.total {
            Some(total) if len == total => self.state = State::Done,
            // Shorter than it said, without an error.
            Some(_) if !part || len < asked => {
                return self.broken(&NetworkError { reason: "the answer ended early".to_owned() });
            }
            Some(_) => {}
            // The length is hidden: a short piece, or the end of the whole, is the end.
            None if !part || len < asked => self.state = State::Done,
            None => {}
        }
        Ok(Step::Receiving)
    }

    /// A failure that may pass.
    fn broken(&mut self, error: &NetworkError) -> Result<Step, ShelfError> {
        self.state = State::Ask;
        self.head.clear();
        self.failures += 1;
        let reason = error.reason.clone();
        if self.failures >= self.patience.attempts {
            return Err(ShelfError::Broken { url: self.url.clone(), reason, done: self.incoming.len() });
        }
        let milliseconds = self.patience.first_ms.saturating_mul(1 << (self.failures - 1).min(16));
        Ok(Step::Wait { milliseconds, reason })
    }

    /// Throws away what is here. A server that knows only whole files and always breaks off would otherwise be asked for ever.
    fn begin_again(&mut self) -> Result<(), ShelfError> {
        self.restarts += 1;
        if self.restarts >= self.patience.attempts {
            let reason = "it never sends the whole file".to_owned();
            return Err(ShelfError::Broken { url: self.url.clone(), reason, done: 0 });
        }
        self.incoming.restart()?;
        self.validator = None;
        self.total = None;
        Ok(())
    }
}

/// What an address gives that begins with these bytes.
pub(super) fn no_gguf(url: &str, head: &[u8]) -> ShelfError {
    let text = head.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<');
    let url = url.to_owned();
    if text { ShelfError::WebPage { url } } else { ShelfError::NotGguf { url } }
}
