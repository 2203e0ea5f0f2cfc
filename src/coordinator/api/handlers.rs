//! What each endpoint does.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeFile;

use super::super::machine::Message;
use super::super::service::Coordinator;
use super::super::slot::Slot;
use super::super::tokens::{self, Claim, Token};
use super::super::uploads::disk;
use super::endpoint::{Action, Endpoint};
use super::{Asked, body, history, json, told, transfer};
use crate::federation::protocol::{
    CHUNK_BYTES, ClientId, Created, Definition, FederationView, Hash, Invited, JSON_MAX, Join, Joined, Metrics, Reason,
    Refusal, ServerLimits,
};

pub(super) async fn handle(
    coordinator: &Arc<Coordinator>,
    endpoint: Endpoint,
    asked: Asked,
    request: Request,
) -> Result<Response, Refusal> {
    let Asked { slot, who } = asked;
    let Some(slot) = slot else {
        return match endpoint.action {
            Action::Create => create(coordinator, request).await,
            _ => Ok(list(coordinator)),
        };
    };
    let client = match who {
        Claim::Client(client) => Some(client),
        Claim::Admin | Claim::Invite => None,
    };
    match endpoint.action {
        Action::Create | Action::List => Err(Reason::PathUnknown.into()),
        Action::View => Ok(json(Reason::Done, &view(coordinator, &slot, client))),
        Action::Delete => {
            let deleting = coordinator.clone();
            blocking(move || deleting.delete(&slot)).await?;
            Ok(told(coordinator, Reason::Done))
        }
        Action::State => Ok(json(Reason::Done, &slot.view(client, coordinator.now()))),
        Action::Round(number) => {
            let view = slot.state().round_view(number).ok_or(Reason::RoundUnknown)?;
            Ok(json(Reason::Done, &view))
        }
        Action::History => Ok(history::response(slot)),
        Action::Blob(hash) => blob(coordinator, &slot, hash, request).await,
        Action::Invite => {
            let token = Token::new(Claim::Invite).map_err(disk)?;
            send(coordinator, &slot, Message::Invite { token: token.hash() }).await?;
            Ok(json(Reason::Done, &Invited { reason: Reason::Done, invite_token: token.reveal().into() }))
        }
        Action::Host(message) => Ok(told(coordinator, send(coordinator, &slot, message).await?)),
        Action::Join => join(coordinator, &slot, request).await,
        Action::Leave => {
            let client = client.ok_or(Reason::TokenNotAllowed)?;
            Ok(told(coordinator, send(coordinator, &slot, Message::Leave { client }).await?))
        }
        Action::Evaluate(round) => {
            let client = client.ok_or(Reason::TokenNotAllowed)?;
            let metrics: Metrics = body::json(coordinator, request).await?;
            Ok(told(coordinator, send(coordinator, &slot, Message::Evaluate { client, round, metrics }).await?))
        }
        Action::Chunk(upload, index) => transfer::chunk(coordinator, &slot, client, upload, index, request).await,
        Action::Received(upload) => transfer::received(coordinator, &slot, client, upload).await,
        Action::Finish(upload) => transfer::finish(coordinator, &slot, client, upload, request).await,
    }
}

/// Off the threads that answer: it waits for the disk.
pub(super) async fn send(
    coordinator: &Arc<Coordinator>,
    slot: &Arc<Slot>,
    message: Message,
) -> Result<Reason, Refusal> {
    let (coordinator, slot) = (coordinator.clone(), slot.clone());
    blocking(move || coordinator.send(&slot, &message)).await
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    // The task ends early only when the process does.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Reason::ShuttingDown.into()))
}

async fn create(coordinator: &Arc<Coordinator>, request: Request) -> Result<Response, Refusal> {
    let bytes = body::bytes(coordinator, request, JSON_MAX).await?;
    let text = String::from_utf8(bytes).map_err(|error| Reason::Malformed.because(error))?;
    body::versioned::<Definition>(text.as_bytes())?
        .check()
        .map_err(|error| Reason::DefinitionInvalid.because(error))?;
    let creating = coordinator.clone();
    let (federation, invite) = blocking(move || creating.create(text)).await?;
    coordinator.metrics.answered(Reason::Created);
    let created = Created { reason: Reason::Created, federation, invite_token: invite.reveal().into() };
    Ok(json(Reason::Created, &created))
}

fn list(coordinator: &Coordinator) -> Response {
    let views: Vec<_> = coordinator.all().iter().map(|slot| view(coordinator, slot, None)).collect();
    json(Reason::Done, &views)
}

fn view(coordinator: &Coordinator, slot: &Slot, client: Option<ClientId>) -> FederationView {
    let update_bytes = slot.plan.get().map(|plan| plan.bytes_max());
    FederationView {
        federation: slot.id,
        definition: (*slot.definition()).clone(),
        limits: ServerLimits { chunk_bytes: CHUNK_BYTES, update_bytes },
        state: slot.view(client, coordinator.now()),
    }
}

async fn join(coordinator: &Arc<Coordinator>, slot: &Arc<Slot>, request: Request) -> Result<Response, Refusal> {
    body::versioned::<Join>(&body::bytes(coordinator, request, JSON_MAX).await?)?;
    let client = ClientId(tokens::random().map_err(disk)?);
    let token = Token::new(Claim::Client(client)).map_err(disk)?;
    let reason = send(coordinator, slot, Message::Join { client, token: token.hash() }).await?;
    coordinator.metrics.answered(reason);
    Ok(json(reason, &Joined { reason, client, client_token: token.reveal().into() }))
}

/// Bytes of a content in memory at once, for each that takes it: a thousand may at the same moment.
const PIECE: usize = 16 << 10;

/// A model or the projection; ranges are served, so that a broken download goes on where it ended.
async fn blob(coordinator: &Arc<Coordinator>, slot: &Slot, hash: Hash, request: Request) -> Result<Response, Refusal> {
    if !slot.state().is_public(hash) {
        return Err(Reason::BlobUnknown.into());
    }
    let path = coordinator.blobs.path(hash).ok_or(Reason::BlobUnknown)?;
    let mut response =
        ServeFile::new(path).with_buf_chunk_size(PIECE).try_call(request).await.map_err(disk)?.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // The name is the content's hash; but it is not for everybody.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    Ok(response)
}
