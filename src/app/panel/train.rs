//! Step 4: train. The defaults are meant to be left alone; everything else is under "Advanced".

use leptos::prelude::*;

use super::samples::SampleWarnings;
use super::split;
use super::tuning::TuningPart;
use crate::app::acts::job;
use crate::app::field::{NumberField, Toggle};
use crate::app::settings::SplitMode;
use crate::app::state::Store;
use crate::train::TrainConfig;

#[component]
pub fn TrainStep(store: Store) -> impl IntoView {
    let running = move || store.job.get().is_running();
    let planned = move || match store.split_mode.get() {
        SplitMode::Random => store.seeds.get(),
        SplitMode::File => store.splits.with(Vec::len).max(1),
        SplitMode::All => 1,
    };
    let missing = move || {
        if store.weights.are_loading() {
            Some("The weights are still being loaded.")
        } else if store.scene.with(Option::is_none) {
            Some("Open a scene first.")
        } else if store.labelled_classes() < 2 {
            Some("Label pixels of at least two classes in step 2.")
        } else {
            None
        }
    };
    view! {
        <button
            class="button primary wide-button"
            data-testid="train"
            disabled=move || running() || missing().is_some()
            on:click=move |_| job::train(store)
        >
            {move || match (running(), planned(), store.runs.with(Vec::is_empty)) {
                (true, _, _) => "Running".to_owned(),
                (_, 1, true) => "Train and map".to_owned(),
                (_, 1, false) => "Train and map again".to_owned(),
                (_, runs, _) => format!("Train and map, {runs} runs"),
            }}
        </button>
        {move || match missing() {
            Some(sentence) => view! { <p class="quiet" data-testid="train-missing">{sentence}</p> }.into_any(),
            None => view! { <p class="quiet figure plan" data-testid="train-plan">{split::plan(store)}</p> }.into_any(),
        }}
        <SampleWarnings store testid="plan-warning" />
        <div class="fields">
            <NumberField
                label="epochs"
                testid="epochs"
                min=1.0
                max=10_000.0
                get=move || store.config.with(|config| config.epochs as f64)
                set=move |value| store.config.update(|config| config.epochs = value as usize)
            />
            <NumberField
                label="training seed"
                help="Initial weights, order and augmentation; run i uses seed + i"
                testid="seed"
                min=0.0
                max=4_294_967_295.0
                get=move || store.config.with(|config| config.seed as f64)
                set=move |value| store.config.update(|config| config.seed = value as u64)
            />
        </div>
        <Show when=move || store.weights.are_loaded()>
            <TuningPart store />
        </Show>
        <details class="advanced" data-testid="advanced">
            <summary data-testid="advanced-toggle">"Advanced"</summary>
            <Optimiser store />
            <Regularisation store />
            <Validation store />
            <button
                class="link"
                data-testid="config-reset"
                on:click=move |_| {
                    store
                        .config
                        .update(|config| {
                            let kept = TrainConfig { patch: config.patch, components: config.components, ..TrainConfig::preset(config.size) };
                            *config = TrainConfig { tuning: config.tuning.clone(), ..kept };
                        });
                }
            >
                "Back to the defaults"
            </button>
        </details>
    }
    .into_any()
}

/// A field of the configuration as a number.
macro_rules! number {
    ($store:ident, $label:literal, $testid:literal, $help:literal, $min:literal .. $max:literal step $step:literal, $($field:ident).+ : $kind:ty) => {
        view! {
            <NumberField
                label=$label
                testid=$testid
                help=$help
                min=$min
                max=$max
                step=$step
                get=move || $store.config.with(|config| config.$($field).+ as f64)
                set=move |value| $store.config.update(|config| config.$($field).+ = value as $kind)
            />
        }
    };
}

macro_rules! toggle {
    ($store:ident, $label:literal, $testid:literal, $help:literal, $($field:ident).+) => {
        view! {
            <Toggle
                label=$label
                testid=$testid
                help=$help
                get=move || $store.config.with(|config| config.$($field).+)
                set=move |value| $store.config.update(|config| config.$($field).+ = value)
            />
        }
    };
}

#[component]
fn Optimiser(store: Store) -> impl IntoView {
    view! {
        <h3>"Optimiser"</h3>
        <div class="fields">
            {number!(store, "learning rate", "learning-rate", "Peak rate of AdamW", 0.0..1.0 step "any", learning_rate: f64)}
            {number!(store, "weight decay", "weight-decay", "Of AdamW", 0.0..10.0 step "any", weight_decay: f64)}
            {number!(store, "layer decay", "layer-decay", "Factor on the rate from each block to the one below; 1 = the same everywhere", 0.01..1.0 step "any", layer_decay: f64)}
            {number!(store, "beta 2", "beta2", "Decay of AdamW's second moments", 0.0..0.99999 step "any", beta2: f64)}
            {number!(store, "clip norm", "clip-norm", "Largest norm of the gradient; 0 = not limited", 0.0..1000.0 step "any", clip_norm: f64)}
            {number!(store, "weight EMA", "weight-average", "Decay a step of the exponential moving average of the weights that validates and maps; 0 = the weights themselves", 0.0..0.9999 step "any", weight_average: f64)}
            {number!(store, "warm-up epochs", "warmup-epochs", "Epochs of linear warm-up before the cosine", 0.0..1000.0 step "1", warmup_epochs: usize)}
        </div>
    }
    .into_any()
}

#[component]
fn Regularisation(store: Store) -> impl IntoView {
    view! {
        <h3>"Regularisation"</h3>
        <div class="fields">
            {number!(store, "label smoothing", "label-smoothing", "Share of the target given to the other classes", 0.0..0.9 step "any", label_smoothing: f32)}
            {number!(store, "drop path", "drop-path", "Stochastic depth of the last block, growing from 0", 0.0..0.9 step "any", drop_path: f64)}
            {number!(store, "tile shift", "jitter", "Largest random shift of the tile in pixels", 0.0..64.0 step "1", augmentation.jitter: usize)}
            {number!(store, "spectral gain", "spectral-gain", "Deviation of one factor a component for a whole tile, around 1", 0.0..5.0 step "any", augmentation.spectral_gain: f32)}
            {number!(store, "spectral noise", "spectral-noise", "Deviation of noise on every component of every pixel, in deviations of the component", 0.0..5.0 step "any", augmentation.spectral_noise: f32)}
            {number!(store, "spectral shift", "spectral-shift", "Deviation of one offset a component for a whole tile, in the same unit", 0.0..5.0 step "any", augmentation.spectral_shift: f32)}
        </div>
        {toggle!(store, "class balanced loss", "class-balanced", "Weight each class by the inverse of its number of training pixels", class_balanced)}
        {toggle!(store, "random flips", "flips", "Mirror the tile along each axis with probability one half", augmentation.flips)}
        {toggle!(store, "random quarter turns", "rotations", "Turn the tile by multiples of 90 degrees", augmentation.rotations)}
    }
    .into_any()
}

#[component]
fn Validation(store: Store) -> impl IntoView {
    view! {
        <h3>"Validation and mapping"</h3>
        <div class="fields">
            {number!(store, "validate every", "validate-every", "Epochs between two looks at the validation pixels", 1.0..1000.0 step "1", validate_every: usize)}
            {number!(store, "patience", "patience", "Validations without improvement after which training stops; 0 = never", 0.0..1000.0 step "1", patience: usize)}
            {number!(store, "shifts averaged", "test-time-shifts", "Places of the tile over which probabilities are averaged when mapping", 1.0..16.0 step "1", test_time_shifts: usize)}
            {number!(store, "tile", "tile", "Longest side of a tile in pixels", 16.0..1024.0 step "1", tile: usize)}
            {number!(store, "tile overlap", "tile-overlap", "Overlap of neighbouring tiles in pixels", 0.0..512.0 step "1", tile_overlap: usize)}
        </div>
        {toggle!(store, "map with the best validated weights", "keep-best", "Instead of the last ones", keep_best)}
        {toggle!(store, "average mirrored and turned tiles when mapping", "test-time-augmentation", "Slower, usually a little more accurate", test_time_augmentation)}
    }
    .into_any()
}
