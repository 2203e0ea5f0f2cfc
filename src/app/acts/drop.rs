//! Dropped and chosen files: what is meant by them.

use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::File;

use crate::app::acts::{labels, scene, split, weights};
use crate::app::link;
use crate::app::plain::companions::companions;
use crate::app::plain::weights::{FileKind, file_kind};
use crate::app::state::{Question, Role, Store};
use crate::engine::message::{Command, Event};
use crate::scene::OpenOptions;

/// Files dropped anywhere on the page. The first scene-like file is the scene; a split, weights and a model are known by their
/// extension and header; a cube of several bands is a new scene; for anything else dropped on an open scene the user
/// is asked.
pub fn on_page(store: Store, files: Vec<File>) {
    let (splits, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| extension(&file.name()) == "json");
    let (models, files): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| file_kind(&file.name()) != FileKind::Other);
    let mut groups = group(files);
    // With several, the largest is the scene.
    groups.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let has_scene = store.scene.with_untracked(Option::is_some);
    spawn_local(async move {
        let mut groups = groups.into_iter();
        match (groups.next(), groups.next()) {
            (Some(only), None) if has_scene => {
                // Several bands can only be a scene.
                if matches!(link::call(Command::CountBands, &only).await, Ok(Event::Bands(bands)) if bands > 1) {
                    scene::open(store, scene::Origin::Files(only, OpenOptions::default())).await;
                } else {
                    let names = scene::names(&only);
                    scene::set_pending(only);
                    store.question.set(Some(Question::Role { names }));
                }
            }
            (Some(first), second) => {
                if !scene::open(store, scene::Origin::Files(first, OpenOptions::default())).await {
                    return;
                }
                if let Some(second) = second {
                    labels::open(store, second, OpenOptions::default()).await;
                }
                if groups.next().is_some() {
                    store.tell("More than two files were dropped; the largest was opened as the scene, the next as ground truth.");
                }
            }
            (None, _) => {}
        }
        if let Some(file) = splits.into_iter().next() {
            split::open(store, file).await;
        }
        if !models.is_empty() {
            weights::open(store, models).await;
        }
    });
}

/// Files given to one step.
pub fn on_step(store: Store, role: Role, files: Vec<File>) {
    open_as(store, role, files, OpenOptions::default());
}

/// Opens files in a given role with the user's answers.
pub fn open_as(store: Store, role: Role, files: Vec<File>, options: OpenOptions) {
    spawn_local(async move {
        match role {
            Role::Scene => {
                let mut groups = group(files);
                if groups.len() > 1 {
                    on_page(store, groups.into_iter().flatten().collect());
                } else if let Some(files) = groups.pop() {
                    scene::open(store, scene::Origin::Files(files, options)).await;
                }
            }
            Role::Labels => labels::open(store, files, options).await,
            Role::Split => {
                if let Some(file) = files.into_iter().next() {
                    split::open(store, file).await;
                }
            }
            // Both are told apart by what they hold, wherever they were dropped.
            Role::Model | Role::Weights => weights::open(store, files).await,
        }
    });
}

fn size(files: &[File]) -> f64 {
    files.iter().map(|file| file.size()).sum()
}

fn extension(name: &str) -> String {
    name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
}

fn group(files: Vec<File>) -> Vec<Vec<File>> {
    let names: Vec<String> = files.iter().map(File::name).collect();
    companions(&names).into_iter().map(|group| group.into_iter().map(|index| files[index].clone()).collect()).collect()
}
