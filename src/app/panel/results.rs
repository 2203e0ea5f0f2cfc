//! The right column: spectra, training, results.

use leptos::html;
use leptos::prelude::*;

use super::confusion::Confusion;
use super::figures::{Figures, PerClass};
use crate::app::acts::job;
use crate::app::chart::curves::Curves;
use crate::app::chart::spectrum::Spectrum;
use crate::app::state::{JobState, Store, Tab};

/// On a narrow window the three columns are three tabs under the image.
#[component]
pub fn Tabs(store: Store) -> impl IntoView {
    let tab = move |tab: Tab, word: &'static str, name: &'static str| {
        let chosen = move || store.tab.get() == tab;
        view! {
            <button
                role="tab"
                class:on=chosen
                aria-selected=move || chosen().to_string()
                data-testid=format!("tab-{word}")
                on:click=move |_| store.tab.set(tab)
            >
                {name}
            </button>
        }
        .into_any()
    };
    view! {
        <div class="tabs" role="tablist" aria-label="Under the image">
            {tab(Tab::Steps, "steps", "Steps")}
            {tab(Tab::View, "view", "Image")}
            {tab(Tab::Results, "results", "Results")}
        </div>
    }
    .into_any()
}

#[component]
pub fn Results(store: Store) -> impl IntoView {
    let outcome: NodeRef<html::Section> = NodeRef::new();
    // The end of a job brings its figures into sight.
    Effect::new(move |before: Option<JobState>| {
        let now = store.job.get();
        if now == JobState::Finished
            && before.is_some_and(JobState::is_running)
            && let Some(outcome) = outcome.get_untracked()
        {
            outcome.scroll_into_view();
        }
        now
    });
    view! {
        <aside class="results" aria-label="Results">
            <Spectrum store />
            <Curves store />
            <Show when=move || store.runs.with(|runs| !runs.is_empty())>
                <section class="outcome" aria-label="Results" data-testid="results" node_ref=outcome>
                    <header class="outcome-head">
                        <h2>"Results"</h2>
                        <RunChoice store />
                    </header>
                    <Figures store />
                    <PerClass store />
                    <Confusion store />
                </section>
            </Show>
        </aside>
    }
    .into_any()
}

/// Which run's map and figures are shown, when there are several.
#[component]
fn RunChoice(store: Store) -> impl IntoView {
    let count = move || store.runs.with(Vec::len);
    view! {
        <Show when=move || { count() > 1 }>
            <select
                aria-label="Run"
                data-testid="run-choice"
                on:change=move |event| job::show(store, event_target_value(&event).parse().ok())
            >
                <option value="all" selected=move || store.shown_run.get().is_none()>
                    {move || format!("all {} runs, map of the last", count())}
                </option>
                {move || {
                    store
                        .runs
                        .get()
                        .iter()
                        .enumerate()
                        .map(|(index, run)| {
                            let text = format!("run {}: {}", index + 1, run.split);
                            view! {
                                <option value=index.to_string() selected=move || store.shown_run.get() == Some(index)>
                                    {text}
                                </option>
                            }
                        })
                        .collect_view()
                }}
            </select>
        </Show>
    }
    .into_any()
}
