//! Spectra against wavelength: pinned pixels in the colours of their classes, the pixel under the pointer in grey.

use std::sync::Arc;

use leptos::prelude::*;

use crate::app::acts::scene;
use crate::app::icon;
use crate::app::plain::axis::{Axis, extent, path};
use crate::app::plain::number;
use crate::app::plain::palette;
use crate::app::plain::presets::{self, Preset};
use crate::app::state::{OpenScene, Pin, Store};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 216.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 352.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 178.0;

/// Wavelength of each band in nm, or its 1-based number where none is given.
fn abscissae(scene: &OpenScene) -> Arc<Vec<f64>> {
    Arc::new(match &scene.info.wavelengths_nm {
        Some(nm) if nm.len() == scene.info.bands => nm.clone(),
        _ => (1..=scene.info.bands).map(|band| band as f64).collect(),
    })
}

#[derive(Clone, PartialEq)]
struct Frame {
    xs: Arc<Vec<f64>>,
    good: Arc<Vec<bool>>,
    /// Bands in ascending order of wavelength: sensors with two detectors overlap.
    order: Arc<Vec<usize>>,
    x: Axis,
    y: Axis,
    title: &'static str,
}

fn frame(store: Store) -> Option<Frame> {
    let scene = store.scene.get()?;
    let xs = abscissae(&scene);
    let good = Arc::new(scene.info.good_bands.clone());
    let mut order: Vec<usize> = (0..xs.len()).collect();
    order.sort_by(|&a, &b| xs[a].total_cmp(&xs[b]));
    let (from, to) = extent(xs.iter().copied())?;
    let is_good = |band: usize| good.get(band).copied().unwrap_or(true);
    let values = |pin: &Pin| {
        let shown: Vec<f64> = pin
            .values
            .iter()
            .enumerate()
            .filter(|&(band, _)| is_good(band))
            .map(|(_, &value)| f64::from(value))
            .collect();
        extent(shown.into_iter())
    };
    let ranges: Vec<(f64, f64)> = store
        .pins
        .with(|pins| pins.iter().filter_map(values).collect::<Vec<_>>())
        .into_iter()
        .chain(store.hover_spectrum.with(|pin| pin.as_ref().and_then(values)))
        .collect();
    let low = ranges.iter().map(|range| range.0).fold(f64::INFINITY, f64::min);
    let high = ranges.iter().map(|range| range.1).fold(f64::NEG_INFINITY, f64::max);
    let margin = if high > low { (high - low) * 0.05 } else { 0.0 };
    let low = if low >= 0.0 && low - margin < 0.0 { 0.0 } else { low - margin };
    let title = if scene.info.wavelengths_nm.is_some() { "wavelength (nm)" } else { "band" };
    Some(Frame {
        xs,
        good,
        order: Arc::new(order),
        x: Axis::new(from, to, LEFT, RIGHT),
        y: Axis::new(low, high + margin, BOTTOM, TOP),
        title,
    })
}

impl Frame {
    fn line(&self, values: &[f32]) -> String {
        path(self.order.iter().map(|&band| {
            let good = self.good.get(band).copied().unwrap_or(true);
            let value = values.get(band).filter(|_| good).map_or(f64::NAN, |&value| f64::from(value));
            (self.x.place(self.xs[band]), self.y.place(value))
        }))
    }

    /// Stretches of bad bands, as (x, width).
    fn gaps(&self) -> Vec<(f64, f64)> {
        let bad = |index: usize| self.good.get(self.order[index]) == Some(&false);
        let edge = |index: usize, other: usize| {
            let here = self.x.place(self.xs[self.order[index]]);
            self.order.get(other).map_or(here, |&band| (here + self.x.place(self.xs[band])) / 2.0)
        };
        let mut gaps = Vec::new();
        let mut index = 0;
        while index < self.order.len() {
            if bad(index) {
                let first = index;
                while index + 1 < self.order.len() && bad(index + 1) {
                    index += 1;
                }
                let start = if first == 0 { LEFT } else { edge(first, first - 1) };
                gaps.push((start, (edge(index, index + 1) - start).max(1.0)));
            }
            index += 1;
        }
        gaps
    }

    /// The band nearest to a place of the plot.
    fn band_at(&self, x: f64) -> Option<usize> {
        let wanted = self.x.value(x);
        (0..self.xs.len()).min_by(|&a, &b| (self.xs[a] - wanted).abs().total_cmp(&(self.xs[b] - wanted).abs()))
    }
}

/// The class of a pixel: its label, else what the map says.
fn class_of(store: Store, pin: &Pin) -> Option<crate::labels::Class> {
    let cols = store.scene.with(|scene| scene.as_ref().map(|scene| scene.info.cols))?;
    let index = pin.row * cols + pin.col;
    let find = |numbers: &Vec<u8>, classes: &Vec<crate::labels::Class>| {
        classes.get(usize::from(*numbers.get(index)?).checked_sub(1)?).cloned()
    };
    store
        .labels
        .with(|labels| store.classes.with(|classes| find(labels, classes)))
        .or_else(|| store.map.with(|map| store.map_classes.with(|classes| find(map, classes))))
}

fn color_of(store: Store, pin: &Pin) -> String {
    class_of(store, pin).map_or_else(|| "var(--ink-2)".into(), |class| palette::hex(class.color))
}

/// What to do to see a spectrum, while none is there.
fn hint(store: Store) -> Option<&'static str> {
    if store.scene.with(Option::is_none) {
        return Some("Open a scene, then point at the image; a click keeps a spectrum here.");
    }
    let empty = store.pins.with(Vec::is_empty) && store.hover_spectrum.with(Option::is_none);
    empty.then_some("Point at the image; a click keeps a spectrum here.")
}

#[component]
pub fn Spectrum(store: Store) -> impl IntoView {
    let frame = Memo::new(move |_| frame(store));
    let at_band = RwSignal::new(None::<usize>);
    let place = move |event: &web_sys::PointerEvent| {
        let svg = wasm_bindgen::JsCast::dyn_into::<web_sys::Element>(event.current_target()?).ok()?;
        let bounds = svg.get_bounding_client_rect();
        let x = (f64::from(event.client_x()) - bounds.left()) / bounds.width() * WIDTH;
        frame.with(|frame| frame.as_ref()?.band_at(x))
    };
    view! {
        <section class="plot" aria-label="Spectrum">
            <h2>"Spectrum"</h2>
            <svg
                viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                data-testid="spectrum-plot"
                role="img"
                aria-label="Spectra of the pinned pixels against wavelength; a click shows that band"
                on:pointermove=move |event| at_band.set(place(&event))
                on:pointerleave=move |_| at_band.set(None)
                on:pointerdown=move |event| {
                    if let Some(band) = place(&event) {
                        store.band.set(band);
                        store.preset.set(Preset::Band);
                    }
                }
            >
                {move || frame.get().map(|frame| view! { <Axes frame=frame.clone() /> <Marks store frame=frame.clone() /> <Lines store frame at_band /> })}
            </svg>
            {move || hint(store).map(|sentence| view! { <p class="quiet hint">{sentence}</p> })}
            <Legend store at_band />
        </section>
    }
    .into_any()
}

#[component]
fn Axes(frame: Frame) -> impl IntoView {
    let has_values = frame.y.from.is_finite() && (frame.y.from, frame.y.to) != (0.0, 1.0);
    view! {
        <g class="axes">
            {frame
                .gaps()
                .into_iter()
                .map(|(x, width)| view! { <rect class="gap" x=x y=TOP width=width height=BOTTOM - TOP></rect> })
                .collect_view()}
            <line x1=LEFT x2=RIGHT y1=BOTTOM y2=BOTTOM></line>
            {frame
                .x
                .ticks(5)
                .into_iter()
                .map(|tick| {
                    let x = frame.x.place(tick);
                    view! {
                        <line x1=x x2=x y1=BOTTOM y2=BOTTOM + 4.0></line>
                        <text x=x y=BOTTOM + 15.0 text-anchor="middle">{number::short(tick)}</text>
                    }
                })
                .collect_view()}
            {has_values
                .then(|| {
                    frame
                        .y
                        .ticks(4)
                        .into_iter()
                        .map(|tick| {
                            let y = frame.y.place(tick);
                            view! {
                                <line class="grid" x1=LEFT x2=RIGHT y1=y y2=y></line>
                                <text x=LEFT - 6.0 y=y + 3.5 text-anchor="end">{number::short(tick)}</text>
                            }
                        })
                        .collect_view()
                })}
            <text class="title" x=(LEFT + RIGHT) / 2.0 y=BOTTOM + 32.0 text-anchor="middle">{frame.title}</text>
            <text class="title" x="12" y=(TOP + BOTTOM) / 2.0 text-anchor="middle" transform=format!("rotate(-90 12 {})", (TOP + BOTTOM) / 2.0)>
                "value as stored"
            </text>
        </g>
    }
    .into_any()
}

/// Where the bands of the picture lie.
#[component]
fn Marks(store: Store, frame: Frame) -> impl IntoView {
    let bands = move || {
        store.scene.with(|scene| match (scene, store.preset.get()) {
            (None, _) => Vec::new(),
            (Some(_), Preset::Band) => vec![(store.band.get(), "mark")],
            (Some(scene), preset) => presets::bands(preset, &scene.info)
                .map(|bands| bands.into_iter().zip(["mark red", "mark green", "mark blue"]).collect())
                .unwrap_or_default(),
        })
    };
    view! {
        <g>
            {move || {
                bands()
                    .into_iter()
                    .filter_map(|(band, class)| Some((frame.x.place(*frame.xs.get(band)?), class)))
                    .map(|(x, class)| {
                        view! { <path class=class d=format!("M{x:.1} {TOP}l-4 -7h8z")></path> }
                    })
                    .collect_view()
            }}
        </g>
    }
    .into_any()
}

#[component]
fn Lines(store: Store, frame: Frame, at_band: RwSignal<Option<usize>>) -> impl IntoView {
    let for_hover = frame.clone();
    let for_cursor = frame.clone();
    view! {
        <g class="lines">
            {move || {
                store
                    .hover_spectrum
                    .get()
                    .map(|pin| view! { <path class="hover" d=for_hover.line(&pin.values)></path> })
            }}
            {move || {
                store
                    .pins
                    .get()
                    .into_iter()
                    .enumerate()
                    .map(|(index, pin)| {
                        let line = frame.line(&pin.values);
                        view! {
                            <path class="halo" d=line.clone()></path>
                            <path
                                class="pin"
                                d=line
                                style:stroke=color_of(store, &pin)
                                data-testid=format!("spectrum-{}", index + 1)
                            ></path>
                        }
                    })
                    .collect_view()
            }}
            {move || {
                let band = at_band.get()?;
                let x = for_cursor.x.place(*for_cursor.xs.get(band)?);
                Some(view! { <line class="cursor" x1=x x2=x y1=TOP y2=BOTTOM></line> })
            }}
        </g>
    }
    .into_any()
}

/// Under the plot: the pinned pixels, their class, their value at the band under the pointer.
#[component]
fn Legend(store: Store, at_band: RwSignal<Option<usize>>) -> impl IntoView {
    let band_text = move || {
        let band = at_band.get()?;
        store.scene.with(|scene| Some(presets::band_name(&scene.as_ref()?.info, band)))
    };
    view! {
        <p class="quiet figure band-text" data-testid="spectrum-band">{move || band_text().unwrap_or_default()}</p>
        <ul class="pins" data-testid="pins">
            {move || {
                store
                    .pins
                    .get()
                    .into_iter()
                    .enumerate()
                    .map(|(index, pin)| {
                        let (row, col) = (pin.row, pin.col);
                        let name = class_of(store, &pin).map(|class| class.name);
                        let values = pin.values.clone();
                        view! {
                            <li data-testid=format!("pin-{}", index + 1)>
                                <span class="pin-number figure" style:--pin=color_of(store, &pin)>{index + 1}</span>
                                <span class="figure">{format!("row {row}, col {col}")}</span>
                                <span class="quiet pin-class">{name}</span>
                                <span class="figure pin-value">
                                    {move || {
                                        at_band.get().and_then(|band| values.get(band).map(|&value| number::short(f64::from(value))))
                                    }}
                                </span>
                                <button
                                    class="icon tiny"
                                    aria-label="Remove this spectrum"
                                    title="Remove"
                                    on:click=move |_| scene::unpin(store, row, col)
                                >
                                    {icon::close()}
                                </button>
                            </li>
                        }
                    })
                    .collect_view()
            }}
        </ul>
    }
    .into_any()
}
