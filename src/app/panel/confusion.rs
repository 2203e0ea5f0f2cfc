//! The confusion matrix: small in the column, large in a dialog.

use leptos::prelude::*;

use super::figures::shown_runs;
use crate::app::chart::heatmap::{Heatmap, Look};
use crate::app::dialog::Dialog;
use crate::app::state::Store;

/// The sum over the shown runs.
fn summed(store: Store) -> Option<Vec<Vec<u32>>> {
    let runs = shown_runs(store);
    let mut accuracies = runs.iter().filter_map(|run| run.accuracy.as_ref());
    let mut sum = accuracies.next()?.confusion.clone();
    for accuracy in accuracies {
        for (into, from) in sum.iter_mut().flatten().zip(accuracy.confusion.iter().flatten()) {
            *into += from;
        }
    }
    Some(sum)
}

#[component]
pub fn Confusion(store: Store) -> impl IntoView {
    let large = RwSignal::new(false);
    let small = move || {
        let confusion = summed(store)?;
        let cell = (300.0 / confusion.len().max(1) as f64).clamp(12.0, 40.0);
        Some(view! {
            <Heatmap
                confusion
                classes=store.map_classes.get()
                look=Look { cell, names: false }
                testid="confusion"
            />
        })
    };
    let has_any = move || shown_runs(store).iter().any(|run| run.accuracy.is_some());
    view! {
        <Show when=has_any>
            <div class="confusion-head">
                <h3>"Confusion"</h3>
                <span class="quiet">"rows: truth, columns: map"</span>
                <button class="link" data-testid="confusion-enlarge" on:click=move |_| large.set(true)>"Enlarge"</button>
            </div>
            {small}
        </Show>
        <Dialog
            open=large
            close=Callback::new(move |()| large.set(false))
            class="dialog wide-dialog"
            testid="confusion-dialog"
            button_id="confusion-close"
        >
            <h2>"Confusion matrix"</h2>
            <p class="quiet">"Rows are the truth, columns the map, in test pixels; the shade is the share of the row."</p>
            <div class="scroll">
                {move || {
                    large
                        .get()
                        .then(|| summed(store))
                        .flatten()
                        .map(|confusion| {
                            view! {
                                <Heatmap
                                    confusion
                                    classes=store.map_classes.get()
                                    look=Look { cell: 44.0, names: true }
                                    testid="confusion-large"
                                />
                            }
                        })
                }}
            </div>
        </Dialog>
    }
    .into_any()
}
