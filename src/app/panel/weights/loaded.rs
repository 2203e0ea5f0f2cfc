//! The weights that training starts from.

use std::sync::Arc;

use leptos::prelude::*;

use super::report::ReportLine;
use crate::app::acts::{job, weights};
use crate::app::plain::number;
use crate::app::plain::weights as words;
use crate::app::state::Store;
use crate::engine::message::WeightsLoaded;

#[component]
pub fn Loaded(store: Store) -> impl IntoView {
    move || store.weights.loaded.get().map(|loaded| view! { <Card store loaded /> })
}

#[component]
fn Card(store: Store, loaded: WeightsLoaded) -> impl IntoView {
    let WeightsLoaded { id, name, summary, report, stored, model, .. } = loaded;
    let row = |name: &'static str, testid: &'static str, value: String| {
        view! {
            <div>
                <dt>{name}</dt>
                <dd class="figure" data-testid=testid>{value}</dd>
            </div>
        }
    };
    let parameters = format!("{}, {}", number::rounded(summary.parameters), words::kind_name(summary.quantization));
    let place = if stored { "kept in this browser" } else { "until this page is closed" };
    // The whole hash can be read by whoever wants to compare it.
    let short = id
        .clone()
        .map_or_else(|| "not hashed".to_owned(), |hash| format!("{}…{}", &hash[..8], &hash[hash.len() - 8..]));
    view! {
        <div class="card chosen" data-testid="weights-loaded">
            <p><b data-testid="weights-title">{summary.title.clone()}</b></p>
            <dl class="facts">
                {row("file", "weights-name", name)}
                {row("parameters", "weights-parameters", parameters)}
                {row("bytes", "weights-loaded-bytes", format!("{}, {place}", number::bytes(summary.bytes)))}
                {summary.source.clone().map(|source| row("from", "weights-source", source))}
                {row("licence", "weights-license", summary.license.clone().unwrap_or_else(|| "not stated".into()))}
                <div>
                    <dt>"SHA-256"</dt>
                    <dd class="figure" data-testid="weights-hash" data-value=id.clone() title=id>{short}</dd>
                </div>
            </dl>
            <ReportLine report=Signal::stored(Some(Arc::new(*report))) />
            <div class="row">
                {model.map(|_| view! {
                    <button
                        class="button small"
                        data-testid="weights-map"
                        title="They are a whole network with its preprocessing: map the open scene with it, without training"
                        disabled=move || store.scene.with(Option::is_none) || store.job.get().is_running()
                        on:click=move |_| job::map_by_weights(store)
                    >
                        "Map the scene with them"
                    </button>
                })}
                <button
                    class="button small"
                    data-testid="weights-unload"
                    title="Train from scratch, and give the memory back"
                    disabled=move || store.job.get().is_running()
                    on:click=move |_| weights::unload(store)
                >
                    "Unload"
                </button>
            </div>
        </div>
    }
    .into_any()
}
