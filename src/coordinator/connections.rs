//! Connections: how many, and how slow they may be.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::patience::Patient;

/// Bytes of requests that are read ahead on one connection.
const BUFFER: usize = 16 << 10;

/// What connections may do.
#[derive(Debug, Clone)]
pub(super) struct ConnectionLimits {
    /// Open ones; each takes a permit. Further ones wait in the operating system's queue.
    pub(super) slots: Arc<Semaphore>,
    /// All permits.
    pub(super) max: u32,
    /// For the head of a request, between two requests, and for taking a piece of an answer.
    pub(super) head: Duration,
    /// How long open transfers may go on after the signal to stop.
    pub(super) grace: Duration,
}

/// Serves until `stop` completes, then lets open transfers finish for a moment.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()> + Send,
) {
    let (closing, closed) = watch::channel(false);
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &limits.slots) => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, permit)) => {
                tokio::spawn(connection(stream, router.clone(), limits.head, closed.clone(), permit));
            }
            Err(error) => {
                // Out of file descriptors, or a connection that broke before it was taken: it passes.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    // Nobody listens when there is no connection.
    let _ = closing.send(true);
    let _ = tokio::time::timeout(limits.grace, limits.slots.acquire_many(limits.max)).await;
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

async fn connection(
    stream: TcpStream,
    router: Router,
    head: Duration,
    mut closed: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    // Small answers go out at once.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Patient::new(stream, head)), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        // One that ends with an error has nobody left to be told.
        _ = connection.as_mut() => true,
        // The sender is gone only when serving has ended.
        _ = closed.changed() => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}
