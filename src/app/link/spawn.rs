//! Getting the engine: fetch and compile its module once, start a worker with it as often as needed.

use js_sys::{Object, Reflect, WebAssembly};
use leptos::prelude::{GetUntracked, Set};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ReadableStreamDefaultReader, Response, Worker, WorkerOptions, WorkerType};

use crate::app::state::{EngineState, Store};

/// Where the build puts the engine, relative to the page.
const MODULE: &str = "engine_bg.wasm";
const WORKER: &str = "engine_worker.js";
const SIZES: &str = "sizes.json";

/// Fetches and compiles the engine's module, reporting the bytes as they come.
///
/// # Errors
/// A sentence for the user.
pub async fn compile(store: Store) -> Result<JsValue, String> {
    let window = web_sys::window().ok_or("There is no window to load the engine into.")?;
    let offline = |_| {
        "The engine could not be fetched; check the connection to the server that gave you this page, then reload."
            .to_owned()
    };
    let response: Response =
        JsFuture::from(window.fetch_with_str(MODULE)).await.map_err(offline)?.dyn_into().map_err(offline)?;
    if !response.ok() {
        return Err(format!(
            "The server has no engine for this page ({MODULE}: status {}); build it with ./run, then reload.",
            response.status()
        ));
    }
    if let Ok(copy) = response.clone() {
        spawn_local(count(copy, store));
    }
    let refused = |error: JsValue| {
        format!(
            "This browser cannot compile the engine ({}); use a current Chrome, Edge, Firefox or Safari.",
            text(&error)
        )
    };
    let is_wasm = response.headers().get("content-type").ok().flatten().is_some_and(|t| t.contains("application/wasm"));
    if is_wasm {
        // Compiles while it downloads, and the browser may keep the compiled code.
        let promise: js_sys::Promise = js_sys::Promise::resolve(&response).unchecked_into();
        return JsFuture::from(WebAssembly::compile_streaming(&promise)).await.map_err(refused);
    }
    let buffer = JsFuture::from(response.array_buffer().map_err(refused)?).await.map_err(refused)?;
    JsFuture::from(WebAssembly::compile(&buffer)).await.map_err(refused)
}

/// Counts the bytes of a copy of the response for the progress line.
async fn count(response: Response, store: Store) {
    let header = |name: &str| response.headers().get(name).ok().flatten();
    let total = match header("content-encoding") {
        None => header("content-length").and_then(|length| length.parse().ok()),
        // The length of a compressed body says nothing about the bytes that arrive here.
        Some(_) => full_size().await,
    };
    let Some(reader) =
        response.body().and_then(|body| body.get_reader().dyn_into::<ReadableStreamDefaultReader>().ok())
    else {
        return;
    };
    let mut received = 0_u64;
    while let Ok(chunk) = JsFuture::from(reader.read()).await {
        let Ok(value) = Reflect::get(&chunk, &"value".into()) else { return };
        let Some(bytes) = value.dyn_ref::<js_sys::Uint8Array>() else { return };
        received += u64::from(bytes.length());
        if matches!(store.engine.try_get_untracked(), Some(EngineState::Fetching { .. })) {
            store.engine.set(EngineState::Fetching { received, total });
        }
    }
}

/// The module's size as the build wrote it down.
async fn full_size() -> Option<u64> {
    let response: Response = JsFuture::from(web_sys::window()?.fetch_with_str(SIZES)).await.ok()?.dyn_into().ok()?;
    let sizes = JsFuture::from(response.json().ok()?).await.ok()?;
    let module = Reflect::get(&sizes, &MODULE.into()).ok()?;
    Reflect::get(&module, &"raw".into()).ok()?.as_f64().map(|bytes| bytes as u64)
}

/// Starts a worker with the module. `lock` names the lock that the worker holds as long as it lives.
pub fn start(module: &JsValue, lock: &str) -> Result<Worker, String> {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    options.set_name("engine");
    let refused =
        |error: JsValue| format!("The engine's worker could not be started ({}); reload the page.", text(&error));
    let worker = Worker::new_with_options(WORKER, &options).map_err(refused)?;
    let greeting = Object::new();
    let set = |key: &str, value: &JsValue| Reflect::set(&greeting, &key.into(), value).map_err(refused);
    set("module", module)?;
    set("lock", &lock.into())?;
    worker.post_message(&greeting).map_err(refused)?;
    Ok(worker)
}

/// Calls `gone` when the lock becomes free: its worker has ended, whatever ended it. Does nothing without Web Locks
/// (they need https or localhost); then only errors tell.
pub fn when_released(lock: &str, gone: impl FnOnce() + 'static) {
    let Some(window) = web_sys::window() else { return };
    let Ok(locks) = Reflect::get(&window.navigator(), &"locks".into()) else { return };
    let Some(request) =
        Reflect::get(&locks, &"request".into()).ok().and_then(|f| f.dyn_into::<js_sys::Function>().ok())
    else {
        return;
    };
    let granted = wasm_bindgen::closure::Closure::once_into_js(gone);
    // Rejection would mean that the page itself is going away.
    let _ = request.call2(&locks, &lock.into(), &granted);
}

/// What a JavaScript error says.
pub fn text(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map(|error| String::from(error.message()))
        .or_else(|| error.as_string())
        .or_else(|| js_sys::JSON::stringify(error).ok()?.as_string())
        .unwrap_or_else(|| "an error without words".to_owned())
}
