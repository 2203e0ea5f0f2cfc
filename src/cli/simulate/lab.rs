//! One lab: trains on its own labels, from a model that it is given.

use std::collections::BTreeMap;

use burn::tensor::{Device, read_sync};
use rand::Rng;

use super::partition::generator;
use super::plan::{Base, Plan};
use crate::labels::{LabelledPixel, Split};
use crate::model::{NamedValues, SafetensorsSource};
use crate::scope::Target;
use crate::train::{
    Assessment, ProjectedScene, Proximal, Ramp, Schedule, ScopeAlignment, TrainConfig, TrainError, Trainer,
    TrainingData,
};

/// What all labs see alike: the scene, projected, and the network's settings.
pub struct Scene<'a> {
    pub view: &'a dyn ProjectedScene,
    pub components: usize,
    pub classes: usize,
    pub config: TrainConfig,
    pub device: Device,
}

impl Scene<'_> {
    /// The pixels of a scene, read and ready to train on.
    ///
    /// # Errors
    /// Those of [`TrainingData::new`] and of reading.
    pub fn data(&self, train: &[LabelledPixel], look_at: &[LabelledPixel]) -> Result<TrainingData, TrainError> {
        let split = Split { train: train.to_vec(), val: look_at.to_vec(), ..Split::default() };
        let mut data = TrainingData::new(self.view, self.components, self.classes, &split, &self.config)?;
        data.read_all(self.view)?;
        Ok(data)
    }

    /// A network with the weights of a model file says what it thinks of the data's validation pixels.
    ///
    /// # Errors
    /// [`TrainError`] when the file is of another network or the device fails.
    pub fn assess(&self, model: &[u8], data: &TrainingData) -> Result<Assessment, TrainError> {
        let mut trainer = Trainer::new(self.config.clone(), data.clone(), &self.device)?;
        trainer.begin_from(&mut source(model)?)?;
        read_sync(trainer.assess())
    }
}

/// The weights of a model file.
///
/// # Errors
/// [`TrainError::Network`] when it is none.
pub fn source(model: &[u8]) -> Result<SafetensorsSource<'_>, TrainError> {
    SafetensorsSource::new(model).map_err(|error| TrainError::Network(error.to_string()))
}

/// How this lab trains.
#[derive(Debug, Clone, PartialEq)]
pub struct Habits {
    /// Whose they are.
    pub client: usize,
    /// A round
    pub epochs: usize,
    pub learning_rate: f64,
    pub weight_decay: f64,
    pub beta2: f64,
}

impl Habits {
    /// Drawn once for each lab.
    pub fn draw(plan: &Plan, client: usize, preset: &TrainConfig) -> Self {
        let mut rng = generator(plan.seed, (1 << 34) + client as u64);
        let Plan { local, .. } = plan;
        if local.variety <= 1.0 {
            let TrainConfig { learning_rate, weight_decay, beta2, .. } = *preset;
            return Self { client, epochs: local.epochs, learning_rate, weight_decay, beta2 };
        }
        let mut factor = || local.variety.powf(rng.random_range(-1.0..=1.0));
        let (learning_rate, weight_decay) = (preset.learning_rate * factor(), preset.weight_decay * factor());
        Self {
            client,
            epochs: rng.random_range(local.epochs.div_ceil(2)..=local.epochs),
            learning_rate,
            weight_decay,
            beta2: [0.9, 0.98, 0.999][rng.random_range(0..3)],
        }
    }
}

/// Trains for one round (0-based) of the plan. Gives the weights, in official shapes and order.
///
/// # Errors
/// [`TrainError`], for example when the training diverges.
pub fn train(
    scene: &Scene<'_>,
    plan: &Plan,
    round: u32,
    habits: &Habits,
    data: TrainingData,
    model: &[u8],
    targets: &BTreeMap<String, Target>,
) -> Result<Vec<NamedValues>, TrainError> {
    let config = TrainConfig {
        epochs: habits.epochs,
        learning_rate: habits.learning_rate,
        weight_decay: habits.weight_decay,
        beta2: habits.beta2,
        // Augmentation and dropped paths differ from lab to lab and from round to round.
        seed: plan.seed ^ (u64::from(round) << 40 | (habits.client as u64) << 20 | 1),
        ..scene.config.clone()
    };
    let schedule = Schedule::new(habits.learning_rate, config.warmup_epochs, plan.rounds as usize * habits.epochs);
    let mut trainer = Trainer::new(config, data, &scene.device)?;
    trainer.begin_from(&mut source(model)?)?;
    trainer.follow_schedule(schedule, round as usize * habits.epochs);
    let algorithm = plan.method.algorithm();
    if plan.method.base == Base::Fedprox {
        trainer.add_regularizer(Box::new(Proximal::new(algorithm.proximal, trainer.values()?)));
    }
    if let Some(wsa) = algorithm.wsa {
        let targets = targets.iter().map(|(name, target)| (name.clone(), *target));
        trainer.add_regularizer(Box::new(ScopeAlignment::new(wsa.lambda, Ramp::Constant, targets)));
    }
    while read_sync(trainer.epoch())?.is_some() {}
    read_sync(trainer.read_values())
}
