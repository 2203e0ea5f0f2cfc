//! All rounds, sent one after the other: however long the history is, one round of it is in memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;

use super::super::slot::Slot;

/// A JSON list of the rounds there are.
pub(super) fn response(slot: Arc<Slot>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Body::new(History { slot, next: Some(1) })).into_response()
}

struct History {
    slot: Arc<Slot>,
    /// The round that is sent next; `None` when the list has been closed.
    next: Option<u32>,
}

impl HttpBody for History {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(number) = self.next else { return Poll::Ready(None) };
        let round = self.slot.state().round_view(number);
        // A round is plain numbers and names; it can always be written.
        let json = round.and_then(|round| serde_json::to_string(&round).ok());
        let text = match json {
            Some(json) => {
                self.next = Some(number + 1);
                format!("{}{json}", if number == 1 { '[' } else { ',' })
            }
            None => {
                self.next = None;
                (if number == 1 { "[]" } else { "]" }).to_owned()
            }
        };
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}
