//! Step 3: the size of the network, or a model from a file.

use leptos::prelude::*;

use super::weights::WeightsPart;
use crate::app::acts::{job, weights};
use crate::app::field::{DropArea, NumberField};
use crate::app::plain::number;
use crate::app::state::{Role, Store};
use crate::train::{Input, ModelSize, TrainConfig};

pub fn size_name(size: ModelSize) -> &'static str {
    match size {
        ModelSize::Tiny => "Tiny",
        ModelSize::Nano => "Nano",
        ModelSize::Base => "Base",
        ModelSize::Large => "Large",
        ModelSize::Huge => "Huge",
    }
}

/// Its word in test ids and file names.
pub fn size_word(size: ModelSize) -> &'static str {
    match size {
        ModelSize::Tiny => "tiny",
        ModelSize::Nano => "nano",
        ModelSize::Base => "base",
        ModelSize::Large => "large",
        ModelSize::Huge => "huge",
    }
}

/// Sizes offered, their parameters and what they need.
const SIZES: [(ModelSize, &str, &str); 4] = [
    (ModelSize::Nano, "about 2 million parameters", "trains from scratch in minutes, also on a CPU"),
    (ModelSize::Base, "194 million", "a graphics card with 8 GB or more; made for pre-trained weights"),
    (ModelSize::Large, "641 million", "a graphics card with 16 GB or more"),
    (ModelSize::Huge, "1.3 billion", "more memory than a browser tab commonly gets"),
];

#[component]
pub fn ModelStep(store: Store) -> impl IntoView {
    view! {
        // Files on offer are of one size.
        <Show when=move || store.weights.offer.with(Option::is_none)>
            <Sizes store />
        </Show>
        <WeightsPart store />
        <Settings store />
        <DropArea store role=Role::Model testid="model-file" label="Open a trained model" hint=".safetensors" />
        <Current store />
    }
    .into_any()
}

#[component]
fn Sizes(store: Store) -> impl IntoView {
    view! {
        <div class="sizes brief" role="radiogroup" aria-label="Size of the model">
            {SIZES
                .map(|(size, parameters, needs)| {
                    let chosen = move || store.config.with(|config| config.size == size);
                    view! {
                        <button
                            role="radio"
                            class="size"
                            class:on=chosen
                            aria-checked=move || chosen().to_string()
                            title=needs
                            data-testid=format!("size-{}", size_word(size))
                            on:click=move |_| {
                                weights::choose_size(store, size);
                            }
                        >
                            <b>{size_name(size)}</b>
                            <span class="figure">{parameters}</span>
                            <span class="quiet">{needs}</span>
                        </button>
                    }
                })
                .collect_view()}
        </div>
    }
    .into_any()
}

/// What the network sees of the scene.
#[component]
fn Settings(store: Store) -> impl IntoView {
    view! {
        <div class="fields">
            <label class="field" title="Whether neighbouring pixels mostly share a class; it sets input, patch, width and augmentation">
                <span>"classes form"</span>
                <select
                    data-testid="recipe"
                    on:change=move |event| {
                        let recipe = if event_target_value(&event) == "mixed" { TrainConfig::for_mixed_pixels } else { TrainConfig::preset };
                        store.config.update(|config| *config = TrainConfig { seed: config.seed, ..recipe(config.size) });
                    }
                >
                    <option value="fields" selected=move || store.config.with(|c| c.augmentation.context_mix == 0.0)>
                        "fields"
                    </option>
                    <option value="mixed" selected=move || store.config.with(|c| c.augmentation.context_mix > 0.0)>
                        "mixed pixels"
                    </option>
                </select>
            </label>
            <label class="field" title="Side of a square of pixels that becomes one token">
                <span>"patch"</span>
                <select
                    data-testid="patch"
                    on:change=move |event| {
                        let patch = event_target_value(&event).parse().ok();
                        store.config.update(|config| config.patch = patch);
                    }
                >
                    <option value="auto" selected=move || store.config.with(|c| c.patch.is_none())>"automatic"</option>
                    {[1, 2, 4, 8, 16]
                        .map(|patch: usize| {
                            view! {
                                <option value=patch.to_string() selected=move || store.config.with(|c| c.patch == Some(patch))>
                                    {format!("{patch} px")}
                                </option>
                            }
                        })
                        .collect_view()}
                </select>
            </label>
            <label class="field" title="How the spectra of the scene become the network's input">
                <span>"input"</span>
                <select
                    data-testid="input"
                    on:change=move |event| {
                        let input = match event_target_value(&event).as_str() {
                            "whitened" => Input::Whitened,
                            "noise-adjusted" => Input::NoiseAdjusted,
                            _ => Input::NoiseFraction,
                        };
                        store.config.update(|config| config.input = input);
                    }
                >
                    <option value="whitened" selected=move || store.config.with(|c| c.input == Input::Whitened)>
                        "PCA, whitened"
                    </option>
                    <option value="noise-adjusted" selected=move || store.config.with(|c| c.input == Input::NoiseAdjusted)>
                        "PCA, noise-adjusted"
                    </option>
                    <option value="noise-fraction" selected=move || store.config.with(|c| c.input == Input::NoiseFraction)>
                        "minimum noise fraction"
                    </option>
                </select>
            </label>
            <NumberField
                label="components"
                help="Principal components kept of the spectrum"
                testid="components"
                min=1.0
                max=400.0
                get=move || store.config.with(|config| config.components as f64)
                set=move |value| store.config.update(|config| config.components = value as usize)
            />
        </div>
    }
    .into_any()
}

/// The model at hand and what it can do right away.
#[component]
fn Current(store: Store) -> impl IntoView {
    move || {
        store.model.get().map(|model| {
            let known = model.info.as_ref().map(|info| {
                view! {
                    <p class="quiet figure" data-testid="model-info">
                        {format!(
                            "{}, {:.1} million parameters, {} bands, {} classes, trained on {}",
                            size_name(info.config.size),
                            info.parameters as f64 / 1e6,
                            info.bands,
                            info.classes.len(),
                            info.scene,
                        )}
                    </p>
                }
            });
            let size = number::megabytes(model.bytes.len() as u64);
            view! {
                <div class="current-model">
                    <p>
                        "At hand: "
                        <b data-testid="model-name">{model.origin.clone()}</b>
                        <span class="quiet figure">" " {size}</span>
                    </p>
                    {known}
                    <button
                        class="button small"
                        data-testid="map-now"
                        title="Map the open scene with this model, without training"
                        disabled=move || store.scene.with(Option::is_none) || store.job.get().is_running()
                        on:click=move |_| job::map(store)
                    >
                        "Map the scene with it"
                    </button>
                </div>
            }
        })
    }
}
