//! The addresses under `api/v1`: what exists, who may use it, and how it is answered.
//!
//! Everything that can go wrong is a [`Reason`]; there is one place that turns outcomes into answers. Described for a third
//! party in `docs/federation.md`; a test compares.

mod body;
mod cors;
pub(super) mod endpoint;
mod handlers;
mod history;
pub(super) mod transfer;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::Origin;
use super::service::Coordinator;
use super::slot::Slot;
use super::tokens::{Claim, Token};
use crate::federation::protocol::{Answer, Reason, Refusal};

use endpoint::{Endpoint, Role, route};

/// What every answer needs.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) coordinator: Option<Arc<Coordinator>>,
    /// Beside the coordinator's own page.
    pub(super) origins: Arc<[Origin]>,
    pub(super) connections: Arc<Semaphore>,
    pub(super) max_connections: u32,
}

/// A request whose sender is known.
struct Asked {
    slot: Option<Arc<Slot>>,
    who: Claim,
}

/// Everything below `api/v1`, as a router to nest.
pub(super) fn router(api: Api) -> Router {
    Router::new().fallback(answer).with_state(api)
}

/// Health, readiness and metrics below `base`, which ask for no token.
pub(super) fn watch_router(base: &str, api: Api) -> Router {
    use axum::routing::get;
    Router::new()
        .route(&format!("{base}healthz"), get(|| async { "alive\n" }))
        .route(&format!("{base}readyz"), get(ready))
        .route(&format!("{base}metrics"), get(metrics))
        .with_state(api)
}

async fn ready(State(api): State<Api>) -> Response {
    // The log was read before the port was opened; what can still fail is the disk.
    let Some(coordinator) = api.coordinator else { return "ready: the page only\n".into_response() };
    match tokio::task::spawn_blocking(move || coordinator.ready()).await {
        Ok(Ok(())) => "ready\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the data folder cannot be written\n").into_response(),
    }
}

async fn metrics(State(api): State<Api>) -> Response {
    let Some(coordinator) = &api.coordinator else { return StatusCode::NOT_FOUND.into_response() };
    let mut gauges = coordinator.gauges();
    gauges.connections = u64::from(api.max_connections).saturating_sub(api.connections.available_permits() as u64);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, coordinator.metrics.text(&gauges)).into_response()
}

async fn answer(State(api): State<Api>, request: Request) -> Response {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let host = request.headers().get(header::HOST).cloned();
    let allowed = cors::allowed(&api.origins, origin.as_ref(), host.as_ref());
    let endpoint = route(&method, &path);
    let (pattern, federation) = match &endpoint {
        Ok(endpoint) => (endpoint.pattern, endpoint.federation.map(|id| id.to_string())),
        Err(_) => ("unknown", None),
    };
    let mut response = match allowed {
        Err(reason) => refuse(&api, &reason.into()),
        Ok(_) if method == Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        Ok(_) => match handle(&api, endpoint, request).await {
            Ok(response) => response,
            Err(refusal) => refuse(&api, &refusal),
        },
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(cors::Allowed::Elsewhere(origin)) = allowed {
        cors::add_headers(headers, origin);
    }
    // Never the path as it came, where somebody may have put a token by mistake, and no header.
    let (status, ms) = (response.status().as_u16(), started.elapsed().as_millis() as u64);
    tracing::info!(target: "request", %method, pattern, federation, status, ms);
    response
}

async fn handle(api: &Api, endpoint: Result<Endpoint, Reason>, mut request: Request) -> Result<Response, Refusal> {
    let endpoint = endpoint?;
    let coordinator = api.coordinator.as_ref().ok_or(Reason::FederationsOff)?;
    let (asked, bodies) = authorise(coordinator, &endpoint, request.headers())?;
    if let Some(bodies) = bodies {
        request.extensions_mut().insert(body::Turns(bodies));
    }
    handlers::handle(coordinator, endpoint, asked, request).await
}

/// Who asks, whether they may, and not too often; and how many bodies they may send at once.
fn authorise(
    coordinator: &Coordinator,
    endpoint: &Endpoint,
    headers: &HeaderMap,
) -> Result<(Asked, Option<Arc<Semaphore>>), Refusal> {
    let header = headers.get(header::AUTHORIZATION).ok_or(Reason::TokenMissing)?;
    let text = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).ok_or(Reason::TokenMissing)?;
    let token: Token = text.trim().parse().map_err(|_| Reason::TokenWrong)?;
    let slot = endpoint.federation.map(|id| coordinator.get(id));
    let slot = match slot {
        // Who holds no valid token learns nothing about what exists.
        Some(None) if token.claim() != Claim::Admin => return Err(Reason::TokenWrong.into()),
        Some(found) => found,
        None => None,
    };
    let who = coordinator.identify(slot.as_deref(), &token)?;
    if endpoint.federation.is_some() && slot.is_none() {
        return Err(Reason::FederationUnknown.into());
    }
    let role = match who {
        Claim::Admin => Role::Admin,
        Claim::Invite => Role::Invite,
        Claim::Client(_) => Role::Client,
    };
    if !endpoint.roles.contains(&role) {
        return Err(Reason::TokenNotAllowed.into());
    }
    let too_many = |wait| Refusal { retry_after_ms: Some(wait), ..Reason::TooManyRequests.into() };
    let bodies = slot.as_ref().map_or(Ok(None), |slot| coordinator.admit(slot, who)).map_err(too_many)?;
    Ok((Asked { slot, who }, bodies))
}

fn status(reason: Reason) -> StatusCode {
    StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An answer that is a JSON document.
fn json(reason: Reason, body: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status(reason), [(header::CONTENT_TYPE, "application/json")], Body::from(bytes)).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An answer that says no more than what became of the message.
fn told(coordinator: &Coordinator, reason: Reason) -> Response {
    coordinator.metrics.answered(reason);
    json(reason, &Answer { reason, message: reason.sentence().into(), retry_after_ms: None })
}

fn refuse(api: &Api, refusal: &Refusal) -> Response {
    let reason = refusal.reason;
    if let Some(coordinator) = &api.coordinator {
        coordinator.metrics.answered(reason);
    }
    let retry_after_ms = refusal.retry_after_ms.or(match reason {
        Reason::Busy | Reason::Aggregating => Some(1000),
        Reason::NotStarted | Reason::Paused | Reason::RoundNotOpen | Reason::StorageFailed => Some(5000),
        _ => None,
    });
    let mut response = json(reason, &Answer { reason, message: refusal.to_string(), retry_after_ms });
    if let Some(wait) = retry_after_ms {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
    }
    if reason.status() == 401 {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
