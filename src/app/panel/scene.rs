//! Step 1: the scene and what is known of it.

use leptos::prelude::*;

use crate::app::acts::{keep, scene};
use crate::app::field::DropArea;
use crate::app::plain::number;
use crate::app::plain::sentence::sentence;
use crate::app::state::{Role, Store};
use crate::scene::{Format, Interleave, SceneInfo};

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Envi => "ENVI",
        Format::Matlab => "MATLAB",
        Format::Numpy => "NumPy",
        Format::Geotiff => "GeoTIFF",
        Format::Teaching => "teaching scene, generated",
    }
}

fn interleave_name(interleave: Interleave) -> &'static str {
    match interleave {
        Interleave::Bsq => "BSQ",
        Interleave::Bil => "BIL",
        Interleave::Bip => "BIP",
        Interleave::ColumnMajor => "column-major",
    }
}

/// "400–2500 nm" or that there are none.
fn range(info: &SceneInfo) -> String {
    let finite = info.wavelengths_nm.iter().flatten().copied().filter(|nm| nm.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), nm| (low.min(nm), high.max(nm)));
    if low <= high { format!("{low:.0}–{high:.0} nm") } else { "not given".into() }
}

#[component]
pub fn SceneStep(store: Store, saved: RwSignal<bool>) -> impl IntoView {
    let facts = move || {
        store.scene.get().map(|scene| {
            let info = scene.info;
            let bad = info.good_bands.iter().filter(|good| !**good).count();
            let row = |name: &'static str, testid: &'static str, value: String| {
                view! {
                    <div>
                        <dt>{name}</dt>
                        <dd class="figure" data-testid=testid>{value}</dd>
                    </div>
                }
            };
            view! {
                <dl class="facts">
                    {row("file", "scene-name", info.name.clone())}
                    {info.variable.clone().map(|variable| row("variable", "scene-variable", variable))}
                    {row("rows × cols × bands", "scene-dims", format!("{} × {} × {}", info.rows, info.cols, info.bands))}
                    {row("wavelengths", "scene-wavelengths", range(&info))}
                    {(bad > 0).then(|| row("bad bands", "scene-bad-bands", bad.to_string()))}
                    {row(
                        "stored as",
                        "scene-format",
                        format!("{}, {}, {}", format_name(info.format), info.dtype.name(), interleave_name(info.interleave)),
                    )}
                    {info.nodata.map(|value| row("no data", "scene-nodata", number::short(value)))}
                    {info
                        .geo
                        .as_ref()
                        .is_some_and(|geo| geo.map_info.is_some())
                        .then(|| row("place", "scene-geo", "georeferenced".into()))}
                </dl>
                {info
                    .notes
                    .into_iter()
                    .map(|note| view! { <p class="note" data-testid="scene-note">{sentence(&note)}</p> })
                    .collect_view()}
                <p class="quiet kept-line">
                    <span data-testid="kept-state">{move || if saved.get() { "saved" } else { "saving" }}</span>
                    " in this browser: labels, maps, models. "
                    <button
                        class="link"
                        data-testid="forget-kept"
                        on:click=move |_| keep::forget(store)
                    >
                        "Forget them"
                    </button>
                </p>
            }
        })
    };
    view! {
        {facts}
        <DropArea
            store
            role=Role::Scene
            testid="scene-files"
            label="Choose a scene"
            hint="or drop it anywhere: .hdr with its data, .mat, .npy, .npz, .tif"
        />
        <button
            class="button small"
            data-testid="teaching-scene"
            disabled=move || store.busy.with(Option::is_some)
            on:click=move |_| scene::open_teaching(store, crate::app::view::TEACHING_SEED)
        >
            "Teaching scene"
        </button>
    }
    .into_any()
}
