//! Where the labelled pixels of each class went, beside the split.

use leptos::prelude::*;

use crate::app::plain::number;
use crate::app::state::Store;
use crate::labels::{ClassSamples, class_samples, sample_warnings};

/// Counts of the first split; empty before it is drawn.
fn samples(store: Store) -> Vec<ClassSamples> {
    let has_data = store.has_data.get();
    store.splits.with(|splits| {
        let Some(split) = splits.first() else { return Vec::new() };
        // A change of the labels takes the split away, so the labels need not be followed.
        let mask = has_data.as_deref().map(Vec::as_slice).unwrap_or_default();
        store.labels.with_untracked(|labels| store.classes.with(|classes| class_samples(labels, classes, mask, split)))
    })
}

/// What must be known before training; empty before the split is drawn.
#[component]
pub fn SampleWarnings(store: Store, testid: &'static str) -> impl IntoView {
    view! {
        {move || {
            sample_warnings(&samples(store))
                .into_iter()
                .map(|warning| view! { <p class="warning" data-testid=testid>{warning} "."</p> })
                .collect_view()
        }}
    }
    .into_any()
}

#[component]
pub fn Samples(store: Store) -> impl IntoView {
    let counts = Memo::new(move |_| samples(store));
    let table = move || {
        let counts = counts.get();
        if counts.is_empty() {
            return None;
        }
        let rows = (1..).zip(counts).map(|(class, own): (usize, _)| {
            let cells = [("train", own.train), ("val", own.val), ("test", own.test), ("no-data", own.no_data), ("outside", own.outside)];
            let cells = cells
                .map(|(word, count)| view! { <td data-testid=format!("samples-{class}-{word}")>{number::grouped(count)}</td> });
            view! {
                <tr>
                    <th scope="row">{own.class}</th>
                    {cells.into_iter().collect_view()}
                </tr>
            }
        });
        Some(view! {
            <details class="advanced" data-testid="samples">
                <summary data-testid="samples-toggle">"Pixels of each class"</summary>
                <table class="per-class figure">
                    <thead>
                        <tr>
                            <th scope="col">"class"</th>
                            <th scope="col">"train"</th>
                            <th scope="col" title="validate">"val"</th>
                            <th scope="col">"test"</th>
                            <th scope="col" title="The scene has no data there: a used band lacks a value. They take no part.">"no data"</th>
                            <th scope="col" title="In no list of the split">"outside"</th>
                        </tr>
                    </thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </details>
        })
    };
    view! {
        <SampleWarnings store testid="split-warning" />
        {table}
    }
    .into_any()
}
