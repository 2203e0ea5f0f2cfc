//! What can be chosen about a pre-training.

use serde::{Deserialize, Serialize};

use super::super::config::{Augmentation, ConfigError, Input, ModelSize, TrainConfig};

/// A pre-training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PretrainConfig {
    pub size: ModelSize,
    /// Spatial patch in pixels; `None` leaves it to the size.
    pub patch: Option<usize>,
    /// Channels of a token; `None` leaves it to the size.
    pub width: Option<usize>,
    /// How spectra become components, as later for users' scenes.
    pub input: Input,
    pub components: usize,
    /// Side of a generated scene in pixels.
    pub scene: usize,
    /// Side of what a step sees of it.
    pub tile: usize,
    pub epochs: usize,
    /// New scenes an epoch.
    pub scenes: usize,
    /// Steps that see each of them.
    pub views: usize,
    /// Peak learning rate of AdamW.
    pub learning_rate: f64,
    pub beta2: f64,
    pub weight_decay: f64,
    /// Largest norm of the gradient; 0 = not limited.
    pub clip_norm: f64,
    pub warmup_epochs: usize,
    /// Decay a step of the running average of the weights, which is what is written.
    pub weight_average: f64,
    /// Weight of masked autoencoding, both encoders; 0 = without.
    pub autoencoding: f64,
    /// Weight of few-shot episodes; 0 = without.
    pub episodes: f64,
    /// Weight of telling the mean of a pixel's whole field; 0 = without.
    pub fields: f64,
    /// Share of the tokens that is hidden from an encoder (both official: 0.75).
    pub mask_ratio: f64,
    /// Side of the squares of tokens that are hidden together from the spatial encoder.
    pub mask_cell: usize,
    /// Share of the episodes whose labelled pixels come from some fields only and whose questions come from the others.
    pub apart: f64,
    /// Standard deviation of the noise added to components, of their offsets and of their gains, in standard deviations.
    pub noise: f32,
    pub shift: f32,
    pub gain: f32,
    pub seed: u64,
}

impl Default for PretrainConfig {
    fn default() -> Self {
        Self {
            size: ModelSize::Nano,
            patch: None,
            width: None,
            input: Input::NoiseAdjusted,
            components: 30,
            scene: 80,
            tile: 64,
            epochs: 40,
            scenes: 12,
            views: 4,
            learning_rate: 1.5e-3,
            beta2: 0.98,
            weight_decay: 0.05,
            clip_norm: 1.0,
            warmup_epochs: 2,
            weight_average: 0.98,
            autoencoding: 0.0,
            episodes: 1.0,
            fields: 1.0,
            mask_ratio: 0.75,
            mask_cell: 4,
            apart: 0.6,
            noise: 0.1,
            shift: 0.0,
            gain: 0.1,
            seed: 0,
        }
    }
}

impl PretrainConfig {
    /// The settings that it shares with a training.
    pub(super) fn training(&self) -> TrainConfig {
        TrainConfig {
            size: self.size,
            patch: self.patch,
            width: self.width,
            input: self.input,
            components: self.components,
            tile: self.tile,
            tile_overlap: 0,
            epochs: self.epochs,
            learning_rate: self.learning_rate,
            beta2: self.beta2,
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            warmup_epochs: self.warmup_epochs,
            weight_average: self.weight_average,
            drop_path: 0.0,
            seed: self.seed,
            augmentation: Augmentation {
                jitter: self.scene.saturating_sub(self.tile).div_ceil(2),
                spectral_noise: self.noise,
                spectral_shift: self.shift,
                spectral_gain: self.gain,
                ..Augmentation::default()
            },
            ..TrainConfig::preset(self.size)
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that cannot be used and what it may be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |sound: bool, field: &'static str, value: &dyn std::fmt::Display, allowed: &'static str| {
            if sound { Ok(()) } else { Err(ConfigError { field, value: value.to_string(), allowed }) }
        };
        self.training().validate()?;
        check((8..=512).contains(&self.scene), "scene", &self.scene, "from 8 to 512 pixels")?;
        let whole = self.tile <= self.scene && self.tile.is_multiple_of(4 * self.training().patch());
        check(whole, "tile", &self.tile, "a multiple of four patches, and no more than the scene")?;
        check((1..=10_000).contains(&self.scenes), "scenes", &self.scenes, "from 1 to 10000")?;
        check((1..=1000).contains(&self.views), "views", &self.views, "from 1 to 1000")?;
        let weight = |value: f64| (0.0..=100.0).contains(&value);
        check(weight(self.autoencoding), "autoencoding", &self.autoencoding, "from 0 to 100")?;
        check(weight(self.episodes), "episodes", &self.episodes, "from 0 to 100")?;
        check(weight(self.fields), "fields", &self.fields, "from 0 to 100")?;
        let some = self.autoencoding + self.episodes + self.fields > 0.0;
        check(some, "autoencoding", &self.autoencoding, "above 0 where all other tasks are 0")?;
        let share = |value: f64| value > 0.0 && value < 1.0;
        check(share(self.mask_ratio), "mask_ratio", &self.mask_ratio, "between 0 and 1")?;
        check((1..=64).contains(&self.mask_cell), "mask_cell", &self.mask_cell, "from 1 to 64 tokens")?;
        check((0.0..=1.0).contains(&self.apart), "apart", &self.apart, "from 0 to 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_sound_and_unusable_fields_are_named() {
        PretrainConfig::default().validate().unwrap();
        type Spoil = fn(&mut PretrainConfig);
        let broken: [(&str, Spoil); 7] = [
            ("tile", |config| config.tile = 60),
            ("tile", |config| config.tile = 88),
            ("autoencoding", |config| (config.episodes, config.fields) = (0.0, 0.0)),
            ("episodes", |config| config.episodes = -1.0),
            ("mask_ratio", |config| config.mask_ratio = 1.0),
            ("views", |config| config.views = 0),
            ("learning_rate", |config| config.learning_rate = -1.0),
        ];
        for (field, spoil) in broken {
            let mut config = PretrainConfig::default();
            spoil(&mut config);
            assert_eq!(config.validate().unwrap_err().field, field);
        }
    }
}
