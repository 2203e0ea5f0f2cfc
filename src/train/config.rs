//! What a user can choose about a training run. Plain data: the page shows it, the engine obeys it, a saved model keeps it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::tuning::{Lora, Tuning};
use crate::preprocess::FitOptions;

/// The sizes of HyperSIGMA, with the names of the paper, and our own small ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelSize {
    /// For tests.
    Tiny,
    /// For a browser tab: trains from scratch in minutes on a CPU.
    Nano,
    Base,
    Large,
    Huge,
}

impl ModelSize {
    /// The patch that this size is made for, in pixels.
    pub fn default_patch(self) -> usize {
        match self {
            Self::Tiny | Self::Nano => 2,
            Self::Base | Self::Large | Self::Huge => 8,
        }
    }
}

/// How the spectra of a scene become the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Principal components, each with variance 1: the official recipe. Components of pure noise become as loud as all
    /// others.
    Whitened,
    /// Bands are first divided by the deviation that the other bands do not explain, an estimate of their noise; then
    /// principal components, each divided by the square root of its standard deviation.
    NoiseAdjusted,
    /// Minimum noise fraction: all noise, estimated from neighbouring pixels, is whitened first; then as `NoiseAdjusted`.
    /// For scenes whose classes form fields of several pixels, with labels in the fields that matter: it is better there
    /// and worse in fields without labels.
    NoiseFraction,
}

/// Random changes of the scene while training; each is drawn anew every step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Augmentation {
    /// Mirror images, each axis with probability one half.
    pub flips: bool,
    /// Turns by multiples of 90 degrees (by 180 where the tile is not square).
    pub rotations: bool,
    /// Largest shift of the tile in pixels, up or down and left or right; the scene is mirrored past its border.
    pub jitter: usize,
    /// Standard deviation of Gaussian noise added to every component of every pixel, in standard deviations of the
    /// component.
    pub spectral_noise: f32,
    /// Standard deviation of one random offset a component for the whole tile, in the same unit.
    pub spectral_shift: f32,
    /// Standard deviation of one random factor a component for the whole tile, around 1.
    pub spectral_gain: f32,
    /// Further places at which each labelled pixel is shown, with its label.
    pub copies: usize,
    /// Largest share of another labelled pixel of the same class in such a copy, 0..=1.
    pub copy_blend: f32,
    /// Probability with which a pixel without label is replaced by another pixel of the tile.
    pub context_mix: f32,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            flips: true,
            rotations: true,
            jitter: 4,
            spectral_noise: 0.1,
            spectral_shift: 0.1,
            spectral_gain: 0.1,
            copies: 0,
            copy_blend: 0.0,
            context_mix: 0.0,
        }
    }
}

/// One training run. Fields that an older model file lacks take the values of [`TrainConfig::default`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainConfig {
    pub size: ModelSize,
    /// Spatial patch in pixels (1, 2, 4, 8 or 16); `None` leaves it to the size's own rule.
    pub patch: Option<usize>,
    /// Channels of a token; `None` leaves it to the size. A multiple of the size's number of heads.
    pub width: Option<usize>,
    /// How spectra become components.
    pub input: Input,
    /// Components kept of the spectrum.
    pub components: usize,
    /// Longest side of a tile in pixels; a smaller scene is one tile.
    pub tile: usize,
    /// Nominal overlap of neighbouring tiles in pixels.
    pub tile_overlap: usize,
    pub epochs: usize,
    /// Peak learning rate of AdamW.
    pub learning_rate: f64,
    /// Decay of AdamW's second moments; short runs want a shorter memory than the usual 0.999.
    pub beta2: f64,
    pub weight_decay: f64,
    /// Largest norm of the gradient; 0 = not limited.
    pub clip_norm: f64,
    /// Factor on the learning rate from each block to the one below it; 1 = the same everywhere.
    pub layer_decay: f64,
    /// Epochs of linear warm-up before the cosine.
    pub warmup_epochs: usize,
    /// Stochastic depth of the last block, growing linearly from 0.
    pub drop_path: f64,
    pub label_smoothing: f32,
    /// Weight each class by the inverse of its number of training pixels.
    pub class_balanced: bool,
    /// Decay a step of the running average of the weights that validates and maps; 0 = the weights themselves.
    pub weight_average: f64,
    pub augmentation: Augmentation,
    /// Epochs between two looks at the validation pixels; 0 = never.
    pub validate_every: usize,
    /// Map with the weights that did best on the validation pixels instead of the last ones.
    pub keep_best: bool,
    /// Validations without improvement after which training stops early and keeps the best weights; 0 = never.
    pub patience: usize,
    /// Average the class probabilities over mirrored and turned tiles when mapping.
    pub test_time_augmentation: bool,
    /// Places of the tile, within the jitter, over which probabilities are averaged when mapping; at least 1.
    pub test_time_shifts: usize,
    /// What is trained when the run starts from pretrained weights; a run from random weights trains everything.
    pub tuning: Tuning,
    /// Compute each block again on the way back instead of keeping its intermediates: less memory, a third more time.
    pub checkpointing: bool,
    pub seed: u64,
}

impl TrainConfig {
    /// The recipe of a size, as measured on the fixed splits (see the README's table): for scenes whose classes form fields
    /// of several pixels. [`for_mixed_pixels`](Self::for_mixed_pixels) is for the others.
    pub fn preset(size: ModelSize) -> Self {
        let small = matches!(size, ModelSize::Tiny | ModelSize::Nano);
        Self {
            size,
            patch: None,
            width: None,
            input: if small { Input::NoiseAdjusted } else { Input::Whitened },
            components: if small { 30 } else { 20 },
            tile: 160,
            tile_overlap: 32,
            epochs: if small { 60 } else { 100 },
            learning_rate: if small { 2e-3 } else { 3e-4 },
            beta2: if small { 0.98 } else { 0.999 },
            weight_decay: 0.05,
            clip_norm: 1.0,
            layer_decay: 1.0,
            warmup_epochs: if small { 6 } else { 10 },
            drop_path: if small { 0.0 } else { 0.1 },
            label_smoothing: 0.05,
            class_balanced: true,
            weight_average: 0.98,
            augmentation: Augmentation::default(),
            validate_every: 10,
            keep_best: false,
            patience: 0,
            test_time_augmentation: true,
            test_time_shifts: 2,
            tuning: Tuning::Full,
            checkpointing: !small,
            seed: 0,
        }
    }

    /// The preset for scenes whose classes are hardly larger than a pixel, so that neighbours say little about each other
    /// (towns at 30 m): the smallest patch, and training pixels shown again and again in other surroundings.
    pub fn for_mixed_pixels(size: ModelSize) -> Self {
        let mut config = Self::preset(size);
        if matches!(size, ModelSize::Tiny | ModelSize::Nano) {
            config.patch = Some(1);
        }
        if size == ModelSize::Nano {
            config.width = Some(32);
        }
        let shown_elsewhere = Augmentation { copies: 8, copy_blend: 0.5, context_mix: 1.0, ..config.augmentation };
        config.augmentation = shown_elsewhere;
        config
    }

    /// Epochs that so many training pixels deserve: what 10 a class learn in 60, 50 a class have not learned in 120. Sizes
    /// with pretrained encoders keep their preset's.
    pub fn epochs_for(size: ModelSize, training_pixels: usize) -> usize {
        match size {
            ModelSize::Tiny | ModelSize::Nano => (training_pixels / 4).clamp(60, 240),
            ModelSize::Base | ModelSize::Large | ModelSize::Huge => Self::preset(size).epochs,
        }
    }

    /// How the scene is projected.
    pub fn projection(&self) -> FitOptions {
        match self.input {
            Input::Whitened => FitOptions::whitened(self.components),
            Input::NoiseAdjusted => FitOptions::noise_adjusted(self.components),
            Input::NoiseFraction => FitOptions::noise_fractions(self.components),
        }
    }

    /// The patch that is used.
    pub fn patch(&self) -> usize {
        self.patch.unwrap_or(self.size.default_patch())
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that cannot be used and what it may be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |sound: bool, field: &'static str, value: &dyn std::fmt::Display, allowed: &'static str| {
            if sound { Ok(()) } else { Err(ConfigError { field, value: value.to_string(), allowed }) }
        };
        let Augmentation {
            jitter, spectral_noise, spectral_shift, spectral_gain, copies, copy_blend, context_mix, ..
        } = self.augmentation;
        let patch = self.patch();
        check(matches!(patch, 1 | 2 | 4 | 8 | 16), "patch", &patch, "1, 2, 4, 8 or 16 pixels")?;
        let width = self.width.unwrap_or(64);
        check((1..=4096).contains(&width), "width", &width, "from 1 to 4096 channels")?;
        check((1..=1000).contains(&self.components), "components", &self.components, "from 1 to 1000")?;
        check(
            (4 * patch..=1024).contains(&self.tile),
            "tile",
            &self.tile,
            "from four patches to 1024 pixels (the smallest token grid is 4 × 4)",
        )?;
        check(self.tile_overlap < self.tile, "tile_overlap", &self.tile_overlap, "less than the tile")?;
        check((1..=1_000_000).contains(&self.epochs), "epochs", &self.epochs, "from 1 to 1000000")?;
        let rate = self.learning_rate;
        check(rate > 0.0 && rate <= 1.0, "learning_rate", &rate, "above 0 and at most 1")?;
        let fraction = |value: f64| (0.0..1.0).contains(&value);
        check(fraction(self.beta2), "beta2", &self.beta2, "at least 0 and less than 1")?;
        check(fraction(self.weight_decay), "weight_decay", &self.weight_decay, "at least 0 and less than 1")?;
        let clip = self.clip_norm;
        check(clip >= 0.0 && clip.is_finite(), "clip_norm", &clip, "0 (no limit) or a positive number")?;
        let decay = self.layer_decay;
        check(decay > 0.0 && decay <= 1.0, "layer_decay", &decay, "above 0 and at most 1")?;
        check(fraction(self.drop_path), "drop_path", &self.drop_path, "at least 0 and less than 1")?;
        let smoothing = self.label_smoothing;
        check((0.0..1.0).contains(&smoothing), "label_smoothing", &smoothing, "at least 0 and less than 1")?;
        check(fraction(self.weight_average), "weight_average", &self.weight_average, "at least 0 and less than 1")?;
        check(jitter <= self.tile, "augmentation.jitter", &jitter, "at most the tile")?;
        for (field, value) in [
            ("augmentation.spectral_noise", spectral_noise),
            ("augmentation.spectral_shift", spectral_shift),
            ("augmentation.spectral_gain", spectral_gain),
        ] {
            check((0.0..=10.0).contains(&value), field, &value, "from 0 to 10")?;
        }
        check(copies <= 1000, "augmentation.copies", &copies, "at most 1000")?;
        for (field, value) in [("augmentation.copy_blend", copy_blend), ("augmentation.context_mix", context_mix)] {
            check((0.0..=1.0).contains(&value), field, &value, "from 0 to 1")?;
        }
        check((1..=64).contains(&self.test_time_shifts), "test_time_shifts", &self.test_time_shifts, "from 1 to 64")?;
        let Tuning::Lora(Lora { rank, alpha, targets }) = self.tuning else { return Ok(()) };
        check((1..=512).contains(&rank), "tuning.lora.rank", &rank, "from 1 to 512")?;
        check(alpha > 0.0 && alpha <= 1e4, "tuning.lora.alpha", &alpha, "above 0 and at most 10000")?;
        check(!targets.is_empty(), "tuning.lora.targets", &"empty", "at least one of qkv, proj, fc1 and fc2")
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self::preset(ModelSize::Nano)
    }
}

/// A field of [`TrainConfig`] that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the training setting {field} is {value}, but must be {allowed}")]
pub struct ConfigError {
    pub field: &'static str,
    pub value: String,
    pub allowed: &'static str,
}

#[cfg(test)]
mod tests {
    use super::super::tuning::LoraTargets;
    use super::*;

    #[test]
    fn every_preset_is_sound() {
        for size in [ModelSize::Tiny, ModelSize::Nano, ModelSize::Base, ModelSize::Large, ModelSize::Huge] {
            TrainConfig::preset(size).validate().unwrap();
            TrainConfig::for_mixed_pixels(size).validate().unwrap();
        }
    }

    #[test]
    fn more_labels_ask_for_more_epochs() {
        let nano = |pixels| TrainConfig::epochs_for(ModelSize::Nano, pixels);
        assert_eq!([nano(2), nano(160), nano(695), nano(100_000)], [60, 60, 173, 240]);
        assert_eq!(nano(160), TrainConfig::preset(ModelSize::Nano).epochs);
        assert_eq!(TrainConfig::epochs_for(ModelSize::Base, 695), TrainConfig::preset(ModelSize::Base).epochs);
    }

    #[test]
    fn unusable_fields_are_named() {
        type Spoil = fn(&mut TrainConfig);
        let broken: [(&str, Spoil); 12] = [
            ("patch", |config| config.patch = Some(3)),
            ("components", |config| config.components = 0),
            ("tile", |config| config.tile = 4),
            ("tile_overlap", |config| config.tile_overlap = config.tile),
            ("epochs", |config| config.epochs = 0),
            ("learning_rate", |config| config.learning_rate = f64::NAN),
            ("layer_decay", |config| config.layer_decay = 0.0),
            ("augmentation.spectral_noise", |config| config.augmentation.spectral_noise = f32::INFINITY),
            ("test_time_shifts", |config| config.test_time_shifts = 0),
            ("tuning.lora.rank", |config| config.tuning = Tuning::Lora(Lora { rank: 0, ..Lora::default() })),
            ("tuning.lora.alpha", |config| config.tuning = Tuning::Lora(Lora { alpha: f64::NAN, ..Lora::default() })),
            ("tuning.lora.targets", |config| {
                let targets = LoraTargets { qkv: false, proj: false, fc1: false, fc2: false };
                config.tuning = Tuning::Lora(Lora { targets, ..Lora::default() });
            }),
        ];
        for (field, spoil) in broken {
            let mut config = TrainConfig::default();
            spoil(&mut config);
            let error = config.validate().unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.to_string().contains(field));
        }
    }

    #[test]
    fn settings_of_an_older_version_open_with_defaults() {
        let config: TrainConfig =
            serde_json::from_str(r#"{"size":"nano","epochs":7,"augmentation":{"jitter":1}}"#).unwrap();
        assert_eq!(config.epochs, 7);
        assert_eq!(config.augmentation, Augmentation { jitter: 1, ..Augmentation::default() });
        assert_eq!(config.learning_rate, TrainConfig::default().learning_rate);
    }
}
