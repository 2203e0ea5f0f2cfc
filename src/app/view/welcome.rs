//! The empty stage: drop a scene or try the teaching scene.

use leptos::prelude::*;

use crate::app::acts::scene;
use crate::app::field::FilePicker;
use crate::app::plain::number;
use crate::app::state::{EngineState, Role, Store};

/// The teaching scene that "Try it" makes; the same for everybody, so that figures can be compared.
pub const TEACHING_SEED: u64 = 1;

#[component]
pub fn Welcome(store: Store) -> impl IntoView {
    view! {
        <div class="welcome" data-testid="welcome">
            <svg class="welcome-mark" viewBox="0 0 240 72" aria-hidden="true">
                <path class="axis" d="M8 64H232"></path>
                <path
                    class="spectrum"
                    d="M8 56C20 55 28 54 36 50S50 44 56 48 66 55 72 54 78 18 88 14 106 13 112 15 118 25 122 24 128 14 138 15 148 22 152 40 158 48 162 42 172 28 184 28 196 36 200 50 206 54 212 49 224 44 232 46"
                ></path>
            </svg>
            <h1>"Drop a hyperspectral scene here"</h1>
            <p>
                "ENVI (header and data together), MATLAB, NumPy or GeoTIFF. It is read and classified in this tab; nothing leaves your machine."
            </p>
            <div class="welcome-acts">
                <FilePicker store role=Role::Scene testid="open-scene" class="button primary" label="Choose files" />
                <button
                    class="button"
                    data-testid="try-it"
                    disabled=move || store.busy.with(Option::is_some)
                    on:click=move |_| scene::open_teaching(store, TEACHING_SEED)
                >
                    "Try it with a teaching scene"
                </button>
            </div>
            {move || {
                store
                    .kept
                    .get()
                    .map(|kept| {
                        view! {
                            <p class="kept" data-testid="kept-scene">
                                "Last time you worked on "
                                <b>{kept.scene_name}</b>
                                ". Drop it again: its labels, maps and models are still in this browser."
                            </p>
                        }
                    })
            }}
            <EngineProgress store />
        </div>
    }
    .into_any()
}

/// How far the engine is; nothing once it is ready.
#[component]
fn EngineProgress(store: Store) -> impl IntoView {
    move || match store.engine.get() {
        EngineState::Fetching { received, total } => {
            let share = total.map(|total| (received as f64 / total.max(1) as f64).min(1.0));
            let text = match total {
                Some(total) => {
                    format!("Loading the engine, {} of {}", number::megabytes(received), number::megabytes(total))
                }
                None => format!("Loading the engine, {}", number::megabytes(received)),
            };
            view! {
                <div class="engine-progress" data-testid="engine-progress">
                    <progress max="1" value=share aria-label="Loading the engine"></progress>
                    <span class="quiet figure">{text}</span>
                </div>
            }
            .into_any()
        }
        EngineState::Starting | EngineState::Restarting => view! {
            <div class="engine-progress" data-testid="engine-progress">
                <progress max="1" aria-label="Starting the engine"></progress>
                <span class="quiet">"Starting the engine"</span>
            </div>
        }
        .into_any(),
        EngineState::Ready | EngineState::Failed(_) => ().into_any(),
    }
}
