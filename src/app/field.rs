//! Form controls that several panels share.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{File, FileList, HtmlInputElement};

use crate::app::acts::drop;
use crate::app::plain::draft::Choices;
use crate::app::state::{Role, Store};

/// One of a few values that exclude each other.
#[derive(Clone)]
pub struct Choice<T> {
    value: T,
    word: &'static str,
    label: &'static str,
    icon: Option<fn() -> AnyView>,
}

impl<T> Choice<T> {
    pub fn text(value: T, word: &'static str, label: &'static str) -> Self {
        Self { value, word, label, icon: None }
    }

    pub fn icon(value: T, word: &'static str, label: &'static str, icon: fn() -> AnyView) -> Self {
        Self { value, word, label, icon: Some(icon) }
    }
}

/// A row of buttons, one of them pressed. Their test ids are `name-word`.
#[component]
pub fn Segmented<T>(
    name: &'static str,
    label: &'static str,
    choices: Vec<Choice<T>>,
    value: RwSignal<T>,
    #[prop(optional)] on_change: Option<Callback<()>>,
) -> impl IntoView
where
    T: Copy + PartialEq + Send + Sync + 'static,
{
    view! {
        <div class="segmented" role="radiogroup" aria-label=label>
            {choices
                .into_iter()
                .map(|choice| {
                    let chosen = move || value.get() == choice.value;
                    let has_icon = choice.icon.is_some();
                    view! {
                        <button
                            type="button"
                            role="radio"
                            class:icon=has_icon
                            class:on=chosen
                            aria-checked=move || chosen().to_string()
                            aria-label=choice.label
                            title=has_icon.then_some(choice.label)
                            data-testid=format!("{name}-{}", choice.word)
                            on:click=move |_| {
                                value.set(choice.value);
                                if let Some(on_change) = on_change {
                                    on_change.run(());
                                }
                            }
                        >
                            {match choice.icon {
                                Some(icon) => icon(),
                                None => choice.label.into_any(),
                            }}
                        </button>
                    }
                })
                .collect_view()}
        </div>
    }
    .into_any()
}

fn list(files: Option<FileList>) -> Vec<File> {
    files.map(|files| (0..files.length()).filter_map(|index| files.get(index)).collect()).unwrap_or_default()
}

/// The files of a drop. A folder among them comes as a file that cannot be read: it is left out, unless it is all there is.
pub fn dropped(event: &web_sys::DragEvent) -> Vec<File> {
    let Some(transfer) = event.data_transfer() else { return Vec::new() };
    let items = transfer.items();
    let entries = (0..items.length()).filter_map(|index| items.get(index)?.webkit_get_as_entry().ok().flatten());
    let folders: Vec<String> =
        entries.filter(web_sys::FileSystemEntry::is_directory).map(|folder| folder.name()).collect();
    let mut files = list(transfer.files());
    if folders.len() < files.len() {
        files.retain(|file| !folders.contains(&file.name()));
    }
    files
}

/// A button that opens the browser's file chooser; `testid` is that of the file field itself.
#[component]
pub fn FilePicker(
    store: Store,
    role: Role,
    testid: &'static str,
    class: &'static str,
    label: &'static str,
) -> impl IntoView {
    let accept = match role {
        Role::Scene | Role::Labels => "",
        Role::Split => ".json,application/json",
        Role::Model => ".safetensors",
        Role::Weights => ".pth,.pt,.safetensors,.gguf",
    };
    view! {
        <label class=class class:disabled=move || store.busy.with(Option::is_some)>
            {label}
            <input
                type="file"
                class="unseen"
                accept=accept
                multiple=matches!(role, Role::Scene | Role::Labels | Role::Weights)
                data-testid=testid
                on:change=move |event| {
                    let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok())
                    else {
                        return;
                    };
                    let files = list(input.files());
                    // So that the same file can be chosen again.
                    input.set_value("");
                    drop::on_step(store, role, files);
                }
            />
        </label>
    }
    .into_any()
}

/// A place of one step to drop files on, with a chooser inside.
#[component]
pub fn DropArea(
    store: Store,
    role: Role,
    testid: &'static str,
    label: &'static str,
    #[prop(into)] hint: String,
) -> impl IntoView {
    let over = RwSignal::new(false);
    view! {
        <div
            class="drop-area"
            class:over=move || over.get()
            data-testid=format!("{testid}-drop")
            on:dragover=move |event| {
                event.prevent_default();
                over.set(true);
            }
            on:dragleave=move |_| over.set(false)
            on:drop=move |event| {
                // Also tells the page that these files have found their place.
                event.prevent_default();
                over.set(false);
                drop::on_step(store, role, dropped(&event));
            }
        >
            <FilePicker store role testid class="button small" label />
            <span class="quiet">{hint}</span>
        </div>
    }
    .into_any()
}

/// A number with a name, limits and a step; anything that is no number in the limits is put back.
#[component]
pub fn NumberField<G, S>(
    label: &'static str,
    testid: &'static str,
    #[prop(optional)] unit: &'static str,
    #[prop(optional)] help: &'static str,
    min: f64,
    max: f64,
    #[prop(default = "1")] step: &'static str,
    get: G,
    set: S,
) -> impl IntoView
where
    G: Fn() -> f64 + Copy + Send + Sync + 'static,
    S: Fn(f64) + Copy + Send + Sync + 'static,
{
    let refresh = RwSignal::new(0_u32);
    let shown = move || {
        refresh.track();
        // Shortest text that reads back as the same single-precision number: 0.1, not 0.10000000149.
        let value = get();
        if (f64::from(value as f32) - value).abs() <= 1e-9 * value.abs() {
            (value as f32).to_string()
        } else {
            value.to_string()
        }
    };
    view! {
        <label class="field" title=(!help.is_empty()).then_some(help)>
            <span>{label}</span>
            <span class="field-value">
                <input
                    type="number"
                    inputmode="decimal"
                    min=min.to_string()
                    max=max.to_string()
                    step=step
                    data-testid=testid
                    prop:value=shown
                    on:change=move |event| {
                        if let Ok(value) = event_target_value(&event).parse::<f64>()
                            && value.is_finite()
                        {
                            set(value.clamp(min, max));
                        }
                        refresh.update(|count| *count += 1);
                    }
                />
                {(!unit.is_empty()).then(|| view! { <span class="unit">{unit}</span> })}
            </span>
        </label>
    }
    .into_any()
}

/// A box to tick.
#[component]
pub fn Toggle<G, S>(
    label: &'static str,
    testid: &'static str,
    #[prop(optional)] help: &'static str,
    get: G,
    set: S,
) -> impl IntoView
where
    G: Fn() -> bool + Copy + Send + Sync + 'static,
    S: Fn(bool) + Copy + Send + Sync + 'static,
{
    view! {
        <label class="toggle" title=(!help.is_empty()).then_some(help)>
            <input type="checkbox" data-testid=testid prop:checked=get on:change=move |event| set(event_target_checked(&event)) />
            <span>{label}</span>
        </label>
    }
    .into_any()
}

/// A few values that exclude each other, in a list that opens.
#[component]
pub fn Options<T, G, S>(label: &'static str, testid: &'static str, choices: Choices<T>, get: G, set: S) -> impl IntoView
where
    T: Copy + PartialEq + Send + Sync + 'static,
    G: Fn() -> T + Copy + Send + Sync + 'static,
    S: Fn(T) + Copy + Send + Sync + 'static,
{
    view! {
        <label class="field">
            <span>{label}</span>
            <select
                data-testid=testid
                on:change=move |event| {
                    let word = event_target_value(&event);
                    if let Some((value, ..)) = choices.iter().find(|(_, name, _)| *name == word) {
                        set(*value);
                    }
                }
            >
                {choices
                    .iter()
                    .map(|&(value, word, name)| view! { <option value=word selected=move || get() == value>{name}</option> })
                    .collect_view()}
            </select>
        </label>
    }
    .into_any()
}
