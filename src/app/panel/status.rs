//! The quiet line at the bottom: what is running, how far, how long; pause, stop, cancel.

use leptos::prelude::*;

use crate::app::acts::job;
use crate::app::icon;
use crate::app::plain::{federate, number, weights};
use crate::app::state::{EngineState, JobState, Store};
use crate::engine::message::{Phase, Progress};

/// The sentence of the line.
fn sentence(store: Store) -> String {
    if let Some(busy) = store.busy.get() {
        let waiting = if store.is_ready() { "" } else { ", as soon as the engine is here" };
        return format!("{busy}{waiting}");
    }
    let on_the_way = store.weights.on_the_way.with(|on_the_way| {
        on_the_way.as_ref().map(|on_the_way| weights::progress(&on_the_way.name, on_the_way.progress.as_ref()))
    });
    if let Some(text) = on_the_way {
        return text;
    }
    let job = store.job.get();
    if job.is_running() {
        let mut text = match store.progress.get() {
            _ if job == JobState::Federating => federation(store),
            Some(progress) => of_progress(&progress, latest_validation(store)),
            None => "Preparing".into(),
        };
        if store.engine.with(|engine| *engine == EngineState::Restarting) {
            text = format!("Restarting the engine · {text}");
        }
        return if store.paused.get() { format!("Paused · {text}") } else { text };
    }
    match job {
        JobState::Finished => {
            let seconds: f64 = store.runs.with(|runs| runs.iter().map(|run| run.train_s + run.map_s).sum());
            format!("Finished · {} in all", number::clock(seconds))
        }
        JobState::Cancelled => "Cancelled".into(),
        JobState::Failed => "Stopped by an error".into(),
        _ => match store.engine.get() {
            EngineState::Fetching { .. } => "Loading the engine".into(),
            EngineState::Starting => "Starting the engine".into(),
            EngineState::Restarting => "Restarting the engine".into(),
            EngineState::Failed(_) => "The engine is not running".into(),
            EngineState::Ready => "Ready".into(),
        },
    }
}

/// "Federation · round 3 of 20 · training, epoch 2 of 5"
fn federation(store: Store) -> String {
    store.federate.progress.with(|progress| match progress {
        None => "Federation · joining".into(),
        Some(progress) => {
            let round =
                progress.state.as_ref().map(|state| format!("{} · ", federate::round(state))).unwrap_or_default();
            format!("Federation · {round}{}", federate::doing(progress))
        }
    })
}

/// Validation accuracy of the running run, which is not measured in every epoch.
fn latest_validation(store: Store) -> Option<f32> {
    store.curves.with(|curves| curves.last()?.iter().rev().find_map(|point| point.val_accuracy))
}

fn of_progress(progress: &Progress, validation: Option<f32>) -> String {
    let mut parts = Vec::new();
    let of = format!("{} of {}", progress.done, progress.total);
    parts.push(match progress.phase {
        Phase::Preparing => "Preparing".to_owned(),
        Phase::Training => "Training".to_owned(),
        Phase::Mapping => "Mapping".to_owned(),
    });
    if progress.runs > 1 {
        parts.push(format!("run {} of {}", progress.run + 1, progress.runs));
    }
    if progress.total > 0 {
        parts.push(match progress.phase {
            Phase::Preparing => format!("row {of}"),
            Phase::Training => format!("epoch {of}"),
            Phase::Mapping => format!("tile {of}"),
        });
    }
    if let Some(left) = progress.remaining_s {
        parts.push(format!("{} left", number::clock(left)));
    }
    if let (Phase::Training, Some(accuracy)) = (progress.phase, validation) {
        parts.push(format!("validation OA {} %", number::percent(f64::from(accuracy))));
    }
    parts.join(" · ")
}

#[component]
pub fn StatusLine(store: Store) -> impl IntoView {
    let running = move || store.job.get().is_running();
    let share = move || {
        let progress = store.progress.get()?;
        (progress.total > 0).then(|| (progress.done as f64 / progress.total as f64).min(1.0))
    };
    let training = move || store.job.get() == JobState::Training;
    let pause_name = move || if store.paused.get() { "Resume" } else { "Pause" };
    view! {
        <footer class="status" class:running=running>
            <span
                class="status-text figure"
                data-testid="status-text"
            >
                {move || sentence(store)}
            </span>
            <span class="unseen" data-testid="job-state">{move || store.job.get().word()}</span>
            <span class="unseen" data-testid="job-paused">{move || store.paused.get().to_string()}</span>
            <Show when=move || running() || store.busy.with(Option::is_some)>
                <progress class="status-progress" max="1" value=share aria-label="Progress" data-testid="job-progress"></progress>
            </Show>
            <Show when=running>
                <span class="figure quiet elapsed" data-testid="job-elapsed">
                    {move || store.progress.with(|p| p.as_ref().map(|p| number::clock(p.elapsed_s)))}
                </span>
                <div class="status-acts">
                    <button
                        class="button small"
                        data-testid="job-pause"
                        aria-label=pause_name
                        on:click=move |_| job::pause(store)
                    >
                        {move || if store.paused.get() { icon::play() } else { icon::pause() }}
                        <span class="wide">{pause_name}</span>
                    </button>
                    <Show when=training>
                        <button
                            class="button small"
                            data-testid="job-finish"
                            title="Stop training now, keep the best model so far and map the scene"
                            aria-label="Finish now"
                            on:click=move |_| job::finish_early()
                        >
                            {icon::flag()}
                            <span class="wide">"Finish now"</span>
                        </button>
                    </Show>
                    <button
                        class="button small"
                        data-testid="job-cancel"
                        title="Stop and throw the result away"
                        aria-label="Cancel"
                        on:click=move |_| job::cancel()
                    >
                        {icon::close()}
                        <span class="wide">"Cancel"</span>
                    </button>
                </div>
            </Show>
        </footer>
    }
    .into_any()
}
