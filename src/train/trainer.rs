//! One training run as a machine that is driven step by step.
//!
//! Nothing here blocks, sleeps, looks at a clock or starts a thread: whoever drives it (the worker's job, the command
//! line, a test) calls [`Trainer::step`] until [`Trainer::finished`], and may stop, pause or take a checkpoint between
//! any two calls. The device is read once an epoch, asynchronously.

use std::rc::Rc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::augment::{Sample, augmented, plain, step_generator};
use super::config::TrainConfig;
use super::data::TrainingData;
use super::error::TrainError;
use super::info::BaseWeights;
use super::loss::{Targets, class_weights};
use super::network;
use super::optimizer::{AdamW, AdamWConfig};
use super::parameters::{Names, Values, WeightAverage, values, with_values};
use super::regularizer::Regularizer;
use super::schedule::Schedule;
use crate::model::{Config, HyperSigma, Pass};
use crate::weights::Pretrained;

/// What one epoch did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// 1-based.
    pub epoch: usize,
    /// Mean training loss of its steps.
    pub loss: f32,
    pub learning_rate: f64,
    /// Only in epochs that look at the validation pixels.
    pub validation: Option<Validation>,
}

/// A look at the validation pixels, without augmentation, by the weights that would map now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Share of the pixels that are right, 0..=1.
    pub accuracy: f32,
    /// Mean cross entropy, neither weighted nor smoothed.
    pub loss: f32,
}

impl Validation {
    /// Higher accuracy; with equal accuracy lower loss.
    fn beats(&self, other: &Self) -> bool {
        self.accuracy > other.accuracy || (self.accuracy == other.accuracy && self.loss < other.loss)
    }
}

/// The weights to map with, as of some epoch.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) epoch: usize,
    pub(super) validation: Option<Validation>,
    pub(super) values: Values,
}

/// Where a run stands; everything but tensors. Part of a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Finished epochs.
    pub(super) epoch: usize,
    /// Validations since the best one.
    pub(super) stale: usize,
    pub(super) stopped: bool,
    pub(super) history: Vec<EpochReport>,
}

/// A training run.
pub struct Trainer {
    pub(super) config: TrainConfig,
    pub(super) shape: Config,
    pub(super) data: TrainingData,
    /// What the run started from.
    pretrained: Option<(Rc<Pretrained>, BaseWeights)>,
    pub(super) device: Device,
    pub(super) names: Names,
    pub(super) model: Option<HyperSigma>,
    pub(super) optimizer: AdamW,
    pub(super) average: Option<WeightAverage>,
    pub(super) kept: Option<Kept>,
    pub(super) progress: Progress,
    weights: Vec<f32>,
    deviations: Vec<f32>,
    schedule: Schedule,
    regularizers: Vec<Box<dyn Regularizer>>,
    /// Tiles with training pixels, in the order of the running epoch, and how many of them are done.
    order: Vec<usize>,
    done: usize,
    /// Sum of the losses of the running epoch, on the device.
    loss: Option<Tensor<1>>,
}

impl Trainer {
    /// A run from random weights drawn from the configuration's seed, on `device` (without autodiff; it is added here).
    ///
    /// # Errors
    /// [`TrainError`] when the configuration or the network's shape is impossible, or tiles are still to be read.
    pub fn new(config: TrainConfig, data: TrainingData, device: &Device) -> Result<Self, TrainError> {
        Self::starting_from(config, data, device, None)
    }

    /// A run from pretrained weights; what they lack is drawn from the configuration's seed. `config` is best told of them
    /// before the data is cut ([`TrainConfig::adopt`]). The file is hashed unless that is done already
    /// ([`Pretrained::hash_next`]), because model and checkpoint say what they started from.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when the weights do not fit the network or cannot be read.
    pub fn starting_from(
        config: TrainConfig,
        data: TrainingData,
        device: &Device,
        pretrained: Option<&Rc<Pretrained>>,
    ) -> Result<Self, TrainError> {
        config.validate()?;
        let weights = pretrained.map(Rc::as_ref);
        let shape = network::shape(&config, data.layout().size(), data.components(), data.classes(), weights)?;
        let base = match weights {
            None => None,
            Some(weights) => Some(BaseWeights { name: weights.name().to_owned(), sha256: weights.sha256()? }),
        };
        let device = device.clone().autodiff();
        let model = network::start(&shape, &config, weights, &device)?;
        let names = network::names(&model);
        let optimizer = AdamW::new(
            AdamWConfig {
                beta2: config.beta2,
                weight_decay: config.weight_decay,
                layer_decay: config.layer_decay,
                clip_norm: (config.clip_norm > 0.0).then_some(config.clip_norm),
                ..AdamWConfig::default()
            },
            network::depth(&shape),
            names.clone(),
        );
        let average =
            (config.weight_average > 0.0).then(|| WeightAverage::new(config.weight_average, values(&model, &names)));
        Ok(Self {
            weights: class_weights(&data.class_counts(), config.class_balanced),
            deviations: data.deviations(),
            schedule: Schedule::new(config.learning_rate, config.warmup_epochs, config.epochs),
            regularizers: Vec::new(),
            order: Vec::new(),
            done: 0,
            loss: None,
            progress: Progress::default(),
            kept: None,
            average,
            optimizer,
            names,
            model: Some(model),
            device,
            data,
            shape,
            config,
            pretrained: pretrained.cloned().zip(base),
        })
    }

    /// Adds a term to every gradient from the next step on.
    pub fn add_regularizer(&mut self, regularizer: Box<dyn Regularizer>) {
        self.regularizers.push(regularizer);
    }

    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The weights that the run started from.
    pub fn pretrained(&self) -> Option<&Rc<Pretrained>> {
        self.pretrained.as_ref().map(|(pretrained, _)| pretrained)
    }

    /// Their name and hash.
    pub fn base(&self) -> Option<&BaseWeights> {
        self.pretrained.as_ref().map(|(_, base)| base)
    }

    /// The network's shape.
    pub fn shape(&self) -> &Config {
        &self.shape
    }

    /// Number of epochs done and of all.
    pub fn epochs(&self) -> (usize, usize) {
        (self.progress.epoch, self.config.epochs)
    }

    /// Steps done in the running epoch and in every epoch.
    pub fn steps(&self) -> (usize, usize) {
        (self.done, self.training_tiles().count())
    }

    /// All epochs so far.
    pub fn history(&self) -> &[EpochReport] {
        &self.progress.history
    }

    /// Whether there is nothing left to train: all epochs done, or stopped early.
    pub fn finished(&self) -> bool {
        self.progress.stopped || self.progress.epoch >= self.config.epochs
    }

    /// Ends the run after the epochs done so far.
    pub fn stop(&mut self) {
        self.progress.stopped = true;
    }

    /// Forgets the steps of the running epoch.
    pub(super) fn restart_epoch(&mut self) {
        self.done = 0;
        self.loss = None;
    }

    fn training_tiles(&self) -> impl Iterator<Item = usize> + '_ {
        let teaches =
            |tile: &usize| self.data.tiles()[*tile].train.iter().any(|target| self.weights[target.class] > 0.0);
        (0..self.data.tiles().len()).filter(teaches)
    }

    /// Takes one step: one tile forward, backward and into the weights. Gives a report when it was the last of its epoch.
    ///
    /// # Errors
    /// [`TrainError::Diverged`], [`TrainError::Device`]. After either the run cannot go on.
    pub async fn step(&mut self) -> Result<Option<EpochReport>, TrainError> {
        if self.finished() {
            return Ok(None);
        }
        let epoch = self.progress.epoch;
        if self.done == 0 {
            self.order = self.shuffled(epoch);
        }
        let rate = self.schedule.rate(epoch);
        if let Some(&tile) = self.order.get(self.done) {
            self.learn(epoch, tile, rate)?;
            self.done += 1;
        }
        if self.done < self.order.len() {
            return Ok(None);
        }
        self.end_epoch(rate).await.map(Some)
    }

    /// Steps to the end of the epoch.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn epoch(&mut self) -> Result<Option<EpochReport>, TrainError> {
        while !self.finished() {
            if let Some(report) = self.step().await? {
                return Ok(Some(report));
            }
        }
        Ok(None)
    }

    /// Tiles of an epoch in random order (Fisher and Yates).
    fn shuffled(&self, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = self.training_tiles().collect();
        let mut generator = ChaCha8Rng::seed_from_u64(self.config.seed);
        generator.set_stream((epoch as u64) << 32);
        for last in (1..order.len()).rev() {
            order.swap(last, generator.random_range(0..=last));
        }
        order
    }

    fn learn(&mut self, epoch: usize, tile: usize, rate: f64) -> Result<(), TrainError> {
        let mut generator = step_generator(self.config.seed, epoch, tile);
        let data = &self.data.tiles()[tile];
        let sample =
            augmented(&data.area, &data.cut, &data.train, &self.deviations, &self.config.augmentation, &mut generator);
        let targets = Targets::new(&sample.targets, &self.weights, self.config.label_smoothing, &self.device);
        // A random cut can miss the few pixels of a tile.
        let Some(targets) = targets else { return Ok(()) };
        let Some(model) = self.model.take() else {
            return Err(TrainError::Device("the step before failed".to_owned()));
        };
        let input = self.input(sample);
        let pass = &mut Pass::training(&mut generator);
        let (loss, gradients) = if self.config.checkpointing {
            model.gradients_by_block(input, pass, |logits| targets.cross_entropy(logits))
        } else {
            let loss = targets.cross_entropy(model.forward_with(input, pass));
            let gradients = loss.backward();
            (loss, gradients)
        };
        let loss = loss.inner();
        self.loss = Some(match self.loss.take() {
            Some(sum) => sum + loss,
            None => loss,
        });
        let regularizers: Vec<&dyn Regularizer> = self.regularizers.iter().map(AsRef::as_ref).collect();
        let model = self.optimizer.step(model, gradients, rate, &regularizers);
        if let Some(average) = &mut self.average {
            average.update(values(&model, &self.names), self.optimizer.steps());
        }
        self.model = Some(model);
        Ok(())
    }

    fn input(&self, sample: Sample) -> Tensor<4> {
        let [height, width] = self.data.layout().size();
        Tensor::from_data(TensorData::new(sample.pixels, [1, self.data.components(), height, width]), &self.device)
    }

    async fn end_epoch(&mut self, learning_rate: f64) -> Result<EpochReport, TrainError> {
        let epoch = self.progress.epoch + 1;
        let steps = self.done.max(1);
        let loss = match self.loss.take() {
            Some(sum) => sum.into_scalar_async::<f32>().await? / steps as f32,
            None => 0.0,
        };
        if !loss.is_finite() {
            return Err(TrainError::Diverged { epoch });
        }
        self.done = 0;
        self.progress.epoch = epoch;
        let every = self.config.validate_every;
        let looks = every > 0 && self.data.validation_pixels() > 0;
        let due = looks && (epoch.is_multiple_of(every) || epoch == self.config.epochs);
        let validation = if due { Some(self.validate().await?) } else { None };
        if let Some(new) = validation.filter(|_| self.config.keep_best || self.config.patience > 0) {
            match self.kept.as_ref().and_then(|kept| kept.validation) {
                Some(old) if !new.beats(&old) => {
                    self.progress.stale += 1;
                    self.progress.stopped |= self.config.patience > 0 && self.progress.stale >= self.config.patience;
                }
                _ => {
                    self.progress.stale = 0;
                    self.kept = Some(Kept { epoch, validation, values: self.current() });
                }
            }
        }
        let report = EpochReport { epoch, loss, learning_rate, validation };
        self.progress.history.push(report);
        Ok(report)
    }

    /// The weights that would map now: the running average where there is one.
    fn current(&self) -> Values {
        match (&self.average, &self.model) {
            (Some(average), _) => average.values().clone(),
            (None, Some(model)) => values(model, &self.names),
            (None, None) => Values::new(),
        }
    }

    /// The weights to map with and the epoch they are from: the best on the validation pixels so far where the
    /// configuration asks for them, otherwise the newest.
    pub fn best(&self) -> (usize, Values) {
        match &self.kept {
            Some(kept) => (kept.epoch, kept.values.clone()),
            None => (self.progress.epoch, self.current()),
        }
    }

    /// A network outside autodiff that maps with [`best`](Self::best)'s weights.
    ///
    /// # Errors
    /// [`TrainError::Device`] when the step before failed.
    pub fn best_network(&self) -> Result<HyperSigma, TrainError> {
        Ok(with_values(self.model()?.valid(), &self.names, &self.best().1))
    }

    fn model(&self) -> Result<&HyperSigma, TrainError> {
        self.model.as_ref().ok_or_else(|| TrainError::Device("the step before failed".to_owned()))
    }

    async fn validate(&self) -> Result<Validation, TrainError> {
        let model = with_values(self.model()?.valid(), &self.names, &self.current());
        let device = self.device.clone().inner();
        let (mut right, mut loss, mut count) = (0usize, 0.0f64, 0usize);
        for tile in self.data.tiles().iter().filter(|tile| !tile.val.is_empty()) {
            let sample = plain(&tile.area, &tile.cut, &tile.val);
            let targets = sample.targets.clone();
            let input = self.input(sample).to_device(&device);
            let logits = model.forward(input); // [1, K, H, W]
            let positions: Vec<u32> = targets.iter().map(|target| target.0).collect();
            let scores = super::loss::picked(logits, &positions).into_data_async().await?;
            let scores: Vec<f32> = scores.iter::<f32>().collect(); // [K, n]
            for (pixel, &(_, class)) in targets.iter().enumerate() {
                let of = |class: usize| f64::from(scores[class * targets.len() + pixel]);
                let largest = (0..self.data.classes()).map(of).fold(f64::MIN, f64::max);
                let norm = (0..self.data.classes()).map(|class| (of(class) - largest).exp()).sum::<f64>().ln();
                right += usize::from(of(class) >= largest);
                loss += norm + largest - of(class);
                count += 1;
            }
        }
        let count = count.max(1);
        Ok(Validation { accuracy: right as f32 / count as f32, loss: (loss / count as f64) as f32 })
    }
}
