//! The pictures that lie over each other on the canvas, each an off-screen canvas of its own: scene, map, labels.

use std::cell::RefCell;

use wasm_bindgen::{Clamped, JsCast};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use crate::engine::message::{Image, MapRows};
use crate::labels::{Class, LabelMap};

/// One layer. `step` scene pixels a picture pixel.
#[derive(Clone)]
pub struct Layer {
    pub canvas: HtmlCanvasElement,
    context: CanvasRenderingContext2d,
    pub step: usize,
}

#[derive(Default)]
struct Layers {
    picture: Option<Layer>,
    map: Option<Layer>,
    labels: Option<Layer>,
}

thread_local! {
    static LAYERS: RefCell<Layers> = RefCell::default();
}

impl Layer {
    fn new(rows: usize, cols: usize, step: usize) -> Option<Self> {
        let document = web_sys::window()?.document()?;
        let canvas: HtmlCanvasElement = document.create_element("canvas").ok()?.dyn_into().ok()?;
        canvas.set_width(cols as u32);
        canvas.set_height(rows as u32);
        let context = canvas.get_context("2d").ok()??.dyn_into().ok()?;
        Some(Self { canvas, context, step })
    }

    /// Writes a block of RGBA pixels.
    fn put(&self, row: usize, col: usize, cols: usize, rgba: &[u8]) {
        if rgba.is_empty() || cols == 0 {
            return;
        }
        if let Ok(data) = ImageData::new_with_u8_clamped_array(Clamped(rgba), cols as u32) {
            // It fails only for a canvas that is gone.
            let _ = self.context.put_image_data(&data, col as f64, row as f64);
        }
    }
}

/// Draws a map of its own on a canvas of the page, a canvas pixel a scene pixel.
pub fn draw_map(canvas: &HtmlCanvasElement, map: &LabelMap) {
    canvas.set_width(map.cols as u32);
    canvas.set_height(map.rows as u32);
    let context = canvas.get_context("2d").ok().flatten().and_then(|context| context.dyn_into().ok());
    if let Some(context) = context {
        let layer = Layer { canvas: canvas.clone(), context, step: 1 };
        layer.put(0, 0, map.cols, &colours(&map.labels, &map.classes));
    }
}

fn colours(labels: &[u8], classes: &[Class]) -> Vec<u8> {
    labels
        .iter()
        .flat_map(|&label| match usize::from(label).checked_sub(1).and_then(|index| classes.get(index)) {
            Some(Class { color: [r, g, b], .. }) => [*r, *g, *b, 255],
            None => [0; 4],
        })
        .collect()
}

fn painted(rows: usize, cols: usize, labels: &[u8], classes: &[Class]) -> Option<Layer> {
    let layer = Layer::new(rows, cols, 1)?;
    if labels.len() == rows * cols {
        layer.put(0, 0, cols, &colours(labels, classes));
    }
    Some(layer)
}

/// Takes the picture of the scene from the engine.
pub fn set_picture(image: &Image) {
    if image.rgba.len() != image.rows * image.cols * 4 {
        return;
    }
    let layer = Layer::new(image.rows, image.cols, image.step);
    if let Some(layer) = &layer {
        layer.put(0, 0, image.cols, &image.rgba);
    }
    LAYERS.with_borrow_mut(|layers| layers.picture = layer);
}

/// Draws all labels; an empty slice gives an empty layer.
pub fn set_labels(rows: usize, cols: usize, labels: &[u8], classes: &[Class]) {
    let layer = painted(rows, cols, labels, classes);
    LAYERS.with_borrow_mut(|layers| layers.labels = layer);
}

/// Draws the pixels of a stroke, given by their indices.
pub fn touch_labels(cols: usize, indices: &[usize], class: u8, classes: &[Class]) {
    LAYERS.with_borrow(|layers| {
        if let Some(layer) = &layers.labels {
            let rgba = colours(&[class], classes);
            for index in indices {
                layer.put(index / cols, index % cols, 1, &rgba);
            }
        }
    });
}

/// Draws a whole map; an empty slice gives an empty layer.
pub fn set_map(rows: usize, cols: usize, map: &[u8], classes: &[Class]) {
    let layer = painted(rows, cols, map, classes);
    LAYERS.with_borrow_mut(|layers| layers.map = layer);
}

/// Draws a block of the map.
pub fn touch_map(block: &MapRows, classes: &[Class]) {
    LAYERS.with_borrow(|layers| {
        if let Some(layer) = &layers.map {
            layer.put(block.row, block.col, block.cols, &colours(&block.labels, classes));
        }
    });
}

pub fn clear_map() {
    LAYERS.with_borrow_mut(|layers| layers.map = None);
}

pub fn clear() {
    LAYERS.take();
}

pub fn picture() -> Option<Layer> {
    LAYERS.with_borrow(|layers| layers.picture.clone())
}

pub fn map() -> Option<Layer> {
    LAYERS.with_borrow(|layers| layers.map.clone())
}

pub fn labels() -> Option<Layer> {
    LAYERS.with_borrow(|layers| layers.labels.clone())
}
