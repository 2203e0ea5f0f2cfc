//! Which labelled pixels train, validate and test.

use leptos::prelude::*;
use web_sys::File;

use crate::app::acts::no_data;
use crate::app::link;
use crate::app::plain::number;
use crate::app::settings::SplitMode;
use crate::app::state::Store;
use crate::engine::message::{Command, Event};
use crate::labels::{LabelledPixel, Split};
use crate::train::TrainConfig;

/// Opens a split file.
pub async fn open(store: Store, file: File) {
    let Some(labels) = store.label_map() else {
        store.fail("There is no scene yet; open the scene and its ground truth first, then the split file.");
        return;
    };
    let name = file.name();
    store.busy.set(Some(format!("Reading {name}")));
    let result = link::call(Command::OpenSplit { labels }, &[file]).await;
    store.busy.set(None);
    match result {
        Ok(Event::SplitsOpened { splits, labels, notes }) => {
            if let Some(labels) = labels {
                super::labels::replace(store, labels, true);
            }
            let count = splits.len();
            store.announcement.set(format!("{name} holds {}.", number::counted(count, "split")));
            store.file_splits.set(splits);
            store.split_file.set(Some(name));
            store.split_mode.set(SplitMode::File);
            store.seeds.set(count.max(1));
            take_from_file(store);
            for note in notes {
                store.tell(note);
            }
        }
        Ok(_) => {}
        Err(failure) => store.fail(failure.message),
    }
}

/// Takes the first few splits of the file.
pub fn take_from_file(store: Store) {
    let wanted = store.seeds.get_untracked();
    let mut splits: Vec<Split> =
        store.file_splits.with_untracked(|splits| splits.iter().take(wanted).cloned().collect());
    for split in &mut splits {
        no_data::prune(store, split);
    }
    replace(store, splits);
}

/// A changed wish: what was drawn no longer answers it.
pub fn outdate(store: Store) {
    if store.split_mode.get_untracked() == SplitMode::File {
        take_from_file(store);
    } else {
        replace(store, Vec::new());
    }
}

/// Makes the splits that the controls describe.
///
/// # Errors
/// A sentence for the user.
pub async fn draw(store: Store) -> Result<(), String> {
    let labels = store.label_map().ok_or("There is no scene yet; open one first.")?;
    if labels.labels.iter().all(|&label| label == 0) {
        return Err(
            "No pixel is labelled yet; open the ground truth or brush a few pixels of each class in step 2.".into()
        );
    }
    no_data::find(store).await?;
    let labels = no_data::usable(store, labels);
    if labels.labels.iter().all(|&label| label == 0) {
        return Err("Every labelled pixel lies where the scene has no data; label others in step 2.".into());
    }
    let splits = match store.split_mode.get_untracked() {
        SplitMode::File => {
            take_from_file(store);
            if store.splits.with_untracked(Vec::is_empty) {
                return Err("No split file is open; open one in step 2 or choose a random split.".into());
            }
            return Ok(());
        }
        SplitMode::All => vec![everything(&labels.labels)],
        SplitMode::Random => {
            let mut splits = Vec::new();
            for offset in 0..store.seeds.get_untracked() as u64 {
                let command = Command::RandomSplit {
                    labels: labels.clone(),
                    train_per_class: store.train_per_class.get_untracked(),
                    val_per_class: store.val_per_class.get_untracked(),
                    seed: store.split_seed.get_untracked() + offset,
                };
                match link::call(command, &[]).await.map_err(|failure| failure.message)? {
                    Event::SplitMade(split) => splits.push(split),
                    _ => return Err("The engine gave no split; reload the page.".into()),
                }
            }
            splits
        }
    };
    replace(store, splits);
    Ok(())
}

/// Puts other splits in place. The number of epochs follows the training pixels, unless the user has chosen one.
pub fn replace(store: Store, splits: Vec<Split>) {
    let pixels = |splits: &[Split]| splits.first().map_or(0, |split| split.train.len());
    let (before, after) = (store.splits.with_untracked(|splits| pixels(splits)), pixels(&splits));
    store.splits.set(splits);
    let follows = |config: &TrainConfig| config.epochs == TrainConfig::epochs_for(config.size, before);
    if before != after && store.config.with_untracked(follows) {
        store.config.update(|config| config.epochs = TrainConfig::epochs_for(config.size, after));
    }
    store.redraw();
}

/// Every labelled pixel trains.
fn everything(labels: &[u8]) -> Split {
    let train: Vec<LabelledPixel> = labels
        .iter()
        .enumerate()
        .filter(|&(_, &class)| class != 0)
        .map(|(index, &class)| LabelledPixel { index: index as u32, class })
        .collect();
    Split { name: format!("all {} labelled pixels train", train.len()), train, val: Vec::new(), test: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_labelled_pixels_train_and_none_else() {
        let split = everything(&[0, 2, 0, 1]);
        assert_eq!(split.train, [LabelledPixel { index: 1, class: 2 }, LabelledPixel { index: 3, class: 1 }]);
        assert!(split.val.is_empty() && split.test.is_empty());
        assert_eq!(split.name, "all 2 labelled pixels train");
    }
}
