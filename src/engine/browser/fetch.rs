//! The browser's `fetch` as a [`Network`].

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::describe;
use crate::engine::clock::sleep_ms;
use crate::shelf::{Body, Get, Local, Network, NetworkError, Response, response};

/// A connection without a byte for so long is broken.
const SILENT_MS: i32 = 30_000;

#[wasm_bindgen]
extern "C" {
    type AbortController;
    #[wasm_bindgen(constructor)]
    fn new() -> AbortController;
    #[wasm_bindgen(method, getter)]
    fn signal(this: &AbortController) -> JsValue;
    #[wasm_bindgen(method)]
    fn abort(this: &AbortController);

    type Headers;
    #[wasm_bindgen(method)]
    fn get(this: &Headers, name: &str) -> Option<String>;

    type Reader;
    #[wasm_bindgen(method, catch)]
    fn read(this: &Reader) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    pub(super) fn fetch(url: &str, options: &JsValue) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_name = URL)]
    type Url;
    #[wasm_bindgen(catch, constructor, js_class = "URL")]
    fn new(url: &str, base: &str) -> Result<Url, JsValue>;
    #[wasm_bindgen(method, getter, js_class = "URL")]
    fn origin(this: &Url) -> String;
    #[wasm_bindgen(method, getter, js_class = "URL")]
    fn href(this: &Url) -> String;
}

/// The network as pages see it. Addresses are relative to the worker's script, which lies beside the page.
pub struct Fetch;

impl Network for Fetch {
    fn get<'a>(&'a self, request: &'a Get) -> Local<'a, Result<Response, NetworkError>> {
        Box::pin(ask(request))
    }
}

/// An address as the worker's script sees it, and whether it is of the page's own server; `None` where it is none.
pub(super) fn page(url: &str) -> Option<(String, bool)> {
    let location = super::get(&js_sys::global(), "location").unwrap_or_default();
    let text = |key: &str| super::get(&location, key).and_then(|value| value.as_string()).unwrap_or_default();
    let url = Url::new(url, &text("href")).ok()?;
    Some((url.href(), url.origin() == text("origin")))
}

async fn ask(request: &Get) -> Result<Response, NetworkError> {
    let (url, own) = page(&request.url).ok_or_else(|| failed("this is no address"))?;

    let headers = Object::new();
    if let Some((from, to)) = request.range {
        set(&headers, "Range", &format!("bytes={from}-{}", to.saturating_sub(1)).into());
        if let Some(validator) = request.if_range.as_deref().filter(|_| own) {
            set(&headers, "If-Range", &validator.into());
        }
    }
    let abort = Abort::new();
    let options = Object::new();
    set(&options, "headers", &headers);
    set(&options, "signal", &abort.signal());
    set(&options, "credentials", &"same-origin".into());
    // The cache holds weights; the browser need not hold them twice, nor mix versions.
    set(&options, "cache", &"no-store".into());

    // The browser tells scripts nothing about why: not the network, not the server's rules, not the page's.
    let why = if own {
        "the server of this page does not answer; check the connection"
    } else {
        "the connection is down, or that server does not let other pages read it (CORS), or the server of this page allows \
         connections only to itself; download the file and drop it here"
    };
    let promise = fetch(&url, &options).map_err(|_| failed(why))?;
    let answer = timely(JsFuture::from(promise)).await?.map_err(|_| failed(why))?;
    let status = super::get(&answer, "status").and_then(|status| status.as_f64()).unwrap_or(0.0) as u16;
    let headers: Headers = super::get(&answer, "headers").unwrap_or_default().unchecked_into();
    let reader = super::get(&answer, "body").and_then(|body| {
        let method: Function = super::get(&body, "getReader")?.dyn_into().ok()?;
        method.call0(&body).ok()
    });
    let body = FetchBody { reader: reader.map(JsCast::unchecked_into), _abort: abort };
    Ok(response(status, |name| headers.get(name), Box::new(body)))
}

struct FetchBody {
    /// `None` for an answer without a body.
    reader: Option<Reader>,
    /// Ends the transfer when the body is dropped.
    _abort: Abort,
}

impl Body for FetchBody {
    fn next(&mut self) -> Local<'_, Result<Option<Vec<u8>>, NetworkError>> {
        Box::pin(async {
            let Some(reader) = &self.reader else { return Ok(None) };
            let broke = |error: JsValue| failed(&describe(&error));
            let chunk = timely(JsFuture::from(reader.read().map_err(broke)?)).await?.map_err(broke)?;
            let bytes = super::get(&chunk, "value").and_then(|value| value.dyn_into::<Uint8Array>().ok());
            Ok(bytes.map(|bytes| bytes.to_vec()))
        })
    }
}

/// Ends a request when it is dropped.
pub(super) struct Abort(AbortController);

impl Abort {
    pub(super) fn new() -> Self {
        Self(AbortController::new())
    }

    pub(super) fn signal(&self) -> JsValue {
        self.0.signal()
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What comes in time.
pub(super) async fn timely<T>(act: impl Future<Output = T>) -> Result<T, NetworkError> {
    let (mut act, mut limit) = (pin!(act), pin!(sleep_ms(SILENT_MS)));
    std::future::poll_fn(|context| match act.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Ok(value)),
        Poll::Pending => limit.as_mut().poll(context).map(|()| Err(failed("no byte came for half a minute"))),
    })
    .await
}

fn failed(reason: &str) -> NetworkError {
    NetworkError { reason: reason.to_owned() }
}

fn set(object: &Object, key: &str, value: &JsValue) {
    // A plain object takes every property.
    let _ = Reflect::set(object, &key.into(), value);
}
