//! Further engines beside the page's own: they compute the same, and nothing of the page waits for them.

use std::rc::Rc;

use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{ErrorEvent, MessageEvent, Worker};

use super::letters::{self, Heard};
use super::{LINK, spawn};
use crate::app::acts::recover::heap_full;
use crate::engine::message::{Command, Event, Request};

/// An engine in a worker of its own. It ends with [`end`](Self::end), or with the page.
pub struct Further(Worker);

/// What a further engine says.
pub enum Said {
    Event(Event),
    /// Nothing more comes; why, for people.
    Gone(String),
}

impl Further {
    /// Starts one; `said` hears everything that comes from it.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn start(said: impl Fn(Said) + 'static) -> Result<Self, String> {
        let module = LINK.with_borrow(|link| link.module.clone());
        let module = module.ok_or("The engine has not arrived yet; wait until it has.")?;
        let lock = format!("sigmascope-further-{}", js_sys::Math::random());
        let worker = spawn::start(&module, &lock)?;
        let said = Rc::new(said);
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new({
            let said = said.clone();
            move |message: MessageEvent| match letters::read(&message.data()) {
                Some(Heard::Reply(reply)) => said(Said::Event(reply.event)),
                Some(Heard::HeapFull(bytes)) => said(Said::Gone(heap_full(bytes))),
                Some(Heard::Fatal(reason) | Heard::Unreadable(reason)) => said(Said::Gone(reason)),
                Some(Heard::Locked(true)) => {
                    let said = said.clone();
                    spawn::when_released(&lock, move || said(Said::Gone("its worker ended".to_owned())));
                }
                Some(Heard::Locked(false)) | None => {}
            }
        });
        let on_error = Closure::<dyn FnMut(ErrorEvent)>::new(move |event: ErrorEvent| {
            event.prevent_default();
            said(Said::Gone(event.message()));
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        // They live as long as the worker may speak; a handful of small ones is all that can leak.
        on_message.forget();
        on_error.forget();
        Ok(Self(worker))
    }

    /// Asks for something; answers are told apart by their kind.
    pub fn tell(&self, command: Command) {
        // Every command has a binary form.
        if let Ok(bytes) = postcard::to_stdvec(&Request { id: 0, command }) {
            letters::post(&self.0, &bytes, &[]);
        }
    }

    pub fn end(self) {
        self.0.terminate();
    }
}
