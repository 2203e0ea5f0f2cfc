//! Questions that only the user can answer: which array of the file, and what a dropped file is.

use leptos::html;
use leptos::prelude::*;

use crate::app::acts::{drop, scene};
use crate::app::state::{Question, Role, Store};
use crate::scene::OpenOptions;

#[component]
pub fn Questions(store: Store) -> impl IntoView {
    let dialog: NodeRef<html::Dialog> = NodeRef::new();
    Effect::new(move |_| {
        let asked = store.question.with(Option::is_some);
        if let Some(dialog) = dialog.get() {
            match (asked, dialog.open()) {
                // It throws only when the dialog is open already.
                (true, false) => std::mem::drop(dialog.show_modal()),
                (false, true) => dialog.close(),
                _ => {}
            }
        }
    });
    let answer = move |role: Role, variable: Option<String>| {
        store.question.set(None);
        drop::open_as(store, role, scene::take_pending(), OpenOptions { variable, ..OpenOptions::default() });
    };
    let give_up = move || {
        store.question.set(None);
        scene::take_pending();
    };
    view! {
        <dialog class="dialog" node_ref=dialog data-testid="question" on:close=move |_| {
            // Also fires after an answer; then nothing is left to give up.
            if store.question.with_untracked(Option::is_some) {
                give_up();
            }
        }>
            {move || match store.question.get() {
                None => ().into_any(),
                Some(Question::Role { names }) => view! {
                    <h2>"What is " {names} "?"</h2>
                    <div class="choices">
                        <button class="choice" data-testid="role-labels" on:click=move |_| answer(Role::Labels, None)>
                            <b>"Ground truth"</b>
                            <span class="quiet">"class numbers of the open scene"</span>
                        </button>
                        <button class="choice" data-testid="role-scene" on:click=move |_| answer(Role::Scene, None)>
                            <b>"A new scene"</b>
                            <span class="quiet">"takes the place of the open one"</span>
                        </button>
                    </div>
                }
                .into_any(),
                Some(Question::Variable { name, choices, role }) => view! {
                    <h2>{name} " holds several arrays. Which one?"</h2>
                    <div class="choices">
                        {choices
                            .into_iter()
                            .map(|variable| {
                                let chosen = variable.name.clone();
                                let shape = variable.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ");
                                view! {
                                    <button
                                        class="choice"
                                        data-testid="variable-choice"
                                        data-value=variable.name.clone()
                                        on:click=move |_| answer(role, Some(chosen.clone()))
                                    >
                                        <b>{variable.name.clone()}</b>
                                        <span class="quiet figure">{shape} " " {variable.dtype.clone()}</span>
                                    </button>
                                }
                            })
                            .collect_view()}
                    </div>
                }
                .into_any(),
            }}
            <button class="button small" data-testid="question-cancel" on:click=move |_| give_up()>"Cancel"</button>
        </dialog>
    }
    .into_any()
}
