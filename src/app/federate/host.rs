//! Hosting: a few numbers, the link and its code, watching, pausing, ending, taking away.

use leptos::prelude::*;
use qrcodegen::{QrCode, QrCodeEcc};

use crate::app::acts::host;
use crate::app::field::NumberField;
use crate::app::plain::federate::{algorithm, round};
use crate::app::plain::number;
use crate::app::state::Store;
use crate::federation::protocol::{Phase, Spread};

#[component]
pub fn Host(store: Store) -> impl IntoView {
    let federate = store.federate;
    view! {
        <Show when=move || federate.hosted.with(Option::is_none) fallback=move || view! { <Running store /> }>
            <label class="federate-link">
                <span>"Title"</span>
                <input
                    type="text"
                    maxlength="120"
                    data-testid="host-title"
                    prop:value=move || federate.title.get()
                    on:change=move |event| federate.title.set(event_target_value(&event))
                />
            </label>
            <label class="federate-link">
                <span>"Admin token of this coordinator"</span>
                <input
                    type="password"
                    autocomplete="off"
                    data-testid="host-token"
                    prop:value=move || federate.admin_token.get()
                    on:input=move |event| federate.admin_token.set(event_target_value(&event))
                />
            </label>
            <Numbers store />
            <button
                class="button primary wide-button"
                data-testid="host-create"
                disabled=move || host::missing(store).is_some() || federate.creating.get()
                on:click=move |_| host::create(store)
            >
                {move || if federate.creating.get() { "Creating" } else { "Create the federation" }}
            </button>
            <p class="quiet" data-testid="host-missing">
                {move || {
                    host::missing(store).unwrap_or(
                        "Bands and classes are those of the open scene, the network is the one of step 3. Training starts by itself \
                         once enough clients are there.",
                    )
                }}
            </p>
        </Show>
    }
    .into_any()
}

#[component]
fn Numbers(store: Store) -> impl IntoView {
    let federate = store.federate;
    view! {
        <div class="fields">
            <NumberField label="rounds" testid="host-rounds" min=1.0 max=10_000.0
                get=move || f64::from(federate.planned_rounds.get()) set=move |value| federate.planned_rounds.set(value as u32) />
            <NumberField label="local epochs" testid="host-epochs" min=1.0 max=10_000.0
                get=move || f64::from(federate.epochs.get()) set=move |value| federate.epochs.set(value as u32) />
            <NumberField label="clients, at least" testid="host-min-clients" min=1.0 max=1000.0
                get=move || f64::from(federate.min_clients.get()) set=move |value| federate.min_clients.set(value as u32) />
            <NumberField label="deadline" unit="min" testid="host-minutes" min=0.1 max=10_000.0 step="any"
                help="A round waits no longer for stragglers, once enough have answered"
                get=move || federate.round_minutes.get() set=move |value| federate.round_minutes.set(value) />
            <NumberField label="scope alignment λ" testid="host-lambda" min=0.0 max=1_000_000.0 step="any"
                help="How strongly layers are pulled to the common scopes; 0 = not at all"
                get=move || federate.lambda.get() set=move |value| federate.lambda.set(value) />
            <NumberField label="proximal μ" testid="host-proximal" min=0.0 max=1_000_000.0 step="any"
                help="FedProx: keeps clients near the common model; 0 = FedAvg"
                get=move || federate.proximal.get() set=move |value| federate.proximal.set(value) />
        </div>
    }
    .into_any()
}

/// The link as a code that a telephone reads; an SVG path in units of one module, with the quiet zone of four.
fn code(text: &str) -> Option<(i32, String)> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size();
    let dark = (0..size).flat_map(|y| (0..size).map(move |x| (x, y))).filter(|&(x, y)| code.get_module(x, y));
    let path = dark.map(|(x, y)| format!("M{} {}h1v1h-1z", x + 4, y + 4)).collect();
    Some((size + 8, path))
}

/// What is hosted, and what can be done with it.
#[component]
fn Running(store: Store) -> impl IntoView {
    let federate = store.federate;
    let link = move || {
        federate.hosted.with(|hosted| hosted.as_ref().map(|hosted| hosted.invitation.link()).unwrap_or_default())
    };
    let phase = move || federate.hosted_view.with(|view| view.as_ref().map(|view| view.state.phase));
    let act = move |word: &'static str, name: &'static str, when: fn(Phase) -> bool| {
        view! {
            <button
                class="button small"
                data-testid=format!("host-{word}")
                disabled=move || !phase().is_some_and(when)
                on:click=move |_| host::tell(store, word)
            >
                {name}
            </button>
        }
        .into_any()
    };
    let copied = RwSignal::new(false);
    view! {
        <label class="federate-link">
            <span>"Invitation: pass it on"</span>
            <input type="text" readonly data-testid="host-link" prop:value=link />
        </label>
        <div class="row">
            <button
                class="button small"
                data-testid="host-copy"
                on:click=move |_| {
                    copy(&link());
                    copied.set(true);
                }
            >
                {move || if copied.get() { "Copied" } else { "Copy the link" }}
            </button>
            <span class="quiet">"Whoever has it can take part."</span>
        </div>
        {move || {
            code(&link()).map(|(size, path)| {
                view! {
                    <svg class="qr" viewBox=format!("0 0 {size} {size}") role="img" aria-label="The invitation as a QR code" data-testid="host-code">
                        <rect width=size height=size></rect>
                        <path d=path></path>
                    </svg>
                }
            })
        }}
        <div class="row">
            {act("start", "Start now", |phase| phase == Phase::Gathering)}
            {act("pause", "Pause", |phase| matches!(phase, Phase::Statistics | Phase::Training))}
            {act("resume", "Resume", |phase| phase == Phase::Paused)}
            {act("finish", "Finish", |phase| !matches!(phase, Phase::Finished | Phase::Aggregating))}
        </div>
        <div class="row">
            <button class="button small" data-testid="host-model" disabled=move || phase().is_none() on:click=move |_| host::save_model(store)>
                "Save the model"
            </button>
            <button class="button small" data-testid="host-history" disabled=move || phase().is_none() on:click=move |_| host::save_history(store)>
                "Save the history"
            </button>
            <button class="link" data-testid="host-forget" title="The federation itself goes on" on:click=move |_| host::forget(store)>
                "Host another"
            </button>
        </div>
    }
    .into_any()
}

/// The browser's clipboard, where the page may write to it.
fn copy(text: &str) {
    let clipboard = web_sys::window()
        .and_then(|window| js_sys::Reflect::get(&window.navigator(), &"clipboard".into()).ok())
        .filter(|clipboard| clipboard.is_object());
    let Some(clipboard) = clipboard else { return };
    let write = js_sys::Reflect::get(&clipboard, &"writeText".into()).ok();
    if let Some(write) = write.and_then(|write| wasm_bindgen::JsCast::dyn_into::<js_sys::Function>(write).ok()) {
        // The link stands in the field all the same.
        drop(write.call1(&clipboard, &text.into()));
    }
}

/// "0.81 ± 0.04"
fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".into(), |s| format!("{} ± {}", number::percent(s.mean), number::percent(s.deviation)))
}

/// Where the hosted federation is, and all its rounds.
#[component]
pub fn Watch(store: Store) -> impl IntoView {
    let federate = store.federate;
    let rows = move || {
        federate
            .hosted_rounds
            .get()
            .into_iter()
            .map(|view| {
                let samples: u64 = view.updates.iter().map(|update| update.samples).sum();
                view! {
                    <tr>
                        <td class="figure">{view.round}</td>
                        <td class="figure">{view.updates.len()}</td>
                        <td class="figure">{number::grouped(samples as usize)}</td>
                        <td class="figure">{spread(view.evaluation.overall_accuracy)}</td>
                        <td class="figure">{spread(view.local.overall_accuracy)}</td>
                        <td class="figure">{spread(view.result_evaluation.overall_accuracy)}</td>
                    </tr>
                }
            })
            .collect_view()
    };
    view! {
        <Show when=move || federate.hosted_view.with(Option::is_some)>
            {move || {
                federate.hosted_view.get().map(|view| {
                    let state = &view.state;
                    view! {
                        <header class="federate-head">
                            <h1 data-testid="host-round">{round(state)}</h1>
                            <span class="quiet figure" data-testid="host-counts">
                                {format!("{} joined, {} present, {} answered", state.clients, state.present, state.accepted)}
                            </span>
                            <span class="unseen" data-testid="host-phase">{serde_json::to_string(&state.phase).unwrap_or_default()}</span>
                        </header>
                        <p class="quiet">{format!("{}: {}", view.definition.title, algorithm(&view.definition))}</p>
                    }
                })
            }}
            <table class="federate-rounds" data-testid="host-table">
                <thead>
                    <tr>
                        <th>"Round"</th>
                        <th>"Updates"</th>
                        <th>"Labelled pixels"</th>
                        <th>"OA before, %"</th>
                        <th>"OA of the clients' own, %"</th>
                        <th>"OA after, %"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </Show>
    }
    .into_any()
}
