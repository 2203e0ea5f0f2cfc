//! What a host chooses: a title, a few numbers, and under "Advanced" how updates become one model.

use leptos::prelude::*;

use crate::app::field::{NumberField, Options};
use crate::app::plain::draft::{COMBININGS, Combining, FUSIONS, SERVERS, Server, fusion_sentence};
use crate::app::state::Store;

/// A number of the draft.
macro_rules! number {
    ($store:ident, $label:literal, $testid:literal, $help:literal, $min:literal .. $max:literal step $step:literal, $field:ident : $kind:ty) => {
        view! {
            <NumberField
                label=$label
                testid=$testid
                help=$help
                min=$min
                max=$max
                step=$step
                get=move || $store.federate.draft.with(|draft| draft.$field as f64)
                set=move |value| $store.federate.draft.update(|draft| draft.$field = value as $kind)
            />
        }
    };
}

#[component]
pub fn Plan(store: Store) -> impl IntoView {
    let federate = store.federate;
    view! {
        <label class="federate-link">
            <span>"Title"</span>
            <input
                type="text"
                maxlength="120"
                data-testid="host-title"
                prop:value=move || federate.draft.with(|draft| draft.title.clone())
                on:change=move |event| federate.draft.update(|draft| draft.title = event_target_value(&event))
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
        <div class="fields">
            {number!(store, "rounds", "host-rounds", "Of training", 1.0..10_000.0 step "1", rounds: u32)}
            {number!(store, "local epochs", "host-epochs", "Of each client in each round", 1.0..10_000.0 step "1", epochs: u32)}
            {number!(store, "clients, at least", "host-min-clients", "No round closes with fewer", 1.0..1000.0 step "1", min_clients: u32)}
            <NumberField
                label="deadline"
                unit="min"
                testid="host-minutes"
                help="A round waits no longer for stragglers, once enough have answered"
                min=0.1
                max=10_000.0
                step="any"
                get=move || federate.draft.with(|draft| draft.round_minutes)
                set=move |value| federate.draft.update(|draft| draft.round_minutes = value)
            />
            {number!(store, "scope alignment λ", "host-lambda", "How strongly layers are pulled to the common scopes; 0 = not at all", 0.0..1_000_000.0 step "any", lambda: f64)}
            {number!(store, "proximal μ", "host-proximal", "FedProx: keeps clients near the common model; 0 = FedAvg", 0.0..1_000_000.0 step "any", proximal: f64)}
        </div>
        <details class="advanced" data-testid="host-advanced">
            <summary data-testid="host-advanced-toggle">"Advanced"</summary>
            <Aggregation store />
            <Optimiser store />
            <Alignment store />
        </details>
    }
    .into_any()
}

/// How the updates of a round become one.
#[component]
fn Aggregation(store: Store) -> impl IntoView {
    let draft = store.federate.draft;
    view! {
        <h3>"From many updates to one"</h3>
        <div class="fields">
            <Options label="updates are combined by" testid="host-robust" choices=COMBININGS
                get=move || draft.with(|draft| draft.combining) set=move |value| draft.update(|draft| draft.combining = value) />
            {number!(store, "clip norm", "host-clip", "Longer updates are scaled down to this Euclidean norm, so that no client moves the model further; 0 = not limited", 0.0..1_000_000.0 step "any", clip_norm: f64)}
            <Show when=move || draft.with(|draft| draft.combining == Combining::TrimmedMean)>
                {number!(store, "left out", "host-trim", "Share of the clients left out at either end", 0.0..0.49 step "any", trim: f64)}
            </Show>
        </div>
        <p class="quiet">{move || draft.with(|draft| draft.combining.sentence())}</p>
    }
    .into_any()
}

/// What the coordinator does with the common update.
#[component]
fn Optimiser(store: Store) -> impl IntoView {
    let draft = store.federate.draft;
    view! {
        <h3>"Server optimiser"</h3>
        <div class="fields">
            <Options label="optimiser" testid="host-server" choices=SERVERS
                get=move || draft.with(|draft| draft.server) set=move |value| draft.update(|draft| draft.choose_server(value)) />
            <Show when=move || draft.with(|draft| draft.server != Server::FedAvg)>
                {number!(store, "rate η", "host-rate", "How far the model moves in a round", 0.000_001..1_000_000.0 step "any", rate: f64)}
            </Show>
            <Show when=move || draft.with(|draft| draft.server == Server::FedAvgM)>
                {number!(store, "momentum β", "host-momentum", "Share of the former rounds' movement that goes on", 0.0..0.9999 step "any", momentum: f64)}
            </Show>
            <Show when=move || draft.with(|draft| draft.server.is_adaptive())>
                {number!(store, "β₁", "host-beta1", "Decay of the mean of updates", 0.0..0.9999 step "any", beta1: f64)}
                {number!(store, "β₂", "host-beta2", "Decay of the mean of their squares", 0.0..0.999_99 step "any", beta2: f64)}
                {number!(store, "τ", "host-tau", "Added to the root of that mean: the larger, the less steps adapt", 0.000_000_000_001..1.0 step "any", tau: f64)}
            </Show>
        </div>
        <p class="quiet">{move || draft.with(|draft| draft.server.sentence())}</p>
    }
    .into_any()
}

/// Where scope alignment pulls.
#[component]
fn Alignment(store: Store) -> impl IntoView {
    let draft = store.federate.draft;
    view! {
        <h3>"Scope alignment"</h3>
        <div class="fields">
            <Options label="targets by" testid="host-fusion" choices=FUSIONS
                get=move || draft.with(|draft| draft.fusion) set=move |value| draft.update(|draft| draft.fusion = value) />
            {number!(store, "λ warm-up steps", "host-warm-up", "Local steps of each round over which λ rises from 0; 0 = constant", 0.0..1_000_000.0 step "1", warm_up: u32)}
        </div>
        <p class="quiet">{move || draft.with(|draft| fusion_sentence(draft.fusion))}</p>
    }
    .into_any()
}
