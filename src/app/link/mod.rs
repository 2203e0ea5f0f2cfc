//! The line to the engine: requests out, replies in, and notice when the engine is gone.
//!
//! Requests wait until the worker has said [`Event::Ready`] and [`acts::recover`] has brought it to where the page is.
//! Replies find their request by number; what belongs to the running job goes to [`acts::job`], whoever asked for it, and what
//! belongs to weights that are being loaded goes to [`acts::weights`].

mod further;
mod letters;
mod spawn;

pub use further::{Further, Said};
pub use spawn::text;

use std::cell::RefCell;
use std::collections::HashMap;

use futures_channel::oneshot;
use leptos::prelude::*;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ErrorEvent, File, MessageEvent, Worker};

use crate::app::acts;
use crate::app::state::{EngineState, Store};
use crate::engine::message::{Command, Event, Failure, Reply, Request, RequestId};
use letters::Heard;

/// What waits for a reply.
enum Waiting {
    One(oneshot::Sender<Result<Event, Failure>>),
    /// So many events, e.g. the two files of an ENVI export.
    Many {
        events: Vec<Event>,
        wanted: usize,
        done: oneshot::Sender<Result<Vec<Event>, Failure>>,
    },
    /// The running job; its events are recognised by their kind.
    Job,
    /// Weights that are being loaded, or a federation: a job of its own kind, whose end is awaited.
    Weights(oneshot::Sender<Loading>),
}

/// How loading weights ended.
pub enum Loading {
    Done,
    Cancelled,
    Failed(Failure),
    /// The engine is gone; whoever asked may ask again.
    Lost,
}

#[derive(Default)]
struct Link {
    module: Option<JsValue>,
    worker: Option<Worker>,
    /// The gate for common requests; opened by [`open_gate`].
    open: bool,
    /// Counts workers, so that late news of an old one is ignored.
    generation: u32,
    next_id: RequestId,
    waiting: HashMap<RequestId, Waiting>,
    queue: Vec<(Vec<u8>, Vec<File>)>,
}

thread_local! {
    static LINK: RefCell<Link> = RefCell::default();
}

/// Fetches the engine and starts its first worker. Returns when the worker exists, not when it listens.
pub async fn connect(store: Store) {
    match spawn::compile(store).await {
        Ok(module) => {
            LINK.with_borrow_mut(|link| link.module = Some(module));
            store.engine.set(EngineState::Starting);
            start(store);
        }
        Err(sentence) => {
            store.engine.set(EngineState::Failed(sentence.clone()));
            store.fail(sentence);
        }
    }
}

/// Starts a worker; what was asked of an earlier one is answered with a failure.
pub fn start(store: Store) {
    let Some((module, generation, restarted)) = LINK.with_borrow_mut(|link| {
        link.generation += 1;
        link.open = false;
        let earlier = link.worker.take();
        if let Some(worker) = &earlier {
            worker.terminate();
        }
        link.module.clone().map(|module| (module, link.generation, earlier.is_some()))
    }) else {
        return;
    };
    // What was asked while the first worker was still on its way waits for it.
    if restarted {
        give_up_waiting();
    }
    let lock = format!("sigmascope-engine-{}-{generation}", js_sys::Math::random());
    match spawn::start(&module, &lock) {
        Ok(worker) => {
            listen(&worker, generation, lock, store);
            LINK.with_borrow_mut(|link| link.worker = Some(worker));
        }
        Err(sentence) => {
            store.engine.set(EngineState::Failed(sentence.clone()));
            store.fail(sentence);
        }
    }
}

/// Ends the worker without starting another.
pub fn stop() {
    LINK.with_borrow_mut(|link| {
        link.generation += 1;
        link.open = false;
        if let Some(worker) = link.worker.take() {
            worker.terminate();
        }
    });
    give_up_waiting();
}

fn give_up_waiting() {
    let waiting = LINK.with_borrow_mut(|link| {
        link.queue.clear();
        std::mem::take(&mut link.waiting)
    });
    let gone =
        || Failure { message: "The engine was restarted meanwhile; please do that again.".into(), choices: None };
    for (_, waiting) in waiting {
        match waiting {
            Waiting::One(done) => drop(done.send(Err(gone()))),
            Waiting::Many { done, .. } => drop(done.send(Err(gone()))),
            Waiting::Job => {}
            Waiting::Weights(done) => drop(done.send(Loading::Lost)),
        }
    }
}

fn is_current(generation: u32) -> bool {
    LINK.with_borrow(|link| link.generation == generation)
}

fn listen(worker: &Worker, generation: u32, lock: String, store: Store) {
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        if !is_current(generation) {
            return;
        }
        match letters::read(&message.data()) {
            Some(Heard::Reply(reply)) => receive(reply, store),
            Some(Heard::Unreadable(sentence)) => store.fail(sentence),
            Some(Heard::HeapFull(bytes)) => acts::recover::out_of_memory(store, acts::recover::heap_full(bytes)),
            Some(Heard::Fatal(reason)) => acts::recover::engine_gone(store, reason),
            Some(Heard::Locked(true)) => spawn::when_released(&lock, move || {
                if is_current(generation) {
                    acts::recover::engine_gone(store, "its worker ended".into());
                }
            }),
            Some(Heard::Locked(false)) | None => {}
        }
    });
    let on_error = Closure::<dyn FnMut(ErrorEvent)>::new(move |event: ErrorEvent| {
        event.prevent_default();
        if is_current(generation) {
            let reason = event.message();
            acts::recover::engine_gone(store, if reason.is_empty() { "it could not be loaded".into() } else { reason });
        }
    });
    worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    // They live as long as the worker may speak; a handful of restarts is all that can leak.
    on_message.forget();
    on_error.forget();
}

fn receive(reply: Reply, store: Store) {
    let end = match &reply.event {
        Event::JobFinished => Some(Loading::Done),
        Event::Cancelled => Some(Loading::Cancelled),
        _ => None,
    };
    if let Some(end) = end
        && let Some(done) = take_loading(reply.id)
    {
        drop(done.send(end));
        return;
    }
    match reply.event {
        Event::Ready => acts::recover::engine_ready(store),
        Event::DeviceLost { reason } => acts::recover::engine_gone(store, reason),
        Event::Crashed { message } => {
            acts::recover::engine_gone(store, format!("it hit a bug: {}", message.lines().next().unwrap_or_default()));
        }
        Event::OutOfMemory { message } => acts::recover::out_of_memory(store, message),
        event @ (Event::Federation(_) | Event::FederationRounds(_) | Event::FederationEnded(_)) => {
            acts::federate::on_event(store, event);
        }
        Event::WeightsProgress(progress) => acts::weights::on_progress(store, progress),
        Event::WeightsLoaded(loaded) => acts::weights::on_loaded(store, *loaded),
        event @ (Event::Progress(_)
        | Event::Checkpoint(_)
        | Event::MapRows(_)
        | Event::RunFinished(_)
        | Event::JobFinished
        | Event::Cancelled
        | Event::Paused
        | Event::Resumed) => {
            if matches!(event, Event::JobFinished | Event::Cancelled) {
                LINK.with_borrow_mut(|link| link.waiting.retain(|_, waiting| !matches!(waiting, Waiting::Job)));
            }
            acts::job::on_event(store, event);
        }
        event => {
            if let Event::Device(info) = &event {
                store.device.set(Some(info.clone()));
            }
            answer(store, reply.id, event);
        }
    }
}

/// Weights that are being loaded cannot be; false when none are.
pub fn fail_loading(sentence: &str) -> bool {
    let loading = LINK.with_borrow(|link| {
        link.waiting.iter().find(|(_, waiting)| matches!(waiting, Waiting::Weights(_))).map(|(id, _)| *id)
    });
    match take_loading(loading) {
        Some(done) => done.send(Loading::Failed(Failure { message: sentence.to_owned(), choices: None })).is_ok(),
        None => false,
    }
}

/// Whoever waits for the end of loading weights, if that was the request.
fn take_loading(id: Option<RequestId>) -> Option<oneshot::Sender<Loading>> {
    LINK.with_borrow_mut(|link| {
        let id = id.filter(|id| matches!(link.waiting.get(id), Some(Waiting::Weights(_))))?;
        match link.waiting.remove(&id) {
            Some(Waiting::Weights(done)) => Some(done),
            _ => None,
        }
    })
}

/// Gives an event to the request that waits for it.
fn answer(store: Store, id: Option<RequestId>, event: Event) {
    let waiting = id.and_then(|id| LINK.with_borrow_mut(|link| link.waiting.remove(&id)));
    match (waiting, event) {
        (Some(Waiting::One(done)), Event::Failed(failure)) => drop(done.send(Err(failure))),
        (Some(Waiting::One(done)), event) => drop(done.send(Ok(event))),
        (Some(Waiting::Many { done, .. }), Event::Failed(failure)) => drop(done.send(Err(failure))),
        (Some(Waiting::Many { mut events, wanted, done }), event) => {
            events.push(event);
            if events.len() == wanted {
                drop(done.send(Ok(events)));
            } else if let Some(id) = id {
                LINK.with_borrow_mut(|link| link.waiting.insert(id, Waiting::Many { events, wanted, done }));
            }
        }
        (Some(Waiting::Job), Event::Failed(failure)) => acts::job::on_failure(store, failure.message),
        (Some(Waiting::Weights(done)), Event::Failed(failure)) => drop(done.send(Loading::Failed(failure))),
        (None, Event::Failed(failure)) => store.fail(failure.message),
        (Some(Waiting::Job | Waiting::Weights(_)) | None, _) => {}
    }
}

/// The worker is where the page is: lets through what has waited.
pub fn open_gate() {
    let queue = LINK.with_borrow_mut(|link| {
        link.open = true;
        std::mem::take(&mut link.queue)
    });
    for (bytes, files) in queue {
        post(&bytes, &files);
    }
}

/// Asks for one reply.
///
/// # Errors
/// The engine's failure, or that the engine was restarted meanwhile.
pub async fn call(command: Command, files: &[File]) -> Result<Event, Failure> {
    ask(command, files, false).await
}

/// Asks ahead of everything that waits at the gate; only for bringing a worker to where the page is.
///
/// # Errors
/// As for [`call`].
pub async fn call_ahead(command: Command, files: &[File]) -> Result<Event, Failure> {
    ask(command, files, true).await
}

async fn ask(command: Command, files: &[File], ahead: bool) -> Result<Event, Failure> {
    let (done, reply) = oneshot::channel();
    send(command, files, Some(Waiting::One(done)), ahead);
    reply.await.unwrap_or_else(|_| Err(lost()))
}

/// Asks for several replies of one request.
///
/// # Errors
/// As for [`call`].
pub async fn call_many(command: Command, wanted: usize) -> Result<Vec<Event>, Failure> {
    let (done, reply) = oneshot::channel();
    send(command, &[], Some(Waiting::Many { events: Vec::new(), wanted, done }), false);
    reply.await.unwrap_or_else(|_| Err(lost()))
}

/// Starts a job; its events go to [`acts::job`].
pub fn begin_job(command: Command) {
    send(command, &[], Some(Waiting::Job), false);
}

/// Loads weights; their progress goes to [`acts::weights`]. `ahead` as for [`call_ahead`].
pub async fn load_weights(command: Command, files: &[File], ahead: bool) -> Loading {
    let (done, end) = oneshot::channel();
    send(command, files, Some(Waiting::Weights(done)), ahead);
    end.await.unwrap_or(Loading::Lost)
}

/// Takes part in a federation; what happens goes to [`acts::federate`].
pub async fn federate(command: Command) -> Loading {
    let (done, end) = oneshot::channel();
    send(command, &[], Some(Waiting::Weights(done)), false);
    end.await.unwrap_or(Loading::Lost)
}

/// Says something that needs no answer (pause, cancel).
pub fn tell(command: Command) {
    send(command, &[], None, false);
}

fn lost() -> Failure {
    Failure { message: "The engine did not answer; reload the page.".into(), choices: None }
}

fn send(command: Command, files: &[File], waiting: Option<Waiting>, ahead: bool) {
    let encoded = LINK.with_borrow_mut(|link| {
        link.next_id += 1;
        let id = link.next_id;
        if let Some(waiting) = waiting {
            link.waiting.insert(id, waiting);
        }
        match postcard::to_stdvec(&Request { id, command }) {
            Ok(bytes) if link.open || ahead => Some(bytes),
            Ok(bytes) => {
                link.queue.push((bytes, files.to_vec()));
                None
            }
            Err(_) => {
                // Dropping the sender answers the caller.
                link.waiting.remove(&id);
                None
            }
        }
    });
    if let Some(bytes) = encoded {
        post(&bytes, files);
    }
}

fn post(bytes: &[u8], files: &[File]) {
    LINK.with_borrow(|link| {
        if let Some(worker) = &link.worker {
            letters::post(worker, bytes, files);
        }
    });
}
