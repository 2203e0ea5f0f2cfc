//! What lies under the pointer, in figures.

use leptos::prelude::*;

use crate::app::plain::number;
use crate::app::plain::palette;
use crate::app::plain::presets::{self, Preset};
use crate::app::state::Store;
use crate::labels::Class;

/// One line over the lower edge of the image: row, column, values of the shown bands, label, map class.
#[component]
pub fn Readout(store: Store) -> impl IntoView {
    let at = move || store.hover.get();
    let values = move || {
        let shown = at()?;
        let spectrum = store.hover_spectrum.get().filter(|pin| (pin.row, pin.col) == shown)?;
        let bands = store.scene.with(|scene| {
            let info = &scene.as_ref()?.info;
            match store.preset.get() {
                Preset::Band => Some(vec![store.band.get()]),
                preset => presets::bands(preset, info).map(|bands| bands.to_vec()),
            }
        })?;
        let values: Vec<String> = bands
            .iter()
            .filter_map(|&band| spectrum.values.get(band))
            .map(|&value| number::short(f64::from(value)))
            .collect();
        Some(values.join(" · "))
    };
    let class = move |map: RwSignal<Vec<u8>>, classes: RwSignal<Vec<Class>>| {
        let (row, col) = at()?;
        let cols = store.scene.with(|scene| scene.as_ref().map(|scene| scene.info.cols))?;
        let number = map.with(|map| map.get(row * cols + col).copied())?;
        classes.with(|classes| classes.get(usize::from(number).checked_sub(1)?).cloned())
    };
    let chip = |class: Option<Class>| match class {
        Some(class) => view! {
            <span class="swatch" style:background=palette::hex(class.color)></span>
            {class.name}
        }
        .into_any(),
        None => "–".into_any(),
    };
    view! {
        <div class="readout" data-testid="readout" class:empty=move || at().is_none()>
            <span>
                "row "
                <b data-testid="readout-row">{move || at().map_or("–".into(), |(row, _)| row.to_string())}</b>
                " col "
                <b data-testid="readout-col">{move || at().map_or("–".into(), |(_, col)| col.to_string())}</b>
            </span>
            <span>"value " <b data-testid="readout-value">{move || values().unwrap_or_else(|| "–".into())}</b></span>
            <span>
                "label "
                <b data-testid="readout-label">{move || chip(class(store.labels, store.classes))}</b>
            </span>
            <Show when=move || store.map.with(|map| !map.is_empty())>
                <span>
                    "map "
                    <b data-testid="readout-map">{move || chip(class(store.map, store.map_classes))}</b>
                </span>
            </Show>
        </div>
    }
    .into_any()
}
