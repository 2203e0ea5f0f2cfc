//! Above the image: what it shows and what a press does.

use leptos::prelude::*;

use crate::app::acts::labels;
use crate::app::field::{Choice, Segmented};
use crate::app::icon;
use crate::app::plain::number;
use crate::app::plain::presets::{self, Preset};
use crate::app::state::{Overlay, Store, Tool};

#[component]
pub fn Toolbar(store: Store) -> impl IntoView {
    view! {
        <div class="toolbar" role="toolbar" aria-label="Image" data-testid="toolbar">
            <Tools store />
            <Picture store />
            <Overlays store />
        </div>
    }
    .into_any()
}

#[component]
fn Tools(store: Store) -> impl IntoView {
    let tools = vec![
        Choice::icon(Tool::Look, "look", "Look: drag to move, click to pin a spectrum", icon::look),
        Choice::icon(
            Tool::Brush,
            "brush",
            "Brush: paint the chosen class; the right button moves the image",
            icon::brush,
        ),
        Choice::icon(Tool::Erase, "erase", "Erase labels", icon::erase),
    ];
    view! {
        <div class="group">
            <Segmented name="tool" label="Tool" choices=tools value=store.tool />
            <label class="inline">
                <span class="quiet">"size"</span>
                <input
                    type="range"
                    min="1"
                    max="25"
                    disabled=move || store.tool.get() == Tool::Look
                    data-testid="brush-size"
                    prop:value=move || store.brush.get()
                    on:input=move |event| {
                        if let Ok(size) = event_target_value(&event).parse() {
                            store.brush.set(size);
                        }
                    }
                />
                <span class="figure" data-testid="brush-size-value">{move || format!("{} px", store.brush.get())}</span>
            </label>
            <button
                class="icon"
                data-testid="undo"
                title="Undo the last change of the labels (Ctrl Z)"
                aria-label="Undo"
                disabled=move || store.undo_depth.get() == 0
                on:click=move |_| labels::undo(store)
            >
                {icon::undo()}
            </button>
        </div>
    }
    .into_any()
}

#[component]
fn Picture(store: Store) -> impl IntoView {
    let offered = move |preset: Preset| {
        store.scene.with(|scene| match scene {
            Some(scene) => preset == Preset::Band || presets::bands(preset, &scene.info).is_some(),
            None => true,
        })
    };
    let shown = move || {
        store.scene.with(|scene| {
            let info = &scene.as_ref()?.info;
            Some(match store.preset.get() {
                Preset::Band => {
                    let band = store.band.get();
                    let bad = if info.good_bands.get(band) == Some(&false) { " (bad band)" } else { "" };
                    format!("{}{bad}", presets::band_name(info, band))
                }
                preset => {
                    let bands = presets::bands(preset, info)?;
                    match &info.wavelengths_nm {
                        Some(nm) => {
                            let nm = bands.map(|band| format!("{:.0}", nm.get(band).copied().unwrap_or(f64::NAN)));
                            format!("{} nm", nm.join(" / "))
                        }
                        None => format!("bands {}", bands.map(|band| (band + 1).to_string()).join(" / ")),
                    }
                }
            })
        })
    };
    let without_wavelengths =
        move || store.scene.with(|scene| scene.as_ref().is_some_and(|scene| scene.info.wavelengths_nm.is_none()));
    view! {
        <div class="group">
            <label class="inline">
                <span class="quiet">"show"</span>
                <select
                    data-testid="preset"
                    on:change=move |event| {
                        let word = event_target_value(&event);
                        if let Some(preset) = presets::ALL.into_iter().find(|preset| preset.word() == word) {
                            store.preset.set(preset);
                        }
                    }
                >
                    {presets::ALL
                        .map(|preset| {
                            view! {
                                <option
                                    value=preset.word()
                                    disabled=move || !offered(preset)
                                    selected=move || store.preset.get() == preset
                                >
                                    {preset.name()}
                                </option>
                            }
                        })
                        .collect_view()}
                </select>
            </label>
            <span
                class="figure quiet"
                data-testid="shown-bands"
                title=move || {
                    without_wavelengths().then_some("The file gives no wavelengths; bands are chosen as if they covered 400 to 2500 nm evenly.")
                }
            >
                {move || shown().unwrap_or_default()}
            </span>
        </div>
    }
    .into_any()
}

#[component]
fn Overlays(store: Store) -> impl IntoView {
    let has_map = move || store.map.with(|map| !map.is_empty());
    let last_band = move || store.scene.with(|scene| scene.as_ref().map_or(0, |s| s.info.bands.saturating_sub(1)));
    view! {
        <div class="group second">
            <Show when=move || store.preset.get() == Preset::Band>
                <input
                    class="band"
                    type="range"
                    min="0"
                    max=last_band
                    aria-label="Band"
                    data-testid="band"
                    prop:value=move || store.band.get()
                    on:input=move |event| {
                        if let Ok(band) = event_target_value(&event).parse() {
                            store.band.set(band);
                        }
                    }
                />
            </Show>
            <label class="inline" title="Share of the darkest and of the brightest values that is cut off">
                <span class="quiet">"stretch"</span>
                <select
                    data-testid="stretch"
                    on:change=move |event| {
                        if let Ok(cut) = event_target_value(&event).parse() {
                            store.stretch.set(cut);
                        }
                    }
                >
                    {[0.0_f32, 0.5, 1.0, 2.0, 5.0, 10.0]
                        .map(|cut| {
                            let name = if cut == 0.0 {
                                "full range".to_owned()
                            } else {
                                format!("{}–{} %", number::short(f64::from(cut)), number::short(f64::from(100.0 - cut)))
                            };
                            view! {
                                <option value=cut.to_string() selected=move || (store.stretch.get() - cut).abs() < 1e-6>
                                    {name}
                                </option>
                            }
                        })
                        .collect_view()}
                </select>
            </label>
            <label class="inline">
                <span class="quiet">"labels"</span>
                <select
                    data-testid="labels-overlay"
                    on:change=move |event| {
                        store
                            .overlay
                            .set(
                                match event_target_value(&event).as_str() {
                                    "off" => Overlay::Off,
                                    "training" => Overlay::Training,
                                    _ => Overlay::All,
                                },
                            );
                    }
                >
                    <option value="off" selected=move || store.overlay.get() == Overlay::Off>"off"</option>
                    <option value="all" selected=move || store.overlay.get() == Overlay::All>"all"</option>
                    <option value="training" selected=move || store.overlay.get() == Overlay::Training>
                        "training pixels"
                    </option>
                </select>
            </label>
            <Show when=has_map>
                <label class="inline">
                    <span class="quiet">"map"</span>
                    <input
                        class="opacity"
                        type="range"
                        min="0"
                        max="1"
                        step="0.05"
                        aria-label="Opacity of the map"
                        data-testid="map-opacity"
                        prop:value=move || store.map_opacity.get()
                        on:input=move |event| {
                            if let Ok(opacity) = event_target_value(&event).parse() {
                                store.map_opacity.set(opacity);
                            }
                        }
                    />
                    <span class="figure">{move || format!("{:.0} %", 100.0 * store.map_opacity.get())}</span>
                </label>
                <button
                    class="icon"
                    class:on=move || store.swipe.with(Option::is_some)
                    aria-pressed=move || store.swipe.with(Option::is_some).to_string()
                    data-testid="swipe-toggle"
                    title="Swipe between scene and map"
                    aria-label="Swipe between scene and map"
                    on:click=move |_| {
                        store.swipe.update(|share| *share = if share.is_some() { None } else { Some(0.5) });
                    }
                >
                    {icon::swipe()}
                </button>
            </Show>
        </div>
    }
    .into_any()
}
