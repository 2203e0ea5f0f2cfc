//! The way to a coordinator: the browser's `fetch` as a [`Transport`].

use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::fetch::{Abort, fetch, page, timely};
use crate::federation::client::{Body, Local, Request, Response, Transport, Unreachable};

/// The API of one coordinator.
pub struct Coordinator {
    /// Ends with `/`.
    server: String,
}

impl Coordinator {
    /// `server` is absolute, or relative to the page.
    pub fn new(server: &str) -> Self {
        Self { server: server.to_owned() }
    }
}

impl Transport for Coordinator {
    fn send<'a>(&'a self, request: &'a Request) -> Local<'a, Result<Response, Unreachable>> {
        Box::pin(self.ask(request))
    }
}

impl Coordinator {
    async fn ask(&self, request: &Request) -> Result<Response, Unreachable> {
        let (url, own) =
            page(&format!("{}api/v1{}", self.server, request.path)).ok_or_else(|| unreachable("this is no address"))?;
        let headers = Object::new();
        set(&headers, "authorization", &format!("Bearer {}", request.token).into());
        if let Some(kind) = request.body.content_type() {
            set(&headers, "content-type", &kind.into());
        }
        if let Some((from, to)) = request.range {
            set(&headers, "range", &format!("bytes={from}-{}", to.saturating_sub(1)).into());
        }
        let abort = Abort::new();
        let options = Object::new();
        set(&options, "method", &request.method.name().into());
        set(&options, "headers", &headers);
        match &request.body {
            Body::Empty => {}
            body => set(&options, "body", &Uint8Array::from(body.as_bytes()).into()),
        }
        set(&options, "signal", &abort.signal());
        // Tokens are all that counts: no cookies, and nothing of a federation in the browser's cache or a referrer.
        for (key, value) in
            [("credentials", "omit"), ("cache", "no-store"), ("referrerPolicy", "no-referrer"), ("redirect", "error")]
        {
            set(&options, key, &value.into());
        }
        let why = if own {
            "the coordinator does not answer; this tab goes on as soon as it is back"
        } else {
            "the coordinator does not answer, or does not let this page talk to it; open the invitation's own page instead"
        };
        let promise = fetch(&url, &options).map_err(|_| unreachable(why))?;
        let silent = |_| {
            unreachable("the coordinator has been silent for half a minute; this tab goes on as soon as it answers")
        };
        let answer = timely(JsFuture::from(promise)).await.map_err(silent)?.map_err(|_| unreachable(why))?;
        let status = super::get(&answer, "status").and_then(|status| status.as_f64()).unwrap_or(0.0) as u16;
        let body = answer.unchecked_ref::<Answer>().array_buffer().map_err(|_| unreachable(why))?;
        let body = timely(JsFuture::from(body)).await.map_err(silent)?.map_err(|_| unreachable(why))?;
        // "bytes 0-99/1234"
        let range = answer.unchecked_ref::<Answer>().headers().get("content-range");
        let total = range.and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        Ok(Response { status, total, body: Uint8Array::new(&body).to_vec() })
    }
}

#[wasm_bindgen]
extern "C" {
    type Answer;
    #[wasm_bindgen(method, catch, js_name = arrayBuffer)]
    fn array_buffer(this: &Answer) -> Result<js_sys::Promise, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn headers(this: &Answer) -> AnswerHeaders;

    type AnswerHeaders;
    #[wasm_bindgen(method)]
    fn get(this: &AnswerHeaders, name: &str) -> Option<String>;
}

fn unreachable(reason: &str) -> Unreachable {
    Unreachable { reason: reason.to_owned() }
}

fn set(object: &Object, key: &str, value: &JsValue) {
    // A plain object takes every property.
    let _ = Reflect::set(object, &key.into(), value);
}
