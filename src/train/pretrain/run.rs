//! One pre-training run as a machine that is driven step by step, like [`Trainer`](super::super::Trainer).

use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::super::augment::step_generator;
use super::super::checkpoint::{Numbers, Pending};
use super::super::error::TrainError;
use super::super::network;
use super::super::optimizer::{AdamW, AdamWConfig};
use super::super::parameters::{Named, Names, Values, WeightAverage, upload, values, with_values};
use super::super::schedule::Schedule;
use super::config::PretrainConfig;
use super::episode::{Episode, shuffle};
use super::views::{FieldMeans, Prepared};
use crate::model::{Autoencoder, Config, Initializer, Mask, Parameter, ParameterError, ParameterSource, REDUCED};

/// Rises whenever [`Checkpoint`] changes.
const VERSION: u32 = 1;

/// What one epoch did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PretrainReport {
    /// 1-based.
    pub epoch: usize,
    pub learning_rate: f64,
    /// Mean losses of its steps; 0 where the task is left out.
    pub spatial: f32,
    pub spectral: f32,
    pub episodes: f32,
    pub fields: f32,
}

/// The tasks whose losses are reported.
const TASKS: usize = 4;

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    version: u32,
    config: PretrainConfig,
    history: Vec<PretrainReport>,
    steps: u32,
    weights: Numbers,
    moments: Numbers,
    average: Numbers,
}

/// A pre-training run.
pub struct Pretrainer {
    config: PretrainConfig,
    shape: Config,
    device: Device,
    /// All parameters but those that are neither trained nor kept.
    table: Vec<Parameter>,
    names: Names,
    /// Parameters that belong to one scene's tile: drawn anew every epoch where only episodes train.
    bound: Names,
    model: Option<Autoencoder>,
    optimizer: AdamW,
    average: WeightAverage,
    schedule: Schedule,
    history: Vec<PretrainReport>,
    scenes: Vec<Prepared>,
    /// Scene of each step of the running epoch, and how many of them are done.
    order: Vec<usize>,
    done: usize,
    sums: [Option<Tensor<1>>; TASKS],
}

/// Fresh parameters but for two: the last layer passes features on, because tasks compare features, not classes; and
/// attention starts by looking around, on rings that widen from block to block and from head to head, because it takes long
/// to learn from its own place outward.
struct Start {
    fresh: Initializer,
    heads: usize,
}

impl ParameterSource for Start {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        let len = shape.iter().product();
        match name {
            "cls.weight" => Ok((0..len).map(|at| f32::from(u8::from(at / REDUCED == at % REDUCED))).collect()),
            "cls.bias" => Ok(vec![0.0; len]),
            _ => match name.strip_prefix("spat_encoder.blocks.").and_then(|rest| rest.split_once(".attn.sampling_off"))
            {
                Some((block, "sets.bias")) => Ok(rings(block.parse().unwrap_or(0), self.heads, len)),
                _ => self.fresh.values(name, shape),
            },
        }
    }
}

/// Offsets `[head][point][dx, dy]` in grid cells: the points of a head lie evenly on a ring.
fn rings(block: u32, heads: usize, len: usize) -> Vec<f32> {
    let points = len / 2 / heads.max(1);
    let place = |at: usize| {
        let (head, point) = (at / 2 / points, at / 2 % points);
        let radius = 1.6f64.powi(block.min(8) as i32) * 0.5 * (head % 4 + 1) as f64;
        let angle = std::f64::consts::TAU * (point as f64 + 0.5 * (head % 2) as f64) / points as f64;
        (radius * if at.is_multiple_of(2) { angle.cos() } else { angle.sin() }) as f32
    };
    (0..len).map(place).collect()
}

/// Whether a parameter fits one size of tile only.
pub(super) fn is_bound(name: &str) -> bool {
    name == "spat_encoder.pos_embed" || name.starts_with("spec_encoder.spat_map.")
}

/// Whether a parameter serves the pre-training only.
pub(super) fn is_scaffold(name: &str) -> bool {
    name.starts_with("mae_") || name.starts_with("cls.")
}

impl Pretrainer {
    /// A run from random weights drawn from the configuration's seed, on `device` (without autodiff; it is added here).
    ///
    /// # Errors
    /// [`TrainError`] when the configuration or the network's shape is impossible.
    pub fn new(config: PretrainConfig, device: &Device) -> Result<Self, TrainError> {
        config.validate()?;
        let training = config.training();
        let shape = network::shape(&training, [config.tile; 2], config.components, REDUCED, None)?;
        let device = device.clone().autodiff();
        let mut start = Start { fresh: Initializer::new(config.seed), heads: shape.heads };
        let model = Autoencoder::new(&shape, &mut start, &device);
        let (model, table) = model.map_err(|error| TrainError::Network(error.to_string()))?;
        let fixed = config.autoencoding == 0.0;
        let names = |wanted: &dyn Fn(&str) -> bool| -> Names {
            let wanted = table.iter().filter(|parameter| wanted(&parameter.name));
            let named = |parameter: &Parameter| Named { name: parameter.name.clone(), decays: parameter.decays() };
            wanted.map(|parameter| (parameter.id, named(parameter))).collect()
        };
        let trained = names(&|name| !(name.starts_with("cls.") || fixed && is_bound(name)));
        let bound = names(&|name| fixed && is_bound(name));
        let optimizer = AdamW::new(
            AdamWConfig {
                beta2: config.beta2,
                weight_decay: config.weight_decay,
                clip_norm: (config.clip_norm > 0.0).then_some(config.clip_norm),
                ..AdamWConfig::default()
            },
            network::depth(&shape),
            trained.clone(),
        );
        Ok(Self {
            average: WeightAverage::new(config.weight_average, values(&model, &trained)),
            schedule: Schedule::new(config.learning_rate, config.warmup_epochs, config.epochs),
            history: Vec::new(),
            scenes: Vec::new(),
            order: Vec::new(),
            done: 0,
            sums: [const { None }; TASKS],
            optimizer,
            names: trained,
            bound,
            table,
            model: Some(model),
            device,
            shape,
            config,
        })
    }

    pub fn config(&self) -> &PretrainConfig {
        &self.config
    }

    /// The network's shape, for the tile of the pre-training.
    pub fn shape(&self) -> &Config {
        &self.shape
    }

    /// All epochs so far.
    pub fn history(&self) -> &[PretrainReport] {
        &self.history
    }

    pub fn finished(&self) -> bool {
        self.history.len() >= self.config.epochs
    }

    /// One epoch: new scenes, a step for each look at each of them. `None` when all are done.
    ///
    /// # Errors
    /// [`TrainError::Diverged`], [`TrainError::Device`]; the run cannot go on then.
    pub async fn epoch(&mut self) -> Result<Option<PretrainReport>, TrainError> {
        while !self.finished() {
            if let Some(report) = self.step().await? {
                return Ok(Some(report));
            }
        }
        Ok(None)
    }

    /// Takes one step. Gives a report when it was the last of its epoch.
    ///
    /// # Errors
    /// As [`epoch`](Self::epoch).
    pub async fn step(&mut self) -> Result<Option<PretrainReport>, TrainError> {
        if self.finished() {
            return Ok(None);
        }
        let epoch = self.history.len();
        if self.done == 0 {
            self.begin(epoch)?;
        }
        let rate = self.schedule.rate(epoch);
        self.learn(epoch, rate)?;
        self.done += 1;
        if self.done < self.order.len() {
            return Ok(None);
        }
        self.end(epoch, rate).await.map(Some)
    }

    /// Makes the scenes of an epoch; all that is drawn depends on the seed and the epoch only.
    fn begin(&mut self, epoch: usize) -> Result<(), TrainError> {
        let Self { config, .. } = self;
        let first = epoch as u64 * config.scenes as u64;
        let seed = |scene: u64| config.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(first + scene);
        self.scenes =
            (0..config.scenes as u64).map(|scene| Prepared::new(seed(scene), config)).collect::<Result<_, _>>()?;
        self.order = (0..config.scenes * config.views).map(|step| step % config.scenes).collect();
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        random.set_stream((epoch as u64) << 32);
        shuffle(&mut self.order, &mut random);
        let mut fresh = Initializer::new(config.seed ^ (epoch as u64 + 1).wrapping_mul(0xD6E8_FEB8_6659_FD93));
        let mut drawn = std::collections::BTreeMap::new();
        for parameter in self.table.iter().filter(|parameter| self.bound.get(parameter.id).is_some()) {
            let values = fresh.values(&parameter.name, &parameter.shape);
            let values = values.map_err(|error| TrainError::Network(error.to_string()))?;
            drawn.insert(parameter.name.clone(), parameter.from_official(values));
        }
        let drawn = upload(&drawn, &self.device.clone().inner());
        self.model = self.model.take().map(|model| with_values(model, &self.bound, &drawn));
        Ok(())
    }

    fn learn(&mut self, epoch: usize, rate: f64) -> Result<(), TrainError> {
        let Self { config, shape, .. } = self;
        let mut random = step_generator(config.seed, epoch, self.done);
        let view = self.scenes[self.order[self.done]].view(config, &mut random);
        let episode = Episode::draw(&view.labelled, config.apart, &mut random);
        let tile = config.tile;
        let means = view.field_means();
        let x = Tensor::<4>::from_data(TensorData::new(view.pixels, [1, config.components, tile, tile]), &self.device);
        let Some(model) = self.model.take() else {
            return Err(TrainError::Device("the step before failed".to_owned()));
        };
        let mut parts: [Option<(Tensor<1>, f64)>; TASKS] = [const { None }; TASKS];
        if config.autoencoding > 0.0 {
            let spatial = Mask::draw(shape.grid(), config.mask_cell, config.mask_ratio, &mut random);
            // Where bands are few, neighbouring tokens repeat them: those are hidden together.
            let run = shape.spectral_tokens.div_ceil(config.components);
            let spectral = Mask::draw([1, shape.spectral_tokens], run, config.mask_ratio, &mut random);
            let [spatial, spectral] = model.losses(x.clone(), &spatial, &spectral);
            parts[0] = Some((spatial, config.autoencoding));
            parts[1] = Some((spectral, config.autoencoding));
        }
        let episode = episode.filter(|_| config.episodes > 0.0);
        if episode.is_some() || config.fields > 0.0 {
            let features = model.network().forward(x); // [1, 128, H, W]
            let loss = episode.and_then(|episode| episode.loss(features.clone(), &self.device));
            parts[2] = loss.map(|loss| (loss, config.episodes));
            if config.fields > 0.0 {
                let FieldMeans { values, scales, square } = means;
                let shape = [tile * tile, config.components];
                let values = Tensor::<2>::from_data(TensorData::new(values, shape), &self.device);
                let scales = Tensor::<2>::from_data(TensorData::new(scales, [1, config.components]), &self.device);
                let error = model.surroundings(features) * scales - values;
                let loss = error.clone().mul(error).mean().div_scalar(square);
                parts[3] = Some((loss, config.fields));
            }
        }
        let mut total: Option<Tensor<1>> = None;
        for (part, sum) in parts.into_iter().zip(&mut self.sums) {
            let Some((loss, weight)) = part else { continue };
            let seen = loss.clone().inner();
            *sum = Some(match sum.take() {
                Some(sum) => sum + seen,
                None => seen,
            });
            let loss = loss.mul_scalar(weight);
            total = Some(match total {
                Some(total) => total + loss,
                None => loss,
            });
        }
        // A tile with one class only has nothing to ask.
        let Some(total) = total else {
            self.model = Some(model);
            return Ok(());
        };
        let model = self.optimizer.step(model, total.backward(), rate, &[]);
        self.average.update(values(&model, &self.names), self.optimizer.steps());
        self.model = Some(model);
        Ok(())
    }

    async fn end(&mut self, epoch: usize, learning_rate: f64) -> Result<PretrainReport, TrainError> {
        let steps = self.done.max(1) as f32;
        let mut means = [0.0; TASKS];
        for (mean, sum) in means.iter_mut().zip(&mut self.sums) {
            if let Some(sum) = sum.take() {
                *mean = sum.into_scalar_async::<f32>().await? / steps;
            }
        }
        let [spatial, spectral, episodes, fields] = means;
        if !means.iter().all(|mean| mean.is_finite()) {
            return Err(TrainError::Diverged { epoch: epoch + 1 });
        }
        self.done = 0;
        let report = PretrainReport { epoch: epoch + 1, learning_rate, spatial, spectral, episodes, fields };
        self.history.push(report);
        Ok(report)
    }

    /// What is kept of the run: the running average of every parameter that any scene can use, under its official name, with
    /// its official shape, row-major.
    ///
    /// # Errors
    /// [`TrainError::Device`] when the device cannot be read.
    pub async fn weights(&self) -> Result<Vec<(Parameter, Vec<f32>)>, TrainError> {
        let kept = |parameter: &&Parameter| !is_bound(&parameter.name) && !is_scaffold(&parameter.name);
        let kept: Vec<Parameter> = self.table.iter().filter(kept).cloned().collect();
        let tensors = kept.iter().filter_map(|parameter| self.average.values().get(&parameter.name).cloned());
        let data = super::super::parameters::read(tensors.collect()).await?;
        let official = |(parameter, values): (Parameter, Vec<f32>)| {
            let values = parameter.to_official(values);
            (parameter, values)
        };
        Ok(kept.into_iter().zip(data).map(official).collect())
    }

    /// The run as bytes, between two epochs; steps of a running epoch are taken again after [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`TrainError::Device`] when the device cannot be read.
    pub async fn checkpoint(&self) -> Result<Vec<u8>, TrainError> {
        let mut pending = Pending::default();
        let counts = [
            pending.add(self.model.iter().flat_map(|model| values(model, &self.names))),
            pending.add(self.optimizer.state()),
            pending.add(self.average.values().clone()),
        ];
        let [weights, moments, average] = pending.read(counts).await?;
        let checkpoint = Checkpoint {
            version: VERSION,
            config: self.config.clone(),
            history: self.history.clone(),
            steps: self.optimizer.steps(),
            weights,
            moments,
            average,
        };
        postcard::to_stdvec(&checkpoint).map_err(|error| TrainError::Checkpoint(error.to_string()))
    }

    /// Continues from [`checkpoint`](Self::checkpoint)'s bytes; on the same device the rest of the run is the same bit for
    /// bit as if it had never been interrupted. The run must have been made with the same settings.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when the bytes are broken, from another version, or belong to other settings; the run
    /// should not be used then.
    pub fn resume(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        let broken = |what: &str| TrainError::Checkpoint(what.to_owned());
        let (version, _) = postcard::take_from_bytes::<u32>(bytes).map_err(|_| broken("it is broken"))?;
        if version != VERSION {
            return Err(broken("it was made by another version of this program"));
        }
        let checkpoint: Checkpoint = postcard::from_bytes(bytes).map_err(|_| broken("it is broken"))?;
        if checkpoint.config != self.config {
            return Err(broken("it was made with other settings"));
        }
        let inner = self.device.clone().inner();
        let expected = self.average.values().clone();
        let on_device = |numbers: Numbers| -> Result<Values, TrainError> {
            let found = upload(&numbers.decode()?, &inner);
            let fits = found.len() == expected.len()
                && expected.iter().all(|(name, own)| found.get(name).is_some_and(|other| other.dims() == own.dims()));
            if fits { Ok(found) } else { Err(broken("its weights do not fit the network")) }
        };
        let (weights, average) = (on_device(checkpoint.weights)?, on_device(checkpoint.average)?);
        self.model = self.model.take().map(|model| with_values(model, &self.names, &weights));
        self.average = WeightAverage::new(self.config.weight_average, average);
        self.optimizer
            .restore(checkpoint.steps, checkpoint.moments.decode()?.into_iter().collect(), &inner)
            .map_err(|name| TrainError::Checkpoint(format!("the optimiser's state of {name} is broken")))?;
        self.history = checkpoint.history;
        self.done = 0;
        self.sums = [const { None }; TASKS];
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_starts_on_rings_that_widen() {
        let shape = [64];
        let mut start = Start { fresh: Initializer::new(0), heads: 4 };
        let mut radii = |block: usize| -> Vec<f32> {
            let name = format!("spat_encoder.blocks.{block}.attn.sampling_offsets.bias");
            let values = start.values(&name, &shape).unwrap();
            values.chunks_exact(2).map(|offset| offset[0].hypot(offset[1])).collect()
        };
        for (point, radius) in radii(0).into_iter().enumerate() {
            assert!((radius - 0.5 * (point / 8 + 1) as f32).abs() < 1e-5, "{point}: {radius}");
        }
        assert!((radii(3)[31] / radii(0)[31] - 1.6f32.powi(3)).abs() < 1e-4);
        // The weight is drawn as ever, and so are the spectral encoder's offsets.
        let name = "spec_encoder.blocks.0.attn.sampling_offsets.bias";
        assert_eq!(start.values(name, &shape), Initializer::new(0).values(name, &shape));
    }
}
