//! What the worker takes from the browser: dropped files, the origin's private file system, the network.

mod blob;
mod coordinator;
mod fetch;
mod private;

pub use blob::BlobSource;
pub use coordinator::Coordinator;
pub use fetch::Fetch;
pub use private::PrivateFolder;

use js_sys::{Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};

/// A property, unless it is undefined or null.
pub fn get(object: &JsValue, key: &str) -> Option<JsValue> {
    Reflect::get(object, &JsValue::from_str(key)).ok().filter(|value| !value.is_undefined() && !value.is_null())
}

/// The message of a thrown value.
pub fn describe(error: &JsValue) -> String {
    let message = error.dyn_ref::<Object>().and_then(|object| get(object, "message"));
    let message = message.and_then(|message| message.as_string()).or_else(|| error.as_string());
    let message = message.or_else(|| js_sys::JSON::stringify(error).ok()?.as_string());
    message.unwrap_or_else(|| "an error without words".to_owned())
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    js_sys::Date::now() as u64
}
