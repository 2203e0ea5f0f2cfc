//! Questions that only the user can answer: which array of the file, and what a dropped file is.

use leptos::prelude::*;

use crate::app::acts::{drop, scene};
use crate::app::dialog::Dialog;
use crate::app::state::{Question, Role, Store};
use crate::scene::OpenOptions;

#[component]
pub fn Questions(store: Store) -> impl IntoView {
    let answer = move |role: Role, variable: Option<String>| {
        store.question.set(None);
        drop::open_as(store, role, scene::take_pending(), OpenOptions { variable, ..OpenOptions::default() });
    };
    let give_up = move |()| {
        // Closing after an answer leaves nothing to give up.
        if store.question.with_untracked(Option::is_some) {
            store.question.set(None);
            scene::take_pending();
        }
    };
    let asked = Signal::derive(move || store.question.with(Option::is_some));
    view! {
        <Dialog
            open=asked
            close=Callback::new(give_up)
            class="dialog"
            testid="question"
            button="Cancel"
            button_id="question-cancel"
        >
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
        </Dialog>
    }
    .into_any()
}
