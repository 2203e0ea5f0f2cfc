//! Bodies of requests: never longer, and never longer in coming, than they may be.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{AcquireError, Semaphore};

use super::Coordinator;
use crate::federation::protocol::{JSON_MAX, Reason, Refusal, VERSION};

/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// With a request: how many bodies its sender may send at once.
#[derive(Clone)]
pub(super) struct Turns(pub(super) Arc<Semaphore>);

/// The whole body, at most `max` bytes.
pub(super) async fn bytes(coordinator: &Coordinator, request: Request, max: usize) -> Result<Vec<u8>, Refusal> {
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|length| length > max as u64) {
        return Err(Reason::BodyTooLarge.because(format!("at most {max} bytes")));
    }
    let own = request.extensions().get::<Turns>().map(|turns| turns.0.clone());
    let turn = tokio::time::timeout(TURN, async {
        // Its own first, so that who sends many bodies waits for nobody but itself.
        let own = match own {
            Some(own) => Some(own.acquire_owned().await?),
            None => None,
        };
        Ok::<_, AcquireError>((own, coordinator.bodies.acquire().await?))
    });
    let Ok(Ok(_permits)) = turn.await else { return Err(Reason::Busy.into()) };
    let read = tokio::time::timeout(coordinator.capacity.body_timeout, read(request.into_body(), max)).await;
    let bytes = read.map_err(|_| Reason::TooSlow)??;
    coordinator.metrics.received_bytes.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
    Ok(bytes)
}

async fn read(mut body: Body, max: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| Reason::Malformed.because("the body broke off"))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > max {
                return Err(Reason::BodyTooLarge.because(format!("at most {max} bytes")));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// A JSON body.
pub(super) async fn json<T: DeserializeOwned>(coordinator: &Coordinator, request: Request) -> Result<T, Refusal> {
    let bytes = bytes(coordinator, request, JSON_MAX).await?;
    serde_json::from_slice(&bytes).map_err(|error| Reason::Malformed.because(error))
}

/// A JSON body that says which version of the protocol its sender speaks; this is looked at first, as another version may have
/// other fields.
pub(super) fn versioned<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    #[derive(Deserialize)]
    struct Spoken {
        version: u32,
    }
    let malformed = |error: serde_json::Error| Reason::Malformed.because(error);
    let Spoken { version } = serde_json::from_slice(bytes).map_err(malformed)?;
    if version != VERSION {
        return Err(Reason::VersionUnknown.because(format!("it says {version}, this is {VERSION}")));
    }
    serde_json::from_slice(bytes).map_err(malformed)
}
