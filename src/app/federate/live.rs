//! The calm view of a running part: phase, countdown, one's own progress, the others as dots, bytes, scopes.

use gloo_timers::callback::Interval;
use leptos::prelude::*;

use super::plots;
use crate::app::plain::federate::{accuracies, doing, round};
use crate::app::plain::number;
use crate::app::state::Store;
use crate::engine::message::{LocalPhase, Traffic};
use crate::federation::protocol::StateView;

/// More dots than these are a number.
const DOTS_MAX: u32 = 60;

#[component]
pub fn Live(store: Store) -> impl IntoView {
    let part = store.federate;
    let state = move || part.progress.with(|progress| progress.as_ref().and_then(|progress| progress.state.clone()));
    // The countdown goes on between two messages.
    let second = RwSignal::new(0u32);
    let interval = StoredValue::new_local(Some(Interval::new(1000, move || {
        second.update(|count| *count = count.wrapping_add(1))
    })));
    on_cleanup(move || {
        interval.update_value(|interval| drop(interval.take()));
    });
    let left = move || {
        second.track();
        let remaining = state()?.remaining_ms? as f64 - (js_sys::Date::now() - part.told_ms.get());
        Some(if remaining > 0.0 {
            format!("{} until its deadline", number::clock(remaining / 1000.0))
        } else {
            "past its deadline".to_owned()
        })
    };
    let local = move || part.progress.with(|progress| progress.as_ref().map(|progress| progress.local));
    let share = move || local().filter(|local| local.total > 0).map(|local| local.done as f64 / local.total as f64);
    let curve = Signal::derive(move || {
        part.rounds.with(|rounds| rounds.as_ref().map(|rounds| accuracies(&rounds.rounds)).unwrap_or_default())
    });
    let words = move || part.progress.with(|progress| progress.as_ref().map_or_else(|| "joining".to_owned(), doing));
    view! {
        <header class="federate-head">
            <h1 data-testid="federate-round">{move || state().map_or_else(|| "Joining".to_owned(), |state| round(&state))}</h1>
            <span class="quiet figure" data-testid="federate-deadline">{left}</span>
        </header>
        <p class="federate-doing">
            <span data-testid="federate-doing">{words}</span>
            <span class="unseen" data-testid="federate-part">{move || part.part.get().word()}</span>
            <span class="unseen" data-testid="federate-stage">
                {move || {
                    part.progress.with(|progress| {
                        progress.as_ref().and_then(|progress| serde_json::to_string(&progress.stage).ok()).unwrap_or_default()
                    })
                }}
            </span>
        </p>
        {move || state().and_then(|state| state.why).map(|why| view! { <p class="quiet" data-testid="federate-why">{why.sentence()}</p> })}
        <Show when=move || local().is_some_and(|local| local.phase != LocalPhase::Idle)>
            <progress max="1" value=share aria-label="Your own progress" data-testid="federate-progress"></progress>
            <p class="quiet figure" data-testid="federate-local">
                {move || {
                    let local = local()?;
                    let loss = local.loss.map(|loss| format!("loss {}", number::short(f64::from(loss))));
                    let left = local.remaining_s.map(|left| format!("{} left", number::clock(left)));
                    Some([loss, left].into_iter().flatten().collect::<Vec<_>>().join(" · "))
                }}
            </p>
        </Show>
        {move || {
            part.progress
                .with(|progress| progress.as_ref().and_then(|progress| progress.trouble.clone()))
                .map(|trouble| view! { <p class="federate-problem" data-testid="federate-trouble">{trouble}</p> })
        }}
        <Others counts=move || state().map(|state| counts(&state)) side="federate" />
        <div class="federate-plots">
            <plots::Accuracy points=curve testid="federate-accuracy" />
            <plots::Scopes store />
            <plots::Divergence store />
        </div>
        <Traffics store />
    }
    .into_any()
}

/// Who has answered, is present, has joined.
pub fn counts(state: &StateView) -> (u32, u32, u32) {
    (state.accepted, state.present, state.clients)
}

/// The clients of the round as anonymous dots: filled once they have answered. `side`, host or federate, begins their names for scripts.
#[component]
pub fn Others<F>(counts: F, side: &'static str) -> impl IntoView
where
    F: Fn() -> Option<(u32, u32, u32)> + Copy + Send + Sync + 'static,
{
    let dots = move || {
        let (accepted, present, clients) = counts()?;
        (clients <= DOTS_MAX).then(|| {
            (0..clients)
                .map(|dot| {
                    let kind = if dot < accepted {
                        "answered"
                    } else if dot < present {
                        "present"
                    } else {
                        "away"
                    };
                    view! { <i class=kind></i> }
                })
                .collect_view()
        })
    };
    view! {
        <div class="federate-others" data-testid=format!("{side}-others")>
            <span class="dots" aria-hidden="true">{dots}</span>
            <span class="quiet figure" data-testid=format!("{side}-counts")>
                {move || counts().map(|(accepted, present, clients)| format!("{accepted} answered, {present} present, {clients} joined"))}
            </span>
        </div>
    }
    .into_any()
}

const fn word(traffic: Traffic) -> &'static str {
    match traffic {
        Traffic::Control => "control",
        Traffic::Statistics => "band statistics",
        Traffic::Update => "weight changes and scopes",
        Traffic::Metrics => "accuracies",
        Traffic::Model => "common model",
        Traffic::Projection => "common projection",
    }
}

/// Bytes up and down, by type.
#[component]
fn Traffics(store: Store) -> impl IntoView {
    let ledger =
        move || store.federate.progress.with(|progress| progress.as_ref().map(|progress| progress.ledger.clone()));
    view! {
        <section class="federate-part" aria-label="Bytes">
            <h2>"Over the network"</h2>
            <table class="federate-leaving" data-testid="federate-ledger">
                <thead>
                    <tr>
                        <th>"Content"</th>
                        <th>"sent"</th>
                        <th>"received"</th>
                    </tr>
                </thead>
                <tbody>
                    {move || {
                        ledger().map(|ledger| {
                            let total = ledger.total();
                            ledger
                                .iter()
                                .map(|(traffic, bytes)| (word(traffic), bytes))
                                .chain([("all", total)])
                                .map(|(name, bytes)| {
                                    view! {
                                        <tr>
                                            <td>{name}</td>
                                            <td class="figure">{number::bytes(bytes.up)}</td>
                                            <td class="figure">{number::bytes(bytes.down)}</td>
                                        </tr>
                                    }
                                })
                                .collect_view()
                        })
                    }}
                </tbody>
            </table>
        </section>
    }
    .into_any()
}
