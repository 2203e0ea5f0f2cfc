//! Mouse, touch, pen and keys on the image.

use std::cell::RefCell;

use leptos::prelude::*;
use web_sys::{KeyboardEvent, PointerEvent, WheelEvent};

use crate::app::acts::{labels, scene};
use crate::app::state::{Store, Tool};

/// A press that moves less than this many CSS pixels is a click.
const CLICK: f64 = 4.0;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Idle,
    /// Pressed at a point; a drag moves the image, a click pins.
    Press {
        x: f64,
        y: f64,
    },
    Pan,
    Stroke,
    Pinch,
}

struct Fingers {
    mode: Mode,
    down: Vec<(i32, f64, f64)>,
}

thread_local! {
    static FINGERS: RefCell<Fingers> = const { RefCell::new(Fingers { mode: Mode::Idle, down: Vec::new() }) };
}

fn place(event: &PointerEvent) -> (f64, f64) {
    (f64::from(event.offset_x()), f64::from(event.offset_y()))
}

pub fn down(store: Store, event: &PointerEvent) {
    let (x, y) = place(event);
    if let Some(target) = event.target()
        && let Ok(element) = wasm_bindgen::JsCast::dyn_into::<web_sys::Element>(target)
    {
        // Without capture a fast drag ends at the border, no worse.
        let _ = element.set_pointer_capture(event.pointer_id());
    }
    FINGERS.with_borrow_mut(|fingers| {
        fingers.down.retain(|finger| finger.0 != event.pointer_id());
        fingers.down.push((event.pointer_id(), x, y));
        if fingers.down.len() == 2 {
            if fingers.mode == Mode::Stroke {
                labels::end_stroke(store);
            }
            fingers.mode = Mode::Pinch;
            return;
        }
        let paints = store.tool.get_untracked() != Tool::Look && event.button() == 0;
        if !paints {
            fingers.mode = Mode::Press { x, y };
            return;
        }
        if let Some((row, col)) = store.viewport.get_untracked().pixel(x, y) {
            fingers.mode = Mode::Stroke;
            labels::stroke(store, row, col);
        }
    });
}

pub fn moved(store: Store, event: &PointerEvent) {
    let (x, y) = place(event);
    FINGERS.with_borrow_mut(|fingers| {
        let before = fingers.down.clone();
        if let Some(finger) = fingers.down.iter_mut().find(|finger| finger.0 == event.pointer_id()) {
            (finger.1, finger.2) = (x, y);
        }
        match fingers.mode {
            Mode::Press { x: from_x, y: from_y } if (x - from_x).hypot(y - from_y) > CLICK => {
                fingers.mode = Mode::Pan;
                store.viewport.update(|viewport| viewport.pan(x - from_x, y - from_y));
            }
            Mode::Pan => {
                if let Some(old) = before.iter().find(|finger| finger.0 == event.pointer_id()) {
                    store.viewport.update(|viewport| viewport.pan(x - old.1, y - old.2));
                }
            }
            Mode::Pinch => pinch(store, &before, &fingers.down),
            Mode::Stroke => {
                if let Some((row, col)) = store.viewport.get_untracked().pixel(x, y) {
                    labels::stroke(store, row, col);
                }
            }
            Mode::Press { .. } | Mode::Idle => {}
        }
    });
    scene::hover(store, store.viewport.get_untracked().pixel(x, y));
}

fn pinch(store: Store, before: &[(i32, f64, f64)], after: &[(i32, f64, f64)]) {
    let ([a, b], [c, d]) = (before, after) else { return };
    let middle = |p: &(i32, f64, f64), q: &(i32, f64, f64)| ((p.1 + q.1) / 2.0, (p.2 + q.2) / 2.0);
    let apart = |p: &(i32, f64, f64), q: &(i32, f64, f64)| (p.1 - q.1).hypot(p.2 - q.2).max(1.0);
    let (from, to) = (middle(a, b), middle(c, d));
    store.viewport.update(|viewport| {
        viewport.pan(to.0 - from.0, to.1 - from.1);
        viewport.zoom_at(to.0, to.1, apart(c, d) / apart(a, b));
    });
}

pub fn up(store: Store, event: &PointerEvent) {
    let mode = FINGERS.with_borrow_mut(|fingers| {
        fingers.down.retain(|finger| finger.0 != event.pointer_id());
        let mode = fingers.mode;
        if fingers.down.is_empty() {
            fingers.mode = Mode::Idle;
        }
        mode
    });
    match mode {
        Mode::Press { x, y } if event.button() == 0 => {
            if let Some((row, col)) = store.viewport.get_untracked().pixel(x, y) {
                scene::pin(store, row, col);
            }
        }
        Mode::Stroke => labels::end_stroke(store),
        _ => {}
    }
}

/// The browser took the pointer away (a system gesture).
pub fn cancelled(store: Store, event: &PointerEvent) {
    FINGERS.with_borrow_mut(|fingers| {
        fingers.down.retain(|finger| finger.0 != event.pointer_id());
        fingers.mode = Mode::Idle;
    });
    labels::end_stroke(store);
    scene::hover(store, None);
}

pub fn wheel(store: Store, event: &WheelEvent) {
    event.prevent_default();
    // Lines and pages are turned into pixels; a notch of a common wheel zooms by about 1.2.
    let unit = match event.delta_mode() {
        0 => 1.0,
        1 => 33.0,
        _ => 400.0,
    };
    // A pinch on a touch pad comes as a wheel with Ctrl and small steps.
    let unit = if event.ctrl_key() { unit * 5.0 } else { unit };
    let factor = (-event.delta_y() * unit * 0.0018).clamp(-1.0, 1.0).exp();
    store
        .viewport
        .update(|viewport| viewport.zoom_at(f64::from(event.offset_x()), f64::from(event.offset_y()), factor));
}

/// Arrows move the pixel under inspection, Enter pins or paints it, + − 0 zoom.
pub fn key(store: Store, event: &KeyboardEvent) {
    let Some((rows, cols)) = store.shape() else { return };
    let far = if event.shift_key() { 10 } else { 1 };
    let (row, col) = store.hover.get_untracked().unwrap_or((rows / 2, cols / 2));
    let to = match event.key().as_str() {
        "ArrowUp" => Some((row.saturating_sub(far), col)),
        "ArrowDown" => Some(((row + far).min(rows - 1), col)),
        "ArrowLeft" => Some((row, col.saturating_sub(far))),
        "ArrowRight" => Some((row, (col + far).min(cols - 1))),
        "Enter" | " " => {
            if store.tool.get_untracked() == Tool::Look {
                scene::pin(store, row, col);
            } else {
                labels::stroke(store, row, col);
                labels::end_stroke(store);
            }
            Some((row, col))
        }
        "+" | "=" => {
            store.viewport.update(|viewport| viewport.zoom(1.25));
            None
        }
        "-" => {
            store.viewport.update(|viewport| viewport.zoom(0.8));
            None
        }
        "0" => {
            store.viewport.update(|viewport| viewport.fit());
            None
        }
        _ => return,
    };
    event.prevent_default();
    if let Some((row, col)) = to {
        store.viewport.update(|viewport| viewport.reveal(row, col));
        scene::hover(store, Some((row, col)));
    }
}
