//! Bytes from an address, as far as a download needs them.

use thiserror::Error;

use super::store::Local;

/// What gives the bytes of addresses: `fetch` in browsers, a socket in tests.
pub trait Network {
    /// Asks for an address and gives what came before the body.
    ///
    /// # Errors
    /// [`NetworkError`] when there is no answer; an answer with a bad status is none.
    fn get<'a>(&'a self, request: &'a Get) -> Local<'a, Result<Response, NetworkError>>;
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Get {
    /// Absolute, or relative to the page.
    pub url: String,
    /// First byte and the one after the last; `None` for everything.
    pub range: Option<(u64, u64)>,
    /// The validator of the bytes that are here already (`If-Range`): only the rest of the same file is of use. Not sent to
    /// other origins, where it would need their permission; the answer's validator is compared anyway.
    pub if_range: Option<String>,
}

/// The beginning of an answer. Servers of other origins hide some of it.
pub struct Response {
    pub status: u16,
    /// `ETag` if it is a strong one, else `Last-Modified`.
    pub validator: Option<String>,
    /// First byte of the part (206), where told.
    pub start: Option<u64>,
    /// Bytes of the whole file, where told.
    pub total: Option<u64>,
    /// Without parameters, lower case.
    pub content_type: String,
    pub body: Box<dyn Body>,
}

/// The bytes of an answer, as they come. Dropping it ends the transfer.
pub trait Body {
    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    /// [`NetworkError`] when the connection breaks.
    fn next(&mut self) -> Local<'_, Result<Option<Vec<u8>>, NetworkError>>;
}

/// A connection that failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct NetworkError {
    pub reason: String,
}

/// No network, for a reason.
#[derive(Debug, Clone)]
pub struct Offline(pub String);

impl Network for Offline {
    fn get<'a>(&'a self, _request: &'a Get) -> Local<'a, Result<Response, NetworkError>> {
        Box::pin(std::future::ready(Err(NetworkError { reason: self.0.clone() })))
    }
}

/// What the headers of an answer say, by their names in lower case.
pub fn response(status: u16, header: impl Fn(&str) -> Option<String>, body: Box<dyn Body>) -> Response {
    let etag = header("etag").filter(|tag| !tag.starts_with("W/"));
    // "bytes 0-99/1234"
    let range = header("content-range").and_then(|value| {
        let (span, total) = value.strip_prefix("bytes ")?.split_once('/')?;
        let start = span.split_once('-').and_then(|(start, _)| start.parse().ok());
        Some((start, total.parse().ok()))
    });
    let (start, total) = range.unwrap_or((None, None));
    // The length of a compressed body says nothing about the bytes that arrive.
    let length = match header("content-encoding") {
        None => header("content-length").and_then(|length| length.parse().ok()),
        Some(_) => None,
    };
    let content_type = header("content-type").unwrap_or_default();
    Response {
        status,
        validator: etag.or_else(|| header("last-modified")),
        start,
        total: if status == 206 { total } else { length },
        content_type: content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase(),
        body,
    }
}
