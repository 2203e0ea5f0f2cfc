//! The bench page, `#bench`: runs the engine's benchmark cases and shows one JSON document. `tests/bench` reads it and puts
//! other runtimes beside it; a person can open it on any machine.

use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Serialize;

use crate::app::link;
use crate::app::plain::bench_request::BenchRequest;
use crate::app::settings::Settings;
use crate::app::state::{EngineState, Store};
use crate::engine::message::{BenchCase, BenchResult, Command, DeviceInfo, Event};

/// The request in the page's address, if it is the bench page's.
pub fn requested() -> Option<Result<BenchRequest, String>> {
    BenchRequest::from_hash(&window().location().hash().ok()?)
}

/// What the page prints.
#[derive(Debug, Clone, Default, Serialize)]
struct Document {
    version: &'static str,
    browser: String,
    processors: f64,
    request: Option<BenchRequest>,
    device: Option<DeviceInfo>,
    results: Vec<BenchResult>,
    failures: Vec<Failed>,
}

#[derive(Debug, Clone, Serialize)]
struct Failed {
    /// `None` when it concerns all of them.
    case: Option<BenchCase>,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Done,
    Failed,
}

#[component]
pub fn Bench(request: Result<BenchRequest, String>) -> impl IntoView {
    let navigator = window().navigator();
    let document = RwSignal::new(Document {
        version: env!("CARGO_PKG_VERSION"),
        browser: navigator.user_agent().unwrap_or_default(),
        processors: navigator.hardware_concurrency(),
        request: request.as_ref().ok().cloned(),
        ..Document::default()
    });
    let state = RwSignal::new(State::Running);
    let fail = move |case, message| {
        document.update(|document| document.failures.push(Failed { case, message }));
        state.set(State::Failed);
    };
    match request {
        Ok(request) => {
            // A store of its own, that keeps nothing: the visit leaves the user's choices alone.
            let store = Store::new(&Settings { device: request.device, ..Settings::load() });
            spawn_local(link::connect(store));
            let waiting = StoredValue::new(Some(request));
            Effect::new(move || match store.engine.get() {
                EngineState::Failed(sentence) => fail(None, sentence),
                // What is asked before the worker exists is answered with a failure when it starts.
                EngineState::Ready => {
                    let Some(request) = waiting.try_update_value(Option::take).flatten() else { return };
                    spawn_local(async move {
                        if let Err(failed) = run(request, document).await {
                            fail(failed.case, failed.message);
                        }
                        if state.get_untracked() == State::Running {
                            let whole = document.with_untracked(|document| document.failures.is_empty());
                            state.set(if whole { State::Done } else { State::Failed });
                        }
                    });
                }
                _ => {}
            });
        }
        Err(sentence) => fail(None, sentence),
    }

    view! {
        <main class="bench">
            <h1>"SigmaScope bench"</h1>
            <p>
                <span data-testid="bench-state">
                    {move || match state.get() {
                        State::Running => "running",
                        State::Done => "done",
                        State::Failed => "failed",
                    }}
                </span>
            </p>
            <pre data-testid="bench-json" style="user-select: text; white-space: pre-wrap">
                {move || document.with(|document| serde_json::to_string_pretty(document).unwrap_or_default())}
            </pre>
        </main>
    }
    .into_any()
}

/// One case after the other: a case that fails does not take the others with it.
async fn run(request: BenchRequest, document: RwSignal<Document>) -> Result<(), Failed> {
    let all = |message| Failed { case: None, message };
    match link::call(Command::SelectDevice(request.device), &[]).await {
        Ok(Event::Device(info)) => document.update(|document| document.device = Some(info)),
        Ok(_) => return Err(all("The engine did not say on which device it computes.".into())),
        Err(failure) => return Err(all(failure.message)),
    }
    for case in request.cases {
        let outcome = link::call(Command::Bench(vec![case]), &[]).await;
        document.update(|document| match outcome {
            Ok(Event::BenchResult(result)) => document.results.push(result),
            Ok(_) => document
                .failures
                .push(Failed { case: Some(case), message: "The engine answered something else.".into() }),
            Err(failure) => document.failures.push(Failed { case: Some(case), message: failure.message }),
        });
    }
    Ok(())
}
