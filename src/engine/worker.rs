//! The worker's entry: bytes in, commands out; events in, bytes out.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, DedicatedWorkerGlobalScope, File, FileReaderSync, MessageEvent};

use super::message::{Event, Failure, Reply, Request};
use super::session::{Outbox, Session};
use crate::scene::{SharedSource, Source, SourceError, check_range};

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

/// A panic stops WebAssembly for good: say so first, so that the page can replace the worker.
fn report_panics(outbox: Rc<Posting>) {
    // The hook must be Send; the worker has one thread, so a wrapper that says so is sound here.
    struct OneThread(Rc<Posting>);
    // SAFETY: this binary is built without threads; the hook runs on the thread that installs it.
    unsafe impl Send for OneThread {}
    unsafe impl Sync for OneThread {}
    impl OneThread {
        fn post(&self, message: String) {
            self.0.post(Reply { id: None, event: Event::Crashed { message } });
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
        let file: File =
            file.dyn_into().map_err(|_: JsValue| "the engine got something that is not a file".to_owned())?;
        let reader = FileReaderSync::new().map_err(|error| describe(&error))?;
        files.push(Rc::new(BlobSource { name: file.name(), len: file.size() as u64, blob: file.into(), reader }));
    }
    Ok((request, files))
}

/// A dropped file, read slice by slice. `FileReaderSync` exists only in workers, which is why the engine lives in one.
struct BlobSource {
    name: String,
    len: u64,
    blob: Blob,
    reader: FileReaderSync,
}

impl Source for BlobSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        check_range(self, offset, buf.len())?;
        let fail = |error: JsValue| SourceError::Read { name: self.name.clone(), reason: describe(&error) };
        // Offsets are below 2^53: a File's size is a JavaScript number.
        let end = offset + buf.len() as u64;
        let slice = self.blob.slice_with_f64_and_f64(offset as f64, end as f64).map_err(fail)?;
        let bytes = Uint8Array::new(&self.reader.read_as_array_buffer(&slice).map_err(fail)?.into());
        if bytes.length() as usize != buf.len() {
            return Err(fail(JsValue::from_str("the file changed while it was read")));
        }
        bytes.copy_to(buf);
        Ok(())
    }
}

/// The message of a thrown value.
fn describe(error: &JsValue) -> String {
    let message = error.dyn_ref::<Object>().and_then(|object| Reflect::get(object, &"message".into()).ok());
    message.and_then(|message| message.as_string()).unwrap_or_else(|| format!("{error:?}"))
}
