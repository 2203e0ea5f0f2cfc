//! What goes to a worker and what comes from one, as bytes.

use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{File, Worker};

use crate::engine::message::Reply;

/// What a worker says.
pub enum Heard {
    Reply(Reply),
    /// WebAssembly did not get so many bytes.
    HeapFull(u64),
    /// It has stopped.
    Fatal(String),
    /// Whether it holds its lock, whose release tells that it is gone.
    Locked(bool),
    /// A sentence for people.
    Unreadable(String),
}

/// Reads a message of a worker; `None` where it is none.
pub fn read(data: &JsValue) -> Option<Heard> {
    if let Some(bytes) = data.dyn_ref::<Uint8Array>() {
        return Some(match postcard::from_bytes::<Reply>(&bytes.to_vec()) {
            Ok(reply) => Heard::Reply(reply),
            Err(error) => Heard::Unreadable(format!(
                "Page and engine are of different versions ({error}); reload the page with Shift held down."
            )),
        });
    }
    let field = |key: &str| Reflect::get(data, &key.into()).unwrap_or(JsValue::UNDEFINED);
    if let Some(bytes) = field("outOfMemory").as_f64() {
        Some(Heard::HeapFull(bytes as u64))
    } else if let Some(reason) = field("fatal").as_string() {
        Some(Heard::Fatal(reason))
    } else {
        field("locked").as_bool().map(Heard::Locked)
    }
}

/// Posts an encoded request; its buffer is transferred.
pub fn post(worker: &Worker, bytes: &[u8], files: &[File]) {
    let array = Uint8Array::from(bytes);
    let transfer = Array::of1(&array.buffer());
    let message = Object::new();
    // Setting a property of a fresh plain object cannot fail.
    let _ = Reflect::set(&message, &"bytes".into(), &array);
    if !files.is_empty() {
        let _ = Reflect::set(&message, &"files".into(), &files.iter().collect::<Array>());
    }
    // A worker that is gone reports itself by its lock.
    let _ = worker.post_message_with_transfer(&message, &transfer);
}
