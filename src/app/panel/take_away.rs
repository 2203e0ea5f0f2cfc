//! Step 5: files to take away.

use leptos::prelude::*;

use crate::app::acts::take_away;
use crate::app::icon;
use crate::app::state::Store;

#[component]
pub fn TakeAway(store: Store) -> impl IntoView {
    let has_map = move || store.runs.with(|runs| !runs.is_empty());
    let has_figures = move || store.runs.with(|runs| runs.iter().any(|run| run.accuracy.is_some()));
    let has_model = move || store.model.with(Option::is_some);
    let has_labels = move || store.labels.with(|labels| labels.iter().any(|&label| label != 0));
    view! {
        <ul class="files">
            <Item
                testid="save-png"
                name="Class map as PNG"
                what="picture with legend, split and accuracy"
                ready=Signal::derive(has_map)
                act=Callback::new(move |()| take_away::png(store))
            />
            <Item
                testid="save-envi"
                name="Class map as ENVI"
                what=".hdr and .img with class names and colours"
                ready=Signal::derive(has_map)
                act=Callback::new(move |()| take_away::envi(store))
            />
            <Item
                testid="save-csv"
                name="Accuracy as CSV"
                what="OA, AA, κ, per class, confusion matrices"
                ready=Signal::derive(has_figures)
                act=Callback::new(move |()| take_away::csv(store))
            />
            <Item
                testid="save-model"
                name="Trained model"
                what=".safetensors, opens on any scene of the same bands"
                ready=Signal::derive(has_model)
                act=Callback::new(move |()| take_away::model(store))
            />
            <Item
                testid="save-labels"
                name="Labels as ENVI"
                what="your labelled pixels as ground truth"
                ready=Signal::derive(has_labels)
                act=Callback::new(move |()| take_away::labels(store))
            />
        </ul>
        <Show when=move || !has_map()>
            <p class="quiet">"The map and its figures can be taken away once training has finished."</p>
        </Show>
    }
    .into_any()
}

#[component]
fn Item(
    testid: &'static str,
    name: &'static str,
    what: &'static str,
    ready: Signal<bool>,
    act: Callback<()>,
) -> impl IntoView {
    view! {
        <li>
            <button class="file" data-testid=testid disabled=move || !ready.get() on:click=move |_| act.run(())>
                {icon::download()}
                <b>{name}</b>
                <span class="quiet">{what}</span>
            </button>
        </li>
    }
    .into_any()
}
