//! Where the engine computes, why, and the switch.

use leptos::prelude::*;

use crate::app::acts::recover;
use crate::app::icon;
use crate::app::state::{EngineState, Store};
use crate::engine::message::DeviceChoice;

fn name_of(choice: DeviceChoice) -> &'static str {
    match choice {
        DeviceChoice::Auto => "Auto",
        DeviceChoice::Webgpu => "WebGPU",
        DeviceChoice::Cpu => "CPU",
    }
}

fn word_of(choice: DeviceChoice) -> &'static str {
    match choice {
        DeviceChoice::Auto => "auto",
        DeviceChoice::Webgpu => "webgpu",
        DeviceChoice::Cpu => "cpu",
    }
}

#[component]
pub fn DeviceMenu(store: Store) -> impl IntoView {
    let open = RwSignal::new(false);
    let state = move || match store.engine.get() {
        EngineState::Fetching { .. } => "loading",
        EngineState::Starting => "starting",
        EngineState::Ready => "ready",
        EngineState::Restarting => "restarting",
        EngineState::Failed(_) => "failed",
    };
    let name = move || match store.engine.get() {
        EngineState::Fetching { received, total: Some(total) } => {
            format!("Loading the engine, {:.0} %", 100.0 * (received as f64 / total.max(1) as f64).min(1.0))
        }
        EngineState::Fetching { received, total: None } => {
            format!("Loading the engine, {}", crate::app::plain::number::megabytes(received))
        }
        EngineState::Starting => "Starting the engine".into(),
        EngineState::Restarting => "Restarting the engine".into(),
        EngineState::Failed(_) => "Engine stopped".into(),
        EngineState::Ready => store.device.get().map_or_else(
            || "Choosing a device".into(),
            |device| {
                let kind = name_of(device.active);
                if device.name.contains(kind) { device.name } else { format!("{kind}, {}", device.name) }
            },
        ),
    };
    // A narrow window shows only what stands before the comma.
    let short = move || name().split_once(", ").map_or_else(name, |(short, _)| short.to_owned());
    let rest = move || name().split_once(", ").map(|(_, rest)| format!(", {rest}"));
    let close_on_escape = window_event_listener(leptos::ev::keydown, move |event| {
        if event.key() == "Escape" {
            open.set(false);
        }
    });
    on_cleanup(move || close_on_escape.remove());
    view! {
        <div class="device">
            <button
                class="device-badge"
                data-testid="device-menu"
                data-state=state
                aria-haspopup="true"
                aria-expanded=move || open.get().to_string()
                on:click=move |_| open.update(|open| *open = !*open)
            >
                <span
                    class="dot"
                    class:gpu=move || store.device.with(|d| d.as_ref().is_some_and(|d| d.active == DeviceChoice::Webgpu))
                ></span>
                <span data-testid="device-name">{short} <span class="wide">{rest}</span></span>
                {icon::chevron()}
            </button>
            <Show when=move || open.get()>
                <div class="veil" on:click=move |_| open.set(false)></div>
                <div class="menu" role="dialog" aria-label="Device" data-testid="device-panel">
                    <p data-testid="device-reason">
                        {move || match (store.engine.get(), store.device.get()) {
                            (EngineState::Failed(sentence), _) => sentence,
                            (_, Some(device)) => device.reason,
                            (_, None) => "The device is chosen when the engine is loaded.".into(),
                        }}
                    </p>
                    <div class="menu-choices" role="radiogroup" aria-label="Compute on">
                        {[
                            (DeviceChoice::Auto, "WebGPU on a real graphics adapter, the CPU otherwise"),
                            (DeviceChoice::Webgpu, "Graphics adapter, also a software one"),
                            (DeviceChoice::Cpu, "WebAssembly with SIMD"),
                        ]
                            .map(|(choice, meaning)| {
                                let chosen = move || store.device_choice.get() == choice;
                                view! {
                                    <button
                                        role="radio"
                                        class:on=chosen
                                        aria-checked=move || chosen().to_string()
                                        data-testid=format!("device-{}", word_of(choice))
                                        on:click=move |_| {
                                            recover::choose_device(store, choice);
                                            open.set(false);
                                        }
                                    >
                                        <b>{name_of(choice)}</b>
                                        <span class="quiet">{meaning}</span>
                                    </button>
                                }
                            })
                            .collect_view()}
                    </div>
                    <button
                        class="button small"
                        data-testid="engine-restart"
                        title="Ends the engine's worker and starts a new one; scene, labels and a running job are taken along"
                        on:click=move |_| {
                            recover::restart(store);
                            open.set(false);
                        }
                    >
                        "Restart the engine"
                    </button>
                </div>
            </Show>
        </div>
    }
    .into_any()
}
