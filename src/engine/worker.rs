//! The worker's entry: bytes in, commands out; events in, bytes out.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use super::browser::BlobSource;
use super::message::{Event, Failure, Reply, Request};
use super::session::{Outbox, Session};
use crate::scene::SharedSource;

/// Starts listening. Called once from the worker's `main`.
pub fn start() {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let outbox = Rc::new(Posting(scope.clone()));
    report_panics(outbox.clone());
    let session = Rc::new(Session::new(outbox.clone()));
    let listener = Closure::<dyn FnMut(MessageEvent)>::new({
        let outbox = outbox.clone();
        let mailbox = Rc::new(Mailbox { session, waiting: RefCell::default(), open: Cell::new(false) });
        move |event: MessageEvent| match decode(&event.data()) {
            Ok(letter) => mailbox.clone().take(letter),
            Err(message) => outbox.post(Reply { id: None, event: Event::Failed(Failure { message, choices: None }) }),
        }
    });
    scope.set_onmessage(Some(listener.as_ref().unchecked_ref()));
    listener.forget();
    outbox.post(Reply { id: None, event: Event::Ready });
}

type Letter = (Request, Vec<SharedSource>);

/// Requests are carried out one after the other, so that a scene is open before it is drawn; jobs run beside them.
struct Mailbox {
    session: Rc<Session>,
    waiting: RefCell<VecDeque<Letter>>,
    open: Cell<bool>,
}

impl Mailbox {
    fn take(self: Rc<Self>, letter: Letter) {
        self.waiting.borrow_mut().push_back(letter);
        if !self.open.replace(true) {
            spawn_local(self.work());
        }
    }

    async fn work(self: Rc<Self>) {
        loop {
            // The borrow must end before the await.
            let letter = self.waiting.borrow_mut().pop_front();
            let Some((request, files)) = letter else { break };
            let is_job = request.command.is_job();
            let work = self.session.clone().handle(request, files);
            if is_job {
                spawn_local(work);
            } else {
                work.await;
            }
        }
        self.open.set(false);
    }
}

/// What wgpu says when the GPU gives no memory; the panic carries it.
const NO_MEMORY: &str = "Out of Memory";
const EXPLAINED: &str = "The GPU has no memory left for this. Choose a smaller tile, size or quantisation, close other pages that \
                         use the GPU, or choose the CPU; labels and finished models are safe.";

/// A panic stops WebAssembly for good: say so first, so that the page can replace the worker.
fn report_panics(outbox: Rc<Posting>) {
    // The hook must be Send; the worker has one thread, so a wrapper that says so is sound here.
    struct OneThread(Rc<Posting>);
    // SAFETY: this binary is built without threads; the hook runs on the thread that installs it.
    unsafe impl Send for OneThread {}
    unsafe impl Sync for OneThread {}
    impl OneThread {
        fn post(&self, message: String) {
            let event = if message.contains(NO_MEMORY) {
                Event::OutOfMemory { message: EXPLAINED.to_owned() }
            } else {
                Event::Crashed { message }
            };
            self.0.post(Reply { id: None, event });
        }
    }
    let outbox = OneThread(outbox);
    std::panic::set_hook(Box::new(move |info| {
        console_error_panic_hook::hook(info);
        outbox.post(info.to_string());
    }));
}

/// Posts replies; the bytes' buffer is transferred.
struct Posting(DedicatedWorkerGlobalScope);

impl Outbox for Posting {
    fn post(&self, reply: Reply) {
        let bytes = match postcard::to_stdvec(&reply) {
            Ok(bytes) => bytes,
            Err(error) => {
                web_sys::console::error_1(&format!("a reply could not be encoded: {error}").into());
                return;
            }
        };
        let array = Uint8Array::from(bytes.as_slice());
        let transfer = Array::of1(&array.buffer());
        if let Err(error) = self.0.post_message_with_transfer(&array, &transfer) {
            web_sys::console::error_1(&error);
        }
    }
}

/// `{ bytes: Uint8Array, files?: File[] }` → the request and its files.
fn decode(data: &JsValue) -> Result<(Request, Vec<SharedSource>), String> {
    let field = |key: &str| Reflect::get(data, &JsValue::from_str(key)).unwrap_or(JsValue::UNDEFINED);
    let bytes =
        field("bytes").dyn_into::<Uint8Array>().map_err(|_| "the engine got a message without bytes".to_owned())?;
    let request = postcard::from_bytes(&bytes.to_vec())
        .map_err(|error| format!("the engine did not understand a message ({error}); reload the page"))?;
    let mut files: Vec<SharedSource> = Vec::new();
    for file in field("files").dyn_into::<Array>().unwrap_or_default().iter() {
        files.push(Rc::new(BlobSource::new(file, None)?));
    }
    Ok((request, files))
}
