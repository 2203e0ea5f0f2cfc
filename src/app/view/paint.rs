//! Puts the layers and marks onto the visible canvas.

use std::f64::consts::TAU;

use leptos::prelude::*;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use crate::app::plain::palette;
use crate::app::plain::viewport::Viewport;
use crate::app::state::{Overlay, Store, Tool};
use crate::app::view::layers::{self, Layer};

/// Opacity of all labels over the image: the image stays readable beneath.
const LABEL_OPACITY: f64 = 0.6;

pub fn paint(store: Store, canvas: &HtmlCanvasElement, context: &CanvasRenderingContext2d) {
    let viewport = store.viewport.get_untracked();
    let ratio = web_sys::window().map_or(1.0, |window| window.device_pixel_ratio());
    let (width, height) = ((viewport.width * ratio).round() as u32, (viewport.height * ratio).round() as u32);
    if canvas.width() != width || canvas.height() != height {
        canvas.set_width(width);
        canvas.set_height(height);
    }
    // These calls fail only for degenerate matrices and missing images, which do not occur here.
    let _ = context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0);
    context.clear_rect(0.0, 0.0, viewport.width, viewport.height);
    if viewport.rows == 0 {
        return;
    }
    if let Some(layer) = layers::picture() {
        put(context, &layer, &viewport);
    }
    map(store, context, &viewport);
    match store.overlay.get_untracked() {
        Overlay::Off => {}
        Overlay::All => {
            if let Some(layer) = layers::labels() {
                context.set_global_alpha(LABEL_OPACITY);
                put(context, &layer, &viewport);
                context.set_global_alpha(1.0);
            }
        }
        Overlay::Training => training(store, context, &viewport),
    }
    pins(store, context, &viewport);
    pointer(store, context, &viewport);
}

fn put(context: &CanvasRenderingContext2d, layer: &Layer, viewport: &Viewport) {
    let pixel = viewport.scale * layer.step as f64;
    context.set_image_smoothing_enabled(pixel < 1.0);
    let (wide, high) = (f64::from(layer.canvas.width()) * pixel, f64::from(layer.canvas.height()) * pixel);
    let _ = context.draw_image_with_html_canvas_element_and_dw_and_dh(
        &layer.canvas,
        viewport.left,
        viewport.top,
        wide,
        high,
    );
}

fn map(store: Store, context: &CanvasRenderingContext2d, viewport: &Viewport) {
    let Some(layer) = layers::map() else { return };
    context.save();
    if let Some(share) = store.swipe.get_untracked() {
        let x = share * viewport.width;
        context.begin_path();
        context.rect(x, 0.0, viewport.width - x, viewport.height);
        context.clip();
    }
    context.set_global_alpha(store.map_opacity.get_untracked());
    put(context, &layer, viewport);
    context.restore();
}

/// Training pixels are few and small: each gets a frame that is seen at any zoom.
fn training(store: Store, context: &CanvasRenderingContext2d, viewport: &Viewport) {
    let side = viewport.scale.max(5.0);
    let classes = store.classes.get_untracked();
    store.splits.with_untracked(|splits| {
        let Some(split) = splits.first() else { return };
        for pixel in &split.train {
            let (row, col) = (pixel.index as usize / viewport.cols, pixel.index as usize % viewport.cols);
            let (x, y) = centre(viewport, row, col);
            let color = classes.get(usize::from(pixel.class).wrapping_sub(1)).map_or([255; 3], |class| class.color);
            // On a map of the same colour only the frame is seen.
            context.set_fill_style_str(if palette::is_dark(color) { "#fff" } else { "#000" });
            context.fill_rect(x - side / 2.0 - 1.0, y - side / 2.0 - 1.0, side + 2.0, side + 2.0);
            context.set_fill_style_str(&palette::hex(color));
            context.fill_rect(x - side / 2.0, y - side / 2.0, side, side);
        }
    });
}

fn centre(viewport: &Viewport, row: usize, col: usize) -> (f64, f64) {
    (viewport.left + (col as f64 + 0.5) * viewport.scale, viewport.top + (row as f64 + 0.5) * viewport.scale)
}

fn ring(context: &CanvasRenderingContext2d, x: f64, y: f64, radius: f64) {
    for (color, width) in [("rgba(0,0,0,0.75)", 3.5), ("#fff", 1.5)] {
        context.set_stroke_style_str(color);
        context.set_line_width(width);
        context.begin_path();
        let _ = context.arc(x, y, radius, 0.0, TAU);
        context.stroke();
    }
}

/// Pinned pixels carry the number that their spectrum has in the plot.
fn pins(store: Store, context: &CanvasRenderingContext2d, viewport: &Viewport) {
    store.pins.with_untracked(|pins| {
        context.set_font("600 11px 'Source Sans 3 Variable', system-ui, sans-serif");
        context.set_text_align("center");
        context.set_text_baseline("middle");
        for (index, pin) in pins.iter().enumerate() {
            let (x, y) = centre(viewport, pin.row, pin.col);
            ring(context, x, y, (viewport.scale / 2.0).max(4.0));
            let (x, y) = (x + viewport.scale / 2.0 + 11.0, y - viewport.scale / 2.0 - 5.0);
            context.set_fill_style_str("rgba(0,0,0,0.75)");
            context.begin_path();
            let _ = context.arc(x, y, 8.0, 0.0, TAU);
            context.fill();
            context.set_fill_style_str("#fff");
            let _ = context.fill_text(&(index + 1).to_string(), x, y + 0.5);
        }
    });
}

/// The pixel or the brush under the pointer.
fn pointer(store: Store, context: &CanvasRenderingContext2d, viewport: &Viewport) {
    let Some((row, col)) = store.hover.get_untracked() else { return };
    let (x, y) = centre(viewport, row, col);
    match store.tool.get_untracked() {
        Tool::Look => {
            let side = viewport.scale;
            if side >= 4.0 {
                context.set_line_width(1.0);
                context.set_stroke_style_str("rgba(0,0,0,0.7)");
                context.stroke_rect(x - side / 2.0 - 1.5, y - side / 2.0 - 1.5, side + 3.0, side + 3.0);
                context.set_stroke_style_str("#fff");
                context.stroke_rect(x - side / 2.0 - 0.5, y - side / 2.0 - 0.5, side + 1.0, side + 1.0);
            }
        }
        Tool::Brush | Tool::Erase => {
            let size = store.brush.get_untracked();
            let shift = if size.is_multiple_of(2) { viewport.scale / 2.0 } else { 0.0 };
            ring(context, x + shift, y + shift, (size as f64 * viewport.scale / 2.0).max(2.0));
        }
    }
}
