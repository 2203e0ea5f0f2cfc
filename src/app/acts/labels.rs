//! Labels and classes: imported, brushed, edited, undone.

use std::cell::RefCell;

use leptos::prelude::*;
use web_sys::File;

use crate::app::acts::scene::ask_or_fail;
use crate::app::acts::split;
use crate::app::link;
use crate::app::plain::palette;
use crate::app::plain::viewport::{disc, line};
use crate::app::state::{Overlay, Role, Store, Tool};
use crate::app::view::layers;
use crate::engine::message::{Command, Event};
use crate::labels::{Class, LabelMap};
use crate::scene::OpenOptions;

/// Class numbers are bytes and 0 means unlabelled.
const MOST_CLASSES: usize = 255;
const MOST_UNDOS: usize = 200;

/// What undo puts back.
enum Edit {
    /// Indices and their former class numbers.
    Pixels(Vec<(usize, u8)>),
    Everything {
        labels: Vec<u8>,
        classes: Vec<Class>,
    },
}

#[derive(Default)]
struct Stroke {
    last: Option<(usize, usize)>,
    changes: Vec<(usize, u8)>,
}

thread_local! {
    static UNDO: RefCell<Vec<Edit>> = const { RefCell::new(Vec::new()) };
    static STROKE: RefCell<Stroke> = RefCell::default();
}

/// Opens files as ground truth of the open scene.
pub async fn open(store: Store, files: Vec<File>, options: OpenOptions) {
    if store.scene.with_untracked(Option::is_none) {
        store.fail("There is no scene yet; open the scene first, then its ground truth.");
        return;
    }
    store.busy.set(Some(format!("Reading {}", super::scene::names(&files))));
    let result = link::call(Command::OpenLabels(options), &files).await;
    store.busy.set(None);
    match result {
        Ok(Event::LabelsOpened { labels, notes }) => {
            let classes = labels.classes.len();
            let labelled = labels.labels.iter().filter(|&&label| label != 0).count();
            replace(store, labels, true);
            store.announcement.set(format!("Ground truth: {labelled} labelled pixels in {classes} classes."));
            for note in notes {
                store.tell(note);
            }
        }
        Ok(_) => {}
        Err(failure) => ask_or_fail(store, failure, files, Role::Labels),
    }
}

/// Exchanges all labels and classes; `undoable` keeps the former ones for undo.
pub fn replace(store: Store, map: LabelMap, undoable: bool) {
    if undoable {
        remember_everything(store);
    } else {
        UNDO.take();
        store.undo_depth.set(0);
    }
    store.classes.set(map.classes);
    store.labels.set(map.labels);
    store.chosen_class.set(1);
    outdate(store, true);
    repaint(store);
}

/// Back to the ground truth that came with the scene.
pub fn reset(store: Store) {
    if let Some(map) = store.scene.with_untracked(|scene| scene.as_ref()?.ground_truth.clone()) {
        replace(store, map, true);
    }
}

fn remember(store: Store, edit: Edit) {
    UNDO.with_borrow_mut(|undo| {
        if undo.len() == MOST_UNDOS {
            undo.remove(0);
        }
        undo.push(edit);
        store.undo_depth.set(undo.len());
    });
}

fn remember_everything(store: Store) {
    let edit = Edit::Everything { labels: store.labels.get_untracked(), classes: store.classes.get_untracked() };
    remember(store, edit);
}

/// Splits no longer fit the labels. Those of a split file survive changes of single pixels.
fn outdate(store: Store, classes_changed: bool) {
    split::replace(store, Vec::new());
    if classes_changed && store.file_splits.with_untracked(|splits| !splits.is_empty()) {
        store.file_splits.set(Vec::new());
        store.split_file.set(None);
        store.tell("The classes changed, so the split file no longer fits; open it again.");
    }
}

/// Draws the whole layer of labels anew.
pub fn repaint(store: Store) {
    if let Some((rows, cols)) = store.shape() {
        store.labels.with_untracked(|labels| {
            store.classes.with_untracked(|classes| layers::set_labels(rows, cols, labels, classes));
        });
        store.redraw();
    }
}

/// Adds a class and chooses it.
pub fn add_class(store: Store) {
    let count = store.classes.with_untracked(Vec::len);
    if count == MOST_CLASSES {
        store.fail("255 classes are the most that a map can hold; delete one first.");
        return;
    }
    let color = store.classes.with_untracked(|classes| palette::unused(classes));
    store.classes.update(|classes| classes.push(Class { name: format!("Class {}", count + 1), color }));
    store.chosen_class.set((count + 1) as u8);
    store.tool.set(Tool::Brush);
    if store.overlay.get_untracked() == Overlay::Off {
        store.overlay.set(Overlay::All);
    }
}

pub fn rename_class(store: Store, index: usize, name: String) {
    store.classes.update(|classes| {
        if let Some(class) = classes.get_mut(index) {
            class.name = name;
        }
    });
    follow_look(store);
}

pub fn recolour_class(store: Store, index: usize, color: [u8; 3]) {
    store.classes.update(|classes| {
        if let Some(class) = classes.get_mut(index) {
            class.color = color;
        }
    });
    repaint(store);
    follow_look(store);
}

/// A map made with these classes follows their names and colours, as long as their number is the same.
fn follow_look(store: Store) {
    let classes = store.classes.get_untracked();
    if store.map_classes.with_untracked(|old| old.len() == classes.len()) {
        store.map_classes.set(classes.clone());
        if let Some((rows, cols)) = store.shape() {
            store.map.with_untracked(|map| layers::set_map(rows, cols, map, &classes));
            store.redraw();
        }
    }
}

/// Deletes a class; its pixels become unlabelled and later classes move up.
pub fn delete_class(store: Store, index: usize) {
    remember_everything(store);
    let number = (index + 1) as u8;
    store.classes.update(|classes| {
        if index < classes.len() {
            classes.remove(index);
        }
    });
    store.labels.update(|labels| {
        for label in labels {
            match (*label).cmp(&number) {
                std::cmp::Ordering::Equal => *label = 0,
                std::cmp::Ordering::Greater => *label -= 1,
                std::cmp::Ordering::Less => {}
            }
        }
    });
    let count = store.classes.with_untracked(Vec::len);
    store.chosen_class.update(|chosen| *chosen = (*chosen).min(count.max(1) as u8));
    outdate(store, true);
    repaint(store);
}

/// Takes every label away, keeps the classes.
pub fn clear(store: Store) {
    remember_everything(store);
    store.labels.update(|labels| labels.fill(0));
    outdate(store, false);
    repaint(store);
}

/// Continues a stroke of the brush or the eraser to a pixel, or begins it there.
pub fn stroke(store: Store, row: usize, col: usize) {
    let Some((rows, cols)) = store.shape() else { return };
    let class = match store.tool.get_untracked() {
        Tool::Look => return,
        Tool::Erase => 0,
        Tool::Brush => {
            if store.classes.with_untracked(Vec::is_empty) {
                add_class(store);
            }
            store.chosen_class.get_untracked()
        }
    };
    let size = store.brush.get_untracked();
    let mut changed: Vec<usize> = Vec::new();
    STROKE.with_borrow_mut(|stroke| {
        store.labels.update(|labels| {
            for (row, col) in line(stroke.last.unwrap_or((row, col)), (row, col)) {
                for (r, c) in disc(row, col, size, rows, cols) {
                    let index = r * cols + c;
                    if labels[index] != class {
                        stroke.changes.push((index, labels[index]));
                        labels[index] = class;
                        changed.push(index);
                    }
                }
            }
        });
        stroke.last = Some((row, col));
    });
    store.classes.with_untracked(|classes| layers::touch_labels(cols, &changed, class, classes));
    store.redraw();
}

/// Ends a stroke: from here on it can be undone.
pub fn end_stroke(store: Store) {
    let stroke = STROKE.take();
    if !stroke.changes.is_empty() {
        remember(store, Edit::Pixels(stroke.changes));
        outdate(store, false);
    }
}

pub fn undo(store: Store) {
    let Some(edit) = UNDO.with_borrow_mut(Vec::pop) else { return };
    let mut classes_changed = false;
    match edit {
        Edit::Pixels(changes) => store.labels.update(|labels| {
            // A pixel may occur twice in a stroke: the oldest value wins.
            for (index, label) in changes.into_iter().rev() {
                labels[index] = label;
            }
        }),
        Edit::Everything { labels, classes } => {
            classes_changed = store.classes.with_untracked(|now| now.len() != classes.len());
            store.classes.set(classes);
            store.labels.set(labels);
        }
    }
    store.undo_depth.set(UNDO.with_borrow(Vec::len));
    outdate(store, classes_changed);
    repaint(store);
}
