//! Hosting: a few numbers, the link and its code, watching, pausing, ending, taking away.

use leptos::prelude::*;
use qrcodegen::{QrCode, QrCodeEcc};

use super::live::{Others, counts};
use super::neighbours::Neighbours;
use super::plan::Plan;
use super::plots::Accuracy;
use crate::app::acts::{federate as act_federate, host};
use crate::app::dialog::Dialog;
use crate::app::plain::federate::{accuracies, algorithm, round};
use crate::app::plain::number;
use crate::app::state::{Part, Side, Store};
use crate::federation::protocol::{Phase, Spread};

#[component]
pub fn Host(store: Store) -> impl IntoView {
    let federate = store.federate;
    view! {
        <Show when=move || federate.hosted.with(Option::is_none) fallback=move || view! { <Running store /> }>
            <Plan store />
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
                        "Bands and classes are those of the open scene, the network is the one of step 3; with loaded weights and LoRA \
                         only adapters are trained and sent. Training starts by itself once enough clients are there.",
                    )
                }}
            </p>
        </Show>
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
    let (copied, asking) = (RwSignal::new(false), RwSignal::new(false));
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
            <button
                class="link"
                data-testid="host-take-part"
                disabled=move || federate.part.get() == Part::Running
                on:click=move |_| {
                    federate.link.set(link());
                    act_federate::look(store);
                    federate.side.set(Side::Join);
                }
            >
                "Take part with this tab's scene"
            </button>
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
        <Show when=move || phase() == Some(Phase::Finished)>
            <div class="row">
                <button class="button small" data-testid="host-delete" on:click=move |_| asking.set(true)>
                    "Delete the federation"
                </button>
            </div>
        </Show>
        <Dialog
            open=asking
            close=Callback::new(move |()| asking.set(false))
            class="dialog"
            testid="host-delete-dialog"
            label="Delete the federation"
            button="Keep it"
            button_id="host-delete-no"
        >
            <h2>"Delete this federation?"</h2>
            <p>
                "Its history, its models and all tokens are deleted from the coordinator, for everybody and for good. Save the model \
                 and the history first if you want to keep them."
            </p>
            <button
                class="button small"
                data-testid="host-delete-yes"
                on:click=move |_| {
                    asking.set(false);
                    host::delete(store);
                }
            >
                "Delete it"
            </button>
        </Dialog>
        <Neighbours store />
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
    let curve = Signal::derive(move || federate.hosted_rounds.with(|rounds| accuracies(rounds)));
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
                            <span class="unseen" data-testid="host-phase">{serde_json::to_string(&state.phase).unwrap_or_default()}</span>
                        </header>
                        {state.why.map(|why| view! { <p data-testid="host-why">{why.sentence()}</p> })}
                        <p class="quiet">{format!("{}: {}", view.definition.title, algorithm(&view.definition))}</p>
                    }
                })
            }}
            <Others counts=move || federate.hosted_view.with(|view| view.as_ref().map(|view| counts(&view.state))) side="host" />
            <div class="federate-plots lone">
                <Accuracy points=curve testid="host-accuracy" />
            </div>
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
