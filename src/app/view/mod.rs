//! The scene in the middle of the page.

pub mod layers;
pub mod legend;
mod paint;
mod pointer;
mod readout;
mod toolbar;
mod welcome;

use std::cell::Cell;

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ResizeObserver};

use crate::app::acts::scene;
use crate::app::state::{Store, Tool};
use readout::Readout;
pub use toolbar::Toolbar;
pub use welcome::TEACHING_SEED;
use welcome::Welcome;

thread_local! {
    static FRAME_ASKED: Cell<bool> = const { Cell::new(false) };
}

/// The canvas with everything that lies on it.
#[component]
pub fn SceneView(store: Store) -> impl IntoView {
    let canvas: NodeRef<html::Canvas> = NodeRef::new();
    let stage: NodeRef<html::Div> = NodeRef::new();

    Effect::new(move |_| {
        if let Some(stage) = stage.get() {
            observe(store, &stage);
        }
    });
    Effect::new(move |_| {
        store.drawn.track();
        store.viewport.track();
        store.overlay.track();
        store.map_opacity.track();
        store.swipe.track();
        store.hover.track();
        store.tool.track();
        store.brush.track();
        if let Some(canvas) = canvas.get() {
            ask_frame(store, canvas);
        }
    });
    Effect::new(move |_| {
        store.preset.track();
        store.band.track();
        store.stretch.track();
        scene::draw(store);
    });

    let has_scene = move || store.scene.with(Option::is_some);
    let has_map = move || store.map.with(|map| !map.is_empty());
    let described = move || {
        store.scene.with(|scene| match scene {
            Some(scene) => format!(
                "Image of {}, {} rows and {} columns. Arrow keys move the pixel, Enter pins its spectrum or paints, plus and minus zoom.",
                scene.info.name, scene.info.rows, scene.info.cols
            ),
            None => "No scene is open.".to_owned(),
        })
    };
    view! {
        <div class="stage" node_ref=stage data-testid="stage">
            <canvas
                node_ref=canvas
                class="scene-canvas"
                class:paints=move || store.tool.get() != Tool::Look
                data-testid="map-canvas"
                role="img"
                aria-label=described
                tabindex=move || if has_scene() { "0" } else { "-1" }
                data-scale=move || store.viewport.with(|v| v.scale)
                data-left=move || store.viewport.with(|v| v.left)
                data-top=move || store.viewport.with(|v| v.top)
                on:pointerdown=move |event| pointer::down(store, &event)
                on:pointermove=move |event| pointer::moved(store, &event)
                on:pointerup=move |event| pointer::up(store, &event)
                on:pointercancel=move |event| pointer::cancelled(store, &event)
                on:pointerleave=move |event| {
                    if event.pointer_type() == "mouse" {
                        scene::hover(store, None);
                    }
                }
                on:contextmenu=move |event| event.prevent_default()
                on:wheel=move |event| pointer::wheel(store, &event)
                on:keydown=move |event| pointer::key(store, &event)
            ></canvas>
            <Show when=move || !has_scene()>
                <Welcome store />
            </Show>
            <Show when=move || has_map() && store.swipe.with(Option::is_some)>
                <Swipe store />
            </Show>
            <Show when=has_scene>
                <Readout store />
                <Zoom store />
            </Show>
        </div>
    }
    .into_any()
}

/// The line between scene and map.
#[component]
fn Swipe(store: Store) -> impl IntoView {
    let share = move || store.swipe.get().unwrap_or(0.5);
    view! {
        <div class="swipe" style:--share=move || share().to_string()>
            <span class="swipe-line" aria-hidden="true"></span>
            <span class="swipe-name left">"scene"</span>
            <span class="swipe-name right">"map"</span>
            <input
                type="range"
                min="0"
                max="1"
                step="0.005"
                aria-label="Border between scene and map"
                data-testid="swipe-slider"
                prop:value=share
                on:input=move |event| {
                    if let Ok(share) = event_target_value(&event).parse() {
                        store.swipe.set(Some(share));
                    }
                }
            />
        </div>
    }
    .into_any()
}

#[component]
fn Zoom(store: Store) -> impl IntoView {
    use crate::app::icon;
    view! {
        <div class="zoom" role="group" aria-label="Zoom">
            <button
                class="icon"
                data-testid="zoom-in"
                title="Zoom in (+)"
                aria-label="Zoom in"
                on:click=move |_| store.viewport.update(|viewport| viewport.zoom(1.5))
            >
                {icon::plus()}
            </button>
            <button
                class="icon"
                data-testid="zoom-out"
                title="Zoom out (−)"
                aria-label="Zoom out"
                on:click=move |_| store.viewport.update(|viewport| viewport.zoom(1.0 / 1.5))
            >
                {icon::minus()}
            </button>
            <button
                class="icon"
                data-testid="zoom-fit"
                title="Whole scene (0)"
                aria-label="Whole scene"
                on:click=move |_| store.viewport.update(|viewport| viewport.fit())
            >
                {icon::fit()}
            </button>
        </div>
    }
    .into_any()
}

/// Keeps the viewport as large as the stage.
fn observe(store: Store, stage: &web_sys::HtmlDivElement) {
    let target = stage.clone();
    let on_resize = Closure::<dyn FnMut()>::new(move || {
        let (width, height) = (f64::from(target.client_width()), f64::from(target.client_height()));
        if width > 0.0 && height > 0.0 {
            store.viewport.update(|viewport| viewport.resize(width, height));
        }
    });
    if let Ok(observer) = ResizeObserver::new(on_resize.as_ref().unchecked_ref()) {
        observer.observe(stage);
    }
    // The stage lives as long as the page.
    on_resize.forget();
}

/// Paints once in the next frame, however often it is asked for.
fn ask_frame(store: Store, canvas: HtmlCanvasElement) {
    if FRAME_ASKED.replace(true) {
        return;
    }
    request_animation_frame(move || {
        FRAME_ASKED.set(false);
        if let Ok(Some(context)) = canvas.get_context("2d")
            && let Ok(context) = context.dyn_into::<CanvasRenderingContext2d>()
        {
            paint::paint(store, &canvas, &context);
        }
    });
}
