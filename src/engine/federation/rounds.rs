//! Local training of one round: from the common model, pulled to the federation's scopes, to what is sent back.

use burn::tensor::Device;

use super::scene::FederatedScene;
use crate::federation::client::Trained;
use crate::federation::protocol::{ClientId, Definition, Hash, LayerTarget, LocalWork, Metrics, WsaSchedule};
use crate::labels::Accuracy;
use crate::model::SafetensorsSource;
use crate::preprocess::Projection;
use crate::train::{
    Assessment, CubeView, EpochReport, Proximal, Ramp, Schedule, ScopeAlignment, TrainError, Trainer, TrainingData,
};

/// What a round begins with.
pub struct RoundPlan<'a> {
    pub definition: &'a Definition,
    /// 1 is the first.
    pub round: u32,
    pub client: ClientId,
    /// The common model, a safetensors file.
    pub model: &'a [u8],
    pub hash: Hash,
    pub targets: &'a [LayerTarget],
}

/// A round being trained, driven step by step like [`Trainer`].
pub struct LocalRound {
    trainer: Trainer,
    /// Steps that are left, where the federation counts steps.
    steps_left: Option<usize>,
    samples: u64,
    round: u32,
    model: Hash,
}

impl FederatedScene {
    /// The tiles that training and measuring need, still to be read; the same for every round with one projection.
    ///
    /// # Errors
    /// [`TrainError`] when labels and network do not fit the scene.
    pub fn data(&self, projection: &Projection) -> Result<TrainingData, TrainError> {
        let (view, config) = (CubeView { cube: &self.cube, projection }, self.network.local(1, 0));
        if projection.len() != self.network.components {
            return Err(TrainError::Components { expected: self.network.components, found: projection.len() });
        }
        TrainingData::of_size(&view, projection.len(), self.classes.len(), &self.split, &config, self.network.tile)
    }
}

impl LocalRound {
    /// `data` has been read whole. Nothing is trained yet.
    ///
    /// # Errors
    /// [`TrainError`] when the model does not fit the network.
    pub fn new(
        plan: &RoundPlan<'_>,
        scene: &FederatedScene,
        data: TrainingData,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let definition = plan.definition;
        let (epochs, steps) = match definition.local {
            LocalWork::Epochs(epochs) => (epochs as usize, None),
            LocalWork::Steps(steps) => (steps as usize, Some(steps as usize)),
        };
        let mix = u64::from_le_bytes(plan.client.0) ^ u64::from(plan.round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let config = scene.network.local(epochs, scene.network.config.seed ^ mix);
        let mut trainer = Trainer::starting_from(config, data, device, scene.backbone.as_ref())?;
        let mut model = SafetensorsSource::new(plan.model).map_err(|error| TrainError::Network(error.to_string()))?;
        trainer.begin_from(&mut model)?;
        // One schedule over all rounds: within a round of a few epochs a cosine of its own would only waste them.
        let of_round = steps.map_or(epochs, |steps| steps.div_ceil(trainer.steps().1.max(1)));
        let (rounds, before) = (definition.rounds as usize, plan.round.saturating_sub(1) as usize);
        let recipe = &scene.network.config;
        let schedule = Schedule::new(recipe.learning_rate, recipe.warmup_epochs, rounds.saturating_mul(of_round));
        trainer.follow_schedule(schedule, before.saturating_mul(of_round));
        let algorithm = &definition.algorithm;
        if let Some(wsa) = algorithm.wsa {
            let ramp = match wsa.schedule {
                WsaSchedule::Constant => Ramp::Constant,
                WsaSchedule::WarmUp { steps } => Ramp::WarmUp { steps },
            };
            let targets = plan.targets.iter().map(|target| (target.name.clone(), target.target()));
            trainer.add_regularizer(Box::new(ScopeAlignment::new(wsa.lambda, ramp, targets)));
        }
        if algorithm.proximal > 0.0 {
            trainer.add_regularizer(Box::new(Proximal::new(algorithm.proximal, trainer.values()?)));
        }
        let samples = scene.split.train.len() as u64;
        Ok(Self { trainer, steps_left: steps, samples, round: plan.round, model: plan.hash })
    }

    /// How good the weights are now on the held-out pixels.
    ///
    /// # Errors
    /// [`TrainError::Device`] when the device fails.
    pub async fn measure(&self) -> Result<Metrics, TrainError> {
        Ok(metrics(&self.trainer.assess().await?))
    }

    /// One step; a report at the end of each epoch.
    ///
    /// # Errors
    /// [`TrainError::Diverged`], [`TrainError::Device`].
    pub async fn step(&mut self) -> Result<Option<EpochReport>, TrainError> {
        if let Some(left) = &mut self.steps_left {
            if *left == 0 {
                self.trainer.stop();
                return Ok(None);
            }
            *left -= 1;
        }
        self.trainer.step().await
    }

    pub fn finished(&self) -> bool {
        self.steps_left == Some(0) || self.trainer.finished()
    }

    /// Epochs done and of all; steps, where the federation counts those.
    pub fn progress(&self) -> (usize, usize) {
        let (done, all) = self.trainer.epochs();
        self.steps_left.map_or((done, all), |left| (all - left, all))
    }

    /// How far the round is, between two epochs; `None` where it cannot be interrupted (steps do not end with epochs).
    ///
    /// # Errors
    /// [`TrainError::Device`] when the device cannot be read.
    pub async fn checkpoint(&self) -> Result<Option<Vec<u8>>, TrainError> {
        if self.steps_left.is_some() {
            return Ok(None);
        }
        let mut bytes = self.round.to_le_bytes().to_vec();
        bytes.extend(self.model.0);
        bytes.extend(self.trainer.checkpoint().await?);
        Ok(Some(bytes))
    }

    /// Goes on from a checkpoint, if it is one of this round; true where it is.
    pub fn resume(&mut self, bytes: &[u8]) -> bool {
        let head = [self.round.to_le_bytes().as_slice(), &self.model.0].concat();
        bytes.strip_prefix(head.as_slice()).is_some_and(|rest| self.trainer.resume(rest).is_ok())
    }

    /// What is sent back.
    ///
    /// # Errors
    /// [`TrainError::Device`] when the device fails.
    pub async fn result(&self) -> Result<Trained, TrainError> {
        let metrics = Some(self.measure().await?).filter(|metrics| metrics.samples > 0);
        let weights =
            self.trainer.read_values().await?.into_iter().map(|tensor| (tensor.name, tensor.values)).collect();
        Ok(Trained { weights, samples: self.samples, metrics })
    }
}

fn metrics(assessment: &Assessment) -> Metrics {
    let accuracy = Accuracy::from_confusion(assessment.confusion.clone()).ok();
    let told = |value: f64| value.is_finite().then_some(value);
    Metrics {
        samples: assessment.pixels(),
        loss: told(assessment.loss).filter(|_| assessment.pixels() > 0),
        overall_accuracy: accuracy.as_ref().and_then(|accuracy| told(accuracy.overall)),
        average_accuracy: accuracy.as_ref().and_then(|accuracy| told(accuracy.average)),
        kappa: accuracy.as_ref().and_then(|accuracy| told(accuracy.kappa)),
    }
}
