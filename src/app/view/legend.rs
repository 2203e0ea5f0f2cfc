//! The class map as a picture to take away: title, map, legend with names and colours, and what it was trained on.

use wasm_bindgen::{Clamped, JsCast};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use crate::app::plain::number;
use crate::app::plain::palette;
use crate::app::state::Run;
use crate::labels::{Class, LabelMap};

const MARGIN: f64 = 24.0;
const LEGEND: f64 = 240.0;
const LINE: f64 = 22.0;
const FONT: &str = "'Source Sans 3 Variable', system-ui, sans-serif";

fn context(canvas: &HtmlCanvasElement) -> Option<CanvasRenderingContext2d> {
    canvas.get_context("2d").ok()??.dyn_into().ok()
}

fn new_canvas(width: f64, height: f64) -> Option<HtmlCanvasElement> {
    let canvas: HtmlCanvasElement = web_sys::window()?.document()?.create_element("canvas").ok()?.dyn_into().ok()?;
    canvas.set_width(width.ceil() as u32);
    canvas.set_height(height.ceil() as u32);
    Some(canvas)
}

/// The bare map, one pixel a pixel.
fn bare(map: &LabelMap) -> Option<HtmlCanvasElement> {
    let canvas = new_canvas(map.cols as f64, map.rows as f64)?;
    let rgba: Vec<u8> = map
        .labels
        .iter()
        .flat_map(|&label| match usize::from(label).checked_sub(1).and_then(|index| map.classes.get(index)) {
            Some(Class { color: [r, g, b], .. }) => [*r, *g, *b, 255],
            None => [255, 255, 255, 255],
        })
        .collect();
    let data = ImageData::new_with_u8_clamped_array(Clamped(&rgba), map.cols as u32).ok()?;
    context(&canvas)?.put_image_data(&data, 0.0, 0.0).ok()?;
    Some(canvas)
}

/// One line on what the map comes from.
fn provenance(run: &Run) -> Vec<String> {
    let split = if run.split.is_empty() { String::new() } else { format!("{}, ", run.split) };
    let mut lines = vec![format!("{split}training seed {}", run.seed)];
    lines.push(match &run.accuracy {
        Some(accuracy) => format!(
            "OA {} %, AA {} %, κ {:.3}",
            number::percent(accuracy.overall),
            number::percent(accuracy.average),
            accuracy.kappa
        ),
        None => "no test pixels".into(),
    });
    lines.push(format!("HyperSIGMA {:?}, {} components, SigmaScope", run.config.size, run.config.components));
    lines
}

/// Draws the picture; `None` when the browser has no canvas of that size.
pub fn draw(title: &str, map: &LabelMap, run: &Run) -> Option<HtmlCanvasElement> {
    // Small maps are enlarged by a whole number, so that every pixel stays a square.
    let scale = (720.0 / map.rows.max(map.cols).max(1) as f64).floor().max(1.0);
    let (wide, high) = (map.cols as f64 * scale, map.rows as f64 * scale);
    let used: Vec<(usize, &Class, usize)> = map
        .classes
        .iter()
        .enumerate()
        .map(|(index, class)| {
            let pixels = map.labels.iter().filter(|&&label| usize::from(label) == index + 1).count();
            (index, class, pixels)
        })
        .collect();
    let notes = provenance(run);
    let top = MARGIN + 34.0;
    let body = high.max(used.len() as f64 * LINE);
    let width = MARGIN + wide.max(360.0) + MARGIN + LEGEND + MARGIN;
    let height = top + body + 16.0 + notes.len() as f64 * 20.0 + MARGIN;
    let canvas = new_canvas(width, height)?;
    let context = context(&canvas)?;
    context.set_fill_style_str("#ffffff");
    context.fill_rect(0.0, 0.0, width, height);
    let text = |text: &str, x: f64, y: f64, font: &str, color: &str, room: f64| {
        context.set_font(&format!("{font} {FONT}"));
        context.set_fill_style_str(color);
        // Text that is too long is narrowed, not cut.
        context.fill_text_with_max_width(text, x, y, room).ok()
    };
    text(&format!("Class map of {title}"), MARGIN, MARGIN + 14.0, "600 20px", "#16191d", width - 2.0 * MARGIN)?;
    context.set_image_smoothing_enabled(false);
    context.draw_image_with_html_canvas_element_and_dw_and_dh(&bare(map)?, MARGIN, top, wide, high).ok()?;
    context.set_stroke_style_str("#9aa0a6");
    context.stroke_rect(MARGIN - 0.5, top - 0.5, wide + 1.0, high + 1.0);
    let left = MARGIN + wide.max(360.0) + MARGIN;
    let total = map.labels.len().max(1) as f64;
    for (line, (_, class, pixels)) in used.iter().enumerate() {
        let y = top + line as f64 * LINE;
        context.set_fill_style_str(&palette::hex(class.color));
        context.fill_rect(left, y, 14.0, 14.0);
        context.set_stroke_style_str("rgba(0,0,0,0.25)");
        context.stroke_rect(left + 0.5, y + 0.5, 13.0, 13.0);
        text(&class.name, left + 22.0, y + 12.0, "400 15px", "#16191d", LEGEND - 80.0)?;
        context.set_text_align("right");
        let share = format!("{} %", number::percent(*pixels as f64 / total));
        text(&share, left + LEGEND, y + 12.0, "400 14px", "#5b636b", 56.0)?;
        context.set_text_align("left");
    }
    for (line, note) in notes.iter().enumerate() {
        let y = top + body + 30.0 + line as f64 * 20.0;
        text(note, MARGIN, y, "400 14px", "#5b636b", width - 2.0 * MARGIN)?;
    }
    Some(canvas)
}
