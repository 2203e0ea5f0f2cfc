//! Time and breath: how long something took, and giving the message loop a turn.

/// Seconds since some fixed moment.
#[cfg(not(target_arch = "wasm32"))]
pub fn now_s() -> f64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// Seconds since some fixed moment: to microseconds where the page is cross-origin isolated, and never set back as a date is.
#[cfg(target_arch = "wasm32")]
pub fn now_s() -> f64 {
    use wasm_bindgen::prelude::wasm_bindgen;
    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_namespace = performance)]
        fn now() -> f64;
    }
    now() / 1000.0
}

/// Lets waiting messages (cancel, pause, a new picture) be handled. Natively there are none.
#[cfg(not(target_arch = "wasm32"))]
pub async fn breathe() {}

/// Lets waiting messages (cancel, pause, a new picture) be handled: a promise of a timer, because a resolved promise alone
/// would run before them.
#[cfg(target_arch = "wasm32")]
pub async fn breathe() {
    sleep_ms(0).await;
}

/// Waits in the worker without keeping it from its messages.
#[cfg(target_arch = "wasm32")]
pub async fn sleep_ms(milliseconds: i32) {
    use wasm_bindgen::JsCast;
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        let scope: web_sys::DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
        // A worker always has timers; were it refused, resolving at once keeps the job going.
        if scope.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds).is_err() {
            let _ = resolve.call0(&wasm_bindgen::JsValue::NULL);
        }
    });
    let _ = wasm_bindgen_futures::JsFuture::from(promise).await;
}

/// Waits; natively the thread sleeps.
#[cfg(not(target_arch = "wasm32"))]
pub async fn sleep_ms(milliseconds: i32) {
    std::thread::sleep(std::time::Duration::from_millis(milliseconds.unsigned_abs().into()));
}
