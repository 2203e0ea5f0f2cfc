//! What the browser remembers between visits in `localStorage`: choices, never data.

use serde::{Deserialize, Serialize};

use crate::app::state::Store;
use crate::engine::message::DeviceChoice;
use crate::train::TrainConfig;
use leptos::prelude::*;

const KEY: &str = "sigmascope-settings";

/// Where training, validation and test pixels come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitMode {
    /// n pixels a class at random.
    Random,
    /// A split file.
    File,
    /// Every labelled pixel trains; there is nothing left to test on.
    All,
}

/// What training starts from, once a scene is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Shipped weights of the chosen size, where there are some.
    Shipped,
    Scratch,
    /// Weights kept in this browser, by id.
    Kept(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub device: DeviceChoice,
    pub split_mode: SplitMode,
    pub train_per_class: usize,
    pub val_per_class: usize,
    pub split_seed: u64,
    pub seeds: usize,
    pub start: Start,
    /// Only what differs from the size's recipe is kept, so that a better recipe of a later version is taken over.
    #[serde(with = "differing")]
    pub config: TrainConfig,
}

/// A configuration as its size, and all of it only where it is not the recipe of that size.
mod differing {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::train::{ModelSize, TrainConfig};

    #[derive(Serialize, Deserialize)]
    struct Kept {
        size: ModelSize,
        own: Option<TrainConfig>,
    }

    pub fn serialize<S: Serializer>(config: &TrainConfig, serializer: S) -> Result<S::Ok, S::Error> {
        let own = (*config != TrainConfig::preset(config.size)).then(|| config.clone());
        Kept { size: config.size, own }.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TrainConfig, D::Error> {
        let kept = Kept::deserialize(deserializer)?;
        Ok(kept.own.unwrap_or_else(|| TrainConfig::preset(kept.size)))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            device: DeviceChoice::Auto,
            split_mode: SplitMode::Random,
            train_per_class: 10,
            val_per_class: 5,
            split_seed: 0,
            seeds: 1,
            start: Start::Shipped,
            config: TrainConfig::default(),
        }
    }
}

impl Settings {
    /// The kept settings; the defaults where nothing, or nothing readable, is kept.
    pub fn load() -> Self {
        let mut settings: Self = local_storage()
            .and_then(|storage| storage.get_item(KEY).ok().flatten())
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        if settings.split_mode == SplitMode::File {
            // The file itself is gone with the last visit.
            settings.split_mode = SplitMode::Random;
        }
        settings
    }

    fn of(store: &Store) -> Self {
        Self {
            device: store.device_choice.get(),
            split_mode: store.split_mode.get(),
            train_per_class: store.train_per_class.get(),
            val_per_class: store.val_per_class.get(),
            split_seed: store.split_seed.get(),
            seeds: store.seeds.get(),
            start: store.weights.start.get(),
            config: store.config.get(),
        }
    }
}

/// Writes the settings whenever one changes.
pub fn keep(store: Store) {
    Effect::new(move |_| {
        let settings = Settings::of(&store);
        if let (Some(storage), Ok(text)) = (local_storage(), serde_json::to_string(&settings)) {
            // A full or forbidden storage only means that the next visit starts with the defaults.
            let _ = storage.set_item(KEY, &text);
        }
    });
}

pub(crate) fn local_storage() -> Option<web_sys::Storage> {
    web_sys::window()?.local_storage().ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_missing_fields_fall_back_to_defaults() {
        let settings: Settings = serde_json::from_str(r#"{"seeds": 5, "colour": "red"}"#).unwrap();
        assert_eq!(settings, Settings { seeds: 5, ..Settings::default() });
    }

    #[test]
    fn an_untouched_recipe_is_kept_by_name_only() {
        let untouched = serde_json::to_string(&Settings::default()).unwrap();
        assert!(untouched.contains(r#""config":{"size":"nano","own":null}"#), "{untouched}");
        let mut settings = Settings::default();
        settings.config.epochs = 7;
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
    }
}
