//! How loaded weights are tuned: everything, or low-rank changes of frozen projections.

use leptos::prelude::*;

use crate::app::field::{NumberField, Toggle};
use crate::app::state::Store;
use crate::train::{Lora, LoraTargets, Tuning};
use crate::weights::Quantization;

fn lora(store: Store) -> Option<Lora> {
    store.config.with(|config| match config.tuning {
        Tuning::Full => None,
        Tuning::Lora(lora) => Some(lora),
    })
}

fn change(store: Store, change: impl FnOnce(&mut Lora)) {
    store.config.update(|config| {
        if let Tuning::Lora(lora) = &mut config.tuning {
            change(lora);
        }
    });
}

/// Shown where weights are loaded; without them everything is trained.
#[component]
pub fn TuningPart(store: Store) -> impl IntoView {
    let is_lora = move || lora(store).is_some();
    let choice = move |word: &'static str, name: &'static str, tuning: Tuning| {
        let own = matches!(tuning, Tuning::Lora(_));
        view! {
            <button
                type="button"
                role="radio"
                class:on=move || is_lora() == own
                aria-checked=move || (is_lora() == own).to_string()
                data-testid=format!("tuning-{word}")
                on:click=move |_| {
                    if is_lora() != own {
                        store.config.update(|config| config.tuning = tuning.clone());
                    }
                }
            >
                {name}
            </button>
        }
        .into_any()
    };
    let meaning = move || {
        let quantized = store
            .weights
            .loaded
            .with(|loaded| loaded.as_ref().is_some_and(|loaded| loaded.summary.quantization != Quantization::F32));
        match (is_lora(), quantized) {
            (true, _) => {
                "The loaded projections stay as they are; small matrices beside them are trained, and everything the file lacks."
            }
            (false, true) => "Everything is trained; quantized weights are unpacked to F32 first.",
            (false, false) => "Everything is trained.",
        }
    };
    view! {
        <section class="tuning" aria-label="Tuning">
            <div class="row">
                <h3>"Tune"</h3>
                <div class="segmented" role="radiogroup" aria-label="What is tuned of the loaded weights">
                    {choice("full", "in full", Tuning::Full)}
                    {choice("lora", "LoRA", Tuning::Lora(Lora::default()))}
                </div>
            </div>
            <p class="quiet small-text">{meaning}</p>
            <Show when=is_lora>
                <div class="fields">
                    <NumberField
                        label="rank"
                        testid="lora-rank"
                        help="Rows and columns of the small matrices: more can change more"
                        min=1.0
                        max=512.0
                        get=move || lora(store).unwrap_or_default().rank as f64
                        set=move |value| change(store, |lora| lora.rank = value as usize)
                    />
                    <NumberField
                        label="alpha"
                        testid="lora-alpha"
                        help="The change is scaled by alpha / rank"
                        min=0.01
                        max=10_000.0
                        step="any"
                        get=move || lora(store).unwrap_or_default().alpha
                        set=move |value| change(store, |lora| lora.alpha = value)
                    />
                </div>
                <fieldset class="targets">
                    <legend>"of the projections"</legend>
                    <Target store label="qkv" testid="lora-qkv" help="Query, key and value" of=|targets| &mut targets.qkv />
                    <Target store label="proj" testid="lora-proj" help="Output of the attention" of=|targets| &mut targets.proj />
                    <Target store label="fc1" testid="lora-fc1" help="The MLP's way up" of=|targets| &mut targets.fc1 />
                    <Target store label="fc2" testid="lora-fc2" help="The MLP's way down" of=|targets| &mut targets.fc2 />
                </fieldset>
            </Show>
        </section>
    }
    .into_any()
}

/// One kind of projection; the last one stays, because LoRA of nothing is nothing.
#[component]
fn Target(
    store: Store,
    label: &'static str,
    testid: &'static str,
    help: &'static str,
    of: fn(&mut LoraTargets) -> &mut bool,
) -> impl IntoView {
    let get = move || *of(&mut lora(store).unwrap_or_default().targets);
    let set = move |on| {
        change(store, |lora| {
            let mut targets = lora.targets;
            *of(&mut targets) = on;
            if !targets.is_empty() {
                lora.targets = targets;
            }
        });
    };
    view! { <Toggle label testid help get set /> }.into_any()
}
