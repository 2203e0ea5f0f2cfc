//! Labels and classes: imported, brushed, edited, undone.

use std::cell::RefCell;
use std::collections::BTreeSet;

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use web_sys::{File, HtmlElement};

use crate::app::acts::scene::ask_or_fail;
use crate::app::acts::split;
use crate::app::link;
use crate::app::plain::viewport::{disc, line};
use crate::app::plain::{number, palette};
use crate::app::state::{LabelCodes, Overlay, Role, Store, Tool};
use crate::app::view::layers;
use crate::engine::message::{Command, Event};
use crate::labels::{Class, CodeChoices, LabelMap, MOST_CLASSES, code_text};
use crate::scene::OpenOptions;

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
    /// Pixels left out, because the scene has no data there.
    without_data: BTreeSet<usize>,
}

thread_local! {
    static UNDO: RefCell<Vec<Edit>> = const { RefCell::new(Vec::new()) };
    /// The label file, to read it again when the user chooses otherwise.
    static IMPORT: RefCell<Option<(Vec<File>, OpenOptions, CodeChoices)>> = const { RefCell::new(None) };
    static STROKE: RefCell<Stroke> = RefCell::default();
}

/// Opens files as ground truth of the open scene.
pub async fn open(store: Store, files: Vec<File>, options: OpenOptions) {
    import(store, files, options, CodeChoices::default()).await;
}

/// The user says what a code of the label file becomes; the file is read again.
pub fn choose_code(store: Store, code: f64, class: bool) {
    let Some((files, options, mut choices)) = IMPORT.with_borrow(Clone::clone) else { return };
    choices.choose(code, class);
    spawn_local(async move {
        import(store, files, options, choices).await;
        // The table was drawn anew: the keyboard stays where it was.
        request_animation_frame(move || {
            let select = format!("[data-testid=\"code-{}-becomes\"]", code_text(code));
            if let Ok(Some(select)) = document().query_selector(&select)
                && let Some(select) = select.dyn_ref::<HtmlElement>()
            {
                drop(select.focus());
            }
        });
    });
}

async fn import(store: Store, files: Vec<File>, options: OpenOptions, choices: CodeChoices) {
    if store.scene.with_untracked(Option::is_none) {
        store.fail("There is no scene yet; open the scene first, then its ground truth.");
        return;
    }
    store.busy.set(Some(format!("Reading {}", super::scene::names(&files))));
    let result = link::call(Command::OpenLabels { options: options.clone(), choices: choices.clone() }, &files).await;
    store.busy.set(None);
    match result {
        Ok(Event::LabelsOpened { name, labels, codes, notes }) => {
            let classes = labels.classes.len();
            let labelled = labels.labels.iter().filter(|&&label| label != 0).count();
            replace(store, labels, true);
            store.announcement.set(format!("Ground truth: {labelled} labelled pixels in {classes} classes."));
            store.label_codes.set(Some(LabelCodes { name, codes, notes }));
            IMPORT.set(Some((files, options, choices)));
            super::no_data::look(store);
        }
        Ok(_) => {}
        // The table shows what is, not what was refused.
        Err(failure) if choices != CodeChoices::default() => {
            store.label_codes.update(|_| {});
            store.fail(failure.message);
        }
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
    if classes_changed {
        // The table is of the labels as they were read.
        store.label_codes.set(None);
        IMPORT.take();
    }
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
    let has_data = store.has_data.get_untracked();
    let is_empty = |index: usize| has_data.as_ref().is_some_and(|mask| mask.get(index) == Some(&false));
    STROKE.with_borrow_mut(|stroke| {
        store.labels.update(|labels| {
            for (row, col) in line(stroke.last.unwrap_or((row, col)), (row, col)) {
                for (r, c) in disc(row, col, size, rows, cols) {
                    let index = r * cols + c;
                    if class != 0 && is_empty(index) {
                        stroke.without_data.insert(index);
                    } else if labels[index] != class {
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
    if !stroke.without_data.is_empty() {
        let pixels = number::counted(stroke.without_data.len(), "pixel");
        store.tell(format!("{pixels} were left out: the scene has no data there."));
    }
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
