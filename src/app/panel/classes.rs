//! Step 2: classes, their pixels, and the split.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, HtmlInputElement, KeyboardEvent};

use super::codes::Codes;
use super::split::SplitPanel;
use crate::app::acts::labels;
use crate::app::field::DropArea;
use crate::app::icon;
use crate::app::plain::number;
use crate::app::plain::palette;
use crate::app::state::{Role, Store, Tool};

/// With more classes than this their rows stand closer, so that the split below them is still in sight.
const MANY: usize = 12;

#[component]
pub fn Classes(store: Store) -> impl IntoView {
    let has_scene = move || store.scene.with(Option::is_some);
    let has_truth = move || store.scene.with(|scene| scene.as_ref().is_some_and(|scene| scene.ground_truth.is_some()));
    let labelled = move || store.labelled_pixels();
    view! {
        <Show when=has_scene fallback=|| view! { <p class="quiet">"Open a scene first."</p> }>
            <DropArea
                store
                role=Role::Labels
                testid="labels-files"
                label="Open ground truth"
                hint="or brush pixels"
            />
            <Codes store />
            <ClassList store />
            <div class="row">
                <button class="button small" data-testid="class-add" on:click=move |_| labels::add_class(store)>
                    {icon::plus()}
                    "Class"
                </button>
                <Show when=move || { labelled() > 0 }>
                    <button
                        class="link"
                        data-testid="labels-clear"
                        title="Take every label away"
                        on:click=move |_| labels::clear(store)
                    >
                        "Clear"
                    </button>
                </Show>
                <Show when=has_truth>
                    <button
                        class="link"
                        data-testid="labels-reset"
                        title="Back to the ground truth that came with the scene"
                        on:click=move |_| labels::reset(store)
                    >
                        "Restore"
                    </button>
                </Show>
                <span class="figure quiet end" data-testid="labelled-count">
                    {move || format!("{} px", number::grouped(labelled()))}
                </span>
            </div>
            <Show when=move || { labelled() > 0 }>
                <SplitPanel store />
            </Show>
        </Show>
    }
    .into_any()
}

/// One row a class; the chosen one is what the brush paints.
#[component]
fn ClassList(store: Store) -> impl IntoView {
    // Rows are kept while names and colours change, so that a field does not lose its focus.
    let rows = Memo::new(move |_| store.classes.with(Vec::len));
    view! {
        <ul
            class="class-list"
            class:many=move || { rows.get() > MANY }
            data-testid="class-list"
            aria-label="Classes; arrow keys move between classes and their fields"
            on:keydown=move |event| move_focus(&event, rows.get_untracked())
        >
            {move || {
                (0..rows.get())
                    .map(|index| view! { <ClassRow store index /> })
                    .collect_view()
            }}
        </ul>
    }
    .into_any()
}

/// The controls of a row, from left to right, as the ends of their test ids.
const CONTROLS: [&str; 4] = ["choose", "color", "name", "delete"];

/// The list is one tab stop, at the chosen class. Arrow keys go on from there; inside a name they first move the cursor.
fn move_focus(event: &KeyboardEvent, rows: usize) {
    let Some(at) = event.target().and_then(|target| target.dyn_into::<HtmlElement>().ok()) else { return };
    let id = at.dataset().get("testid").unwrap_or_default();
    let Some((row, control)) = id.strip_prefix("class-").and_then(|id| id.split_once('-')) else { return };
    let (Ok(row), Some(control)) = (row.parse::<usize>(), CONTROLS.iter().position(|own| *own == control)) else {
        return;
    };
    let field = at.dyn_ref::<HtmlInputElement>().filter(|_| CONTROLS[control] == "name");
    let cursor = |field: &HtmlInputElement| field.selection_start().ok().flatten();
    let at_start = field.is_none_or(|field| cursor(field) == Some(0));
    let at_end = field.is_none_or(|field| cursor(field) == Some(field.value().encode_utf16().count() as u32));
    let to = match event.key().as_str() {
        "ArrowUp" if row > 1 => (row - 1, control),
        "ArrowDown" if row < rows => (row + 1, control),
        "ArrowLeft" if control > 0 && at_start => (row, control - 1),
        "ArrowRight" if control + 1 < CONTROLS.len() && at_end => (row, control + 1),
        "Home" if field.is_none() => (1, control),
        "End" if field.is_none() => (rows, control),
        _ => return,
    };
    let selector = format!("[data-testid=\"class-{}-{}\"]", to.0, CONTROLS[to.1]);
    let found = document().query_selector(&selector).ok().flatten();
    if let Some(found) = found.and_then(|found| found.dyn_into::<HtmlElement>().ok()) {
        event.prevent_default();
        // It throws nothing that could be mended here.
        drop(found.focus());
    }
}

#[component]
fn ClassRow(store: Store, index: usize) -> impl IntoView {
    let number = (index + 1) as u8;
    let name = move || store.classes.with(|classes| classes.get(index).map_or_else(String::new, |c| c.name.clone()));
    let color = move || store.classes.with(|classes| classes.get(index).map_or([128; 3], |class| class.color));
    let count = move || store.counts.with(|counts| counts.get(index + 1).copied().unwrap_or(0));
    let chosen = move || store.chosen_class.get() == number;
    view! {
        <li
            class="class-row"
            class:chosen=chosen
            data-testid=format!("class-{number}")
            on:click=move |_| store.chosen_class.set(number)
        >
            <button
                class="class-number figure"
                tabindex=move || if chosen() { "0" } else { "-1" }
                aria-pressed=move || chosen().to_string()
                aria-label=move || format!("Paint {}", name())
                title="Paint this class"
                data-testid=format!("class-{number}-choose")
                on:click=move |_| {
                    store.chosen_class.set(number);
                    store.tool.set(Tool::Brush);
                }
            >
                {number}
            </button>
            <input
                type="color"
                tabindex="-1"
                aria-label=move || format!("Colour of {}", name())
                data-testid=format!("class-{number}-color")
                prop:value=move || palette::hex(color())
                on:change=move |event| {
                    if let Some(color) = palette::parse(&event_target_value(&event)) {
                        labels::recolour_class(store, index, color);
                    }
                }
            />
            <input
                type="text"
                class="class-name"
                tabindex="-1"
                aria-label=format!("Name of class {number}")
                data-testid=format!("class-{number}-name")
                prop:value=name
                on:change=move |event| labels::rename_class(store, index, event_target_value(&event))
            />
            <span class="figure quiet" data-testid=format!("class-{number}-count")>{move || number::grouped(count())}</span>
            <button
                class="icon tiny"
                tabindex="-1"
                aria-label=move || format!("Delete {}", name())
                title="Delete this class"
                data-testid=format!("class-{number}-delete")
                on:click=move |event| {
                    event.stop_propagation();
                    labels::delete_class(store, index);
                }
            >
                {icon::close()}
            </button>
        </li>
    }
    .into_any()
}
