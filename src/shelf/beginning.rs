//! The beginning of a file on the network: its header, to be looked at before the rest is fetched.

use std::cell::Cell;
use std::rc::Rc;

use super::ShelfError;
use super::download::{MAGIC, no_gguf};
use super::network::{Get, Network, Response};
use crate::scene::{SharedSource, Source, SourceError, check_range};

/// Bytes that are asked for first; most headers are shorter.
const FIRST: u64 = 128 << 10;
/// So many times more are asked for where they are not enough, as long as it can still be a header.
const MORE: u64 = 8;
const MOST: u64 = 8 << 20;
/// In place of a length that the server hides.
const ENDLESS: u64 = u64::MAX >> 1;

/// A file of which the first bytes are here.
struct Beginning {
    name: String,
    len: u64,
    bytes: Vec<u8>,
    /// Somebody wanted to read behind them.
    short: Cell<bool>,
}

impl Source for Beginning {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        check_range(self, offset, buf.len())?;
        let here = usize::try_from(offset).ok().and_then(|start| self.bytes.get(start..)?.get(..buf.len()));
        let Some(bytes) = here else {
            self.short.set(true);
            let reason = format!("only its first {} bytes are here", self.bytes.len());
            return Err(SourceError::Read { name: self.name.clone(), reason });
        };
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

/// What `read` makes of the header of a GGUF file at an address, and the length of the file where the server tells it. `name` is
/// for people. Asks for some more bytes where the first ones are not enough; a server that knows no ranges is interrupted.
///
/// # Errors
/// [`ShelfError`] when there is no such file, when it is no GGUF file, and those of `read`.
pub async fn look<T>(
    network: &dyn Network,
    url: &str,
    name: &str,
    read: impl Fn(&SharedSource) -> Result<T, ShelfError>,
) -> Result<(T, Option<u64>), ShelfError> {
    let mut wanted = FIRST;
    loop {
        let (bytes, total) = fetch(network, url, wanted).await?;
        let len = total.unwrap_or(ENDLESS);
        let beginning = Rc::new(Beginning { name: name.to_owned(), len, bytes, short: Cell::new(false) });
        let source: SharedSource = beginning.clone();
        match read(&source) {
            Err(_) if beginning.short.get() && wanted < MOST => wanted *= MORE,
            found => return Ok((found?, total)),
        }
    }
}

/// The first bytes of a GGUF file, at most `wanted`, and the length of the whole.
async fn fetch(network: &dyn Network, url: &str, wanted: u64) -> Result<(Vec<u8>, Option<u64>), ShelfError> {
    let request = Get { url: url.to_owned(), range: Some((0, wanted)), if_range: None };
    let answer = network.get(&request).await.map_err(|error| ShelfError::unreachable(url, &error))?;
    let Response { status, total, content_type, mut body, .. } = answer;
    match status {
        200 | 206 => {}
        // There is no first byte.
        416 => return Err(no_gguf(url, &[])),
        _ => return Err(ShelfError::of_status(url, status)),
    }
    if content_type == "text/html" {
        return Err(ShelfError::WebPage { url: url.to_owned() });
    }
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < wanted {
        let next = body.next().await.map_err(|error| ShelfError::unreachable(url, &error))?;
        let Some(next) = next else { break };
        bytes.extend_from_slice(&next);
        if bytes.len() >= MAGIC.len() && !bytes.starts_with(&MAGIC) {
            break;
        }
    }
    if !bytes.starts_with(&MAGIC) {
        return Err(no_gguf(url, &bytes));
    }
    // A server that tells no length, but whose whole file came.
    let total = total.or_else(|| ((bytes.len() as u64) < wanted).then_some(bytes.len() as u64));
    Ok((bytes, total))
}
