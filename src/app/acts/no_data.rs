//! Which pixels of the open scene have data: asked of the engine once, so that no label lies where nothing can be learned.

use std::sync::Arc;

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::app::link;
use crate::app::state::Store;
use crate::engine::message::{Command, Event};
use crate::labels::{LabelMap, Split};

/// Scenes of more samples are read only when a split is drawn.
const SMALL: usize = 1 << 27;

/// Looks now if the scene is small.
pub fn look(store: Store) {
    let samples = store.scene.with_untracked(|scene| {
        scene.as_ref().map(|scene| scene.info.rows.saturating_mul(scene.info.cols).saturating_mul(scene.info.bands))
    });
    if samples.is_some_and(|samples| samples <= SMALL) {
        // A scene that cannot be read says so where it is used.
        spawn_local(async move { drop(find(store).await) });
    }
}

/// Makes sure that it is known.
///
/// # Errors
/// A sentence for the user.
pub async fn find(store: Store) -> Result<(), String> {
    if store.has_data.with_untracked(Option::is_some) {
        return Ok(());
    }
    let scene = || store.scene.with_untracked(|scene| scene.as_ref().map(|scene| scene.fingerprint.clone()));
    let asked = scene();
    match link::call(Command::FindData, &[]).await.map_err(|failure| failure.message)? {
        Event::DataFound(mask) if scene() == asked => {
            store.has_data.set(Some(Arc::new(mask.iter().map(|&has| has != 0).collect())));
            Ok(())
        }
        _ => Err("Another scene was opened meanwhile.".into()),
    }
}

/// The labels without those on pixels that have no data, as far as that is known.
pub fn usable(store: Store, labels: LabelMap) -> LabelMap {
    match store.has_data.get_untracked() {
        Some(has_data) => labels.with_data_only(&has_data),
        None => labels,
    }
}

/// The same for a split.
pub fn prune(store: Store, split: &mut Split) {
    if let Some(has_data) = store.has_data.get_untracked() {
        split.keep_data_only(&has_data);
    }
}
