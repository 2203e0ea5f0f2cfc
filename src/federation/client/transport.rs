//! Requests out, answers in: all that the client wants of a network.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A future that stays on its thread.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Carries requests to a coordinator: `fetch` in browsers, memory in tests.
pub trait Transport {
    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// [`Unreachable`] when there is no whole answer. The request may have had its effect all the same.
    fn send<'a>(&'a self, request: &'a Request) -> Local<'a, Result<Response, Unreachable>>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// What the body of a request or an answer is about: the types by which a user is told what leaves the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    /// Joining, asking for the state, finishing uploads.
    Control,
    /// Sums over bands.
    Statistics,
    /// Changes of the weights, with the scopes of the layers.
    Update,
    /// How good a model is on held-out pixels.
    Metrics,
    /// The common model.
    Model,
    /// The common projection.
    Projection,
}

/// One request.
#[derive(Clone, PartialEq)]
pub struct Request {
    pub method: Method,
    /// Below the coordinator's `api/v1`, beginning with `/`.
    pub path: String,
    /// For the header `authorization: Bearer …`.
    pub token: String,
    /// First byte wanted and the one after the last.
    pub range: Option<(u64, u64)>,
    pub body: Body,
    pub traffic: Traffic,
}

#[derive(Clone, PartialEq)]
pub enum Body {
    Empty,
    Json(String),
    Bytes(Vec<u8>),
}

impl Body {
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Json(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    pub fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::Empty => None,
            Self::Json(_) => Some("application/json"),
            Self::Bytes(_) => Some("application/octet-stream"),
        }
    }
}

/// Without the token and the body.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} bytes)", self.method.name(), self.path, self.body.as_bytes().len())
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    pub status: u16,
    /// Length of the whole content of which `body` is a part (status 206), from `content-range`.
    pub total: Option<u64>,
    pub body: Vec<u8>,
}

/// There is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Unreachable {
    /// For people.
    pub reason: String,
}
