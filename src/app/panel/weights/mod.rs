//! Pre-trained weights in step 3: what training starts from.

mod cache;
mod choices;
mod fit;
mod loaded;
mod offer;
mod report;

use leptos::prelude::*;

use crate::app::acts::weights;
use crate::app::field::DropArea;
use crate::app::plain::weights as words;
use crate::app::state::{Role, Store};

#[component]
pub fn WeightsPart(store: Store) -> impl IntoView {
    let loading = move || store.weights.are_loading();
    let loaded = move || store.weights.are_loaded();
    let offered = move || store.weights.offer.with(Option::is_some);
    view! {
        <section class="weights" aria-label="Pre-trained weights" data-testid="weights" aria-busy=move || loading().to_string()>
            <h3>"Pre-trained weights"</h3>
            // What waits for an answer comes first.
            <Show when=move || !loading()>
                <offer::OfferCard store />
            </Show>
            <loaded::Loaded store />
            <Show when=loading>
                <OnTheWay store />
            </Show>
            <Show when=move || !loading()>
                <Show when=move || !loaded() && !offered()>
                    <choices::Choices store />
                </Show>
                {move || store.weights.freed.get().map(|freed| view! { <p class="quiet" data-testid="weights-freed">{freed}</p> })}
            </Show>
            <details class="more" data-testid="weights-more">
                <summary data-testid="weights-more-toggle">"Other weights, and what is kept"</summary>
                    <DropArea
                        store
                        role=Role::Weights
                        testid="weights-files"
                        label="Choose files"
                        hint=".pth, .safetensors, .gguf"
                    />
                    <choices::Address store />
                    <cache::Cache store />
                </details>
        </section>
    }
    .into_any()
}

/// How far the loading is.
#[component]
fn OnTheWay(store: Store) -> impl IntoView {
    let sentence = move || {
        store.weights.on_the_way.with(|on_the_way| {
            on_the_way.as_ref().map(|on_the_way| words::progress(&on_the_way.name, on_the_way.progress.as_ref()))
        })
    };
    let phase = move || {
        store.weights.on_the_way.with(|on_the_way| {
            let progress = on_the_way.as_ref()?.progress.as_ref()?;
            Some(progress.phase.name().to_lowercase())
        })
    };
    let share = move || {
        store.weights.on_the_way.with(|on_the_way| {
            let progress = on_the_way.as_ref()?.progress.as_ref()?;
            let total = progress.total.filter(|&total| total > 0)?;
            Some((progress.done as f64 / total as f64).min(1.0))
        })
    };
    view! {
        <div class="on-the-way">
            <p class="figure" data-testid="weights-progress" data-phase=phase>{sentence}</p>
            <progress max="1" value=share aria-label="Progress of loading the weights"></progress>
            <button class="button small" data-testid="weights-cancel" on:click=move |_| weights::cancel()>"Cancel"</button>
        </div>
    }
    .into_any()
}
