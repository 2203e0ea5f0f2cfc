//! The five steps, from top to bottom. Each says how far it is; the next one is marked.

use leptos::prelude::*;

use super::classes::Classes;
use super::model::ModelStep;
use super::scene::SceneStep;
use super::take_away::TakeAway;
use super::train::TrainStep;
use crate::app::icon;
use crate::app::panel::model::size_name;
use crate::app::plain::number;
use crate::app::state::{JobState, Step, Store, Tab};
use crate::weights::Origin;

const STEPS: [Step; 5] = [Step::Scene, Step::Classes, Step::Model, Step::Train, Step::TakeAway];

fn word(step: Step) -> &'static str {
    match step {
        Step::Scene => "scene",
        Step::Classes => "classes",
        Step::Model => "model",
        Step::Train => "train",
        Step::TakeAway => "take-away",
    }
}

fn title(step: Step) -> &'static str {
    match step {
        Step::Scene => "Scene",
        Step::Classes => "Classes",
        Step::Model => "Model",
        Step::Train => "Train",
        Step::TakeAway => "Take away",
    }
}

fn is_done(store: Store, step: Step) -> bool {
    match step {
        Step::Scene => store.scene.with(Option::is_some),
        Step::Classes => store.labelled_classes() >= 2,
        // The default is a choice, too, once there is something to train on.
        Step::Model => store.scene.with(Option::is_some) && store.labelled_classes() >= 2,
        Step::Train => store.runs.with(|runs| !runs.is_empty()),
        Step::TakeAway => false,
    }
}

/// What a step has come to, in a few words.
fn summary(store: Store, step: Step) -> String {
    match step {
        Step::Scene => store.scene.with(|scene| match scene {
            Some(scene) => scene.info.name.clone(),
            None => "none yet".into(),
        }),
        Step::Classes => {
            let classes = store.classes.with(Vec::len);
            let labelled = store.labelled_pixels();
            match (classes, store.scene.with(Option::is_some)) {
                (_, false) => String::new(),
                (0, true) => "none yet".into(),
                _ => format!("{classes} classes, {} px", number::grouped(labelled)),
            }
        }
        Step::Model => {
            let size = store.config.with(|config| size_name(config.size));
            match store.weights.loaded.with(|loaded| loaded.as_ref().map(|loaded| loaded.summary.origin)) {
                Some(Origin::Pretraining) => format!("{size}, pre-trained"),
                Some(Origin::FineTuning) => format!("{size}, fine-tuned"),
                None => size.to_owned(),
            }
        }
        Step::Train => match store.job.get() {
            JobState::Preparing => "preparing".into(),
            JobState::Training => "training".into(),
            JobState::Mapping => "mapping".into(),
            JobState::Federating => "taking part in a federation".into(),
            _ => match store.runs.with(Vec::len) {
                0 => String::new(),
                1 => "done".into(),
                runs => format!("{runs} runs done"),
            },
        },
        Step::TakeAway => String::new(),
    }
}

#[component]
pub fn Rail(store: Store, saved: RwSignal<bool>) -> impl IntoView {
    let next = Memo::new(move |_| {
        // While something runs, that is the step to look at.
        if store.job.get().is_running() {
            return Some(Step::Train);
        }
        STEPS.into_iter().find(|&step| !is_done(store, step))
    });
    view! {
        <aside class="rail" aria-label="Steps">
            <ol>
                {STEPS
                    .map(|step| {
                        let body = match step {
                            Step::Scene => view! { <SceneStep store saved /> }.into_any(),
                            Step::Classes => view! { <Classes store /> }.into_any(),
                            Step::Model => view! { <ModelStep store /> }.into_any(),
                            Step::Train => view! { <TrainStep store /> }.into_any(),
                            Step::TakeAway => view! { <TakeAway store /> }.into_any(),
                        };
                        view! { <Panel store step next body /> }
                    })
                    .collect_view()}
            </ol>
        </aside>
    }
    .into_any()
}

#[component]
fn Panel(store: Store, step: Step, next: Memo<Option<Step>>, body: AnyView) -> impl IntoView {
    let number = STEPS.iter().position(|&other| other == step).map_or(0, |index| index + 1);
    let open = move || store.step.get() == step;
    let done = move || is_done(store, step);
    let is_next = move || next.get() == Some(step);
    let state = move || match (done(), is_next()) {
        (_, true) => "next",
        (true, false) => "done",
        (false, false) => "waiting",
    };
    let id = format!("step-{}", word(step));
    view! {
        <li class="step" class:open=open data-state=state style:--number=number.to_string()>
            <h2>
                <button
                    class="step-head"
                    data-testid=id.clone()
                    data-state=state
                    aria-expanded=move || open().to_string()
                    aria-controls=format!("{id}-body")
                    on:click=move |_| {
                        store.step.set(step);
                        store.tab.set(Tab::Steps);
                    }
                >
                    <span class="step-number">
                        {move || if done() && !is_next() { icon::done() } else { number.to_string().into_any() }}
                    </span>
                    <span class="step-title">{title(step)}</span>
                    <span class="step-summary figure">{move || summary(store, step)}</span>
                </button>
            </h2>
            <div class="step-body" id=format!("{id}-body") hidden=move || !open()>
                {body}
            </div>
        </li>
    }
    .into_any()
}
