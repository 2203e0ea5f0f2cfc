//! A federation from its first round to its last, with the coordinator's own aggregation.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::read_sync;
use rand::seq::index::sample;
use serde::{Deserialize, Serialize};

use super::SimulateError;
use super::lab::{Habits, Scene, source, train};
use super::partition::{Partition, generator};
use super::plan::Plan;
use crate::coordinator::aggregate::{Contribution, Job, MODEL_HEADER_MAX, aggregate, scopes_of};
use crate::coordinator::source::path_source;
use crate::federation::protocol::{
    Binding, BlobRef, Class, ClientId, Deadlines, Definition, Encoder, Encoding, FederationId, Hash, Input,
    LayerTarget, Layout, Limits, LocalWork, Model, Privacy, Quorum, Start, Trainable, UpdatePlan, VERSION,
};
use crate::labels::Accuracy;
use crate::model::NamedValues;
use crate::scope::{Scope, Target, has_scope, kl};
use crate::train::{TrainConfig, TrainError, Trainer, TrainingData};

/// One run's figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub plan: Plan,
    pub clients: Vec<Client>,
    /// Of the global model, before the first round and after each.
    pub rounds: Vec<Round>,
    pub seconds: f64,
}

/// Who took part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Client {
    pub samples: usize,
    pub classes: Vec<u8>,
    /// A lab with fewer than two classes has nothing to train on.
    pub joins: bool,
}

/// The global model on the pixels nobody trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// 0 = before the first
    pub round: u32,
    pub overall: f64,
    pub average: f64,
    pub kappa: f64,
    pub loss: f64,
    /// Mean over layers and clients of the divergence of the clients' scopes from the round's targets; 0 before the first.
    pub divergence: f64,
}

impl Run {
    /// After the last round.
    pub fn last(&self) -> Option<&Round> {
        self.rounds.last()
    }
}

/// Runs a plan; files lie in `folder`, which is empty and is left so that it can be thrown away.
///
/// # Errors
/// [`SimulateError`]; a plan that none of the labs can join is one.
pub fn run(scene: &Scene<'_>, plan: &Plan, partition: &Partition, folder: &Path) -> Result<Run, SimulateError> {
    let started = std::time::Instant::now();
    let clients: Vec<Client> = (0..plan.clients)
        .map(|client| {
            let classes = partition.classes_of(client);
            Client { samples: partition.clients[client].len(), joins: classes.len() >= 2, classes }
        })
        .collect();
    let joined: Vec<usize> = (0..plan.clients).filter(|&client| clients[client].joins).collect();
    let Some(&first) = joined.first() else { return Err(SimulateError::NobodyJoins) };
    let mut data = BTreeMap::new();
    for &client in &joined {
        data.insert(client, scene.data(&partition.clients[client], &[])?);
    }
    // Only its validation pixels are looked at.
    let judge = scene.data(&partition.clients[first], &partition.test)?;
    let habits: Vec<Habits> = (0..plan.clients).map(|client| Habits::draw(plan, client, &scene.config)).collect();

    let path = folder.join("model-0");
    fs::write(&path, file_of(&initial(scene, plan.seed, judge.clone())?)?)?;
    let mut global = Global::open(scene, plan, path)?;
    let mut rounds = vec![look(scene, &global, &judge, 0, 0.0)?];
    for round in 0..plan.rounds {
        let asked = asked(plan, round, &joined);
        let (mut updates, mut divergence) = (Vec::new(), 0.0);
        for &client in &asked {
            let own = data[&client].clone();
            let trained = train(scene, plan, round, &habits[client], own, &global.bytes, &global.targets)?;
            let (update, apart) = global.update(round, client, clients[client].samples as u64, &trained, folder)?;
            updates.push(update);
            divergence += apart / asked.len() as f64;
        }
        global = global.next(round, updates, folder)?;
        rounds.push(look(scene, &global, &judge, round + 1, divergence)?);
    }
    Ok(Run { plan: plan.clone(), clients, rounds, seconds: started.elapsed().as_secs_f64() })
}

/// Which of the labs that joined take part in a round, ascending.
fn asked(plan: &Plan, round: u32, joined: &[usize]) -> Vec<usize> {
    let wanted = ((plan.participation * joined.len() as f64).round() as usize).clamp(1, joined.len());
    let mut rng = generator(plan.seed, (1 << 35) + u64::from(round));
    let mut asked: Vec<usize> = sample(&mut rng, joined.len(), wanted).into_iter().map(|at| joined[at]).collect();
    asked.sort_unstable();
    asked
}

/// A random network, from the plan's seed.
pub fn initial(scene: &Scene<'_>, seed: u64, data: TrainingData) -> Result<Vec<NamedValues>, SimulateError> {
    let config = TrainConfig { seed, ..scene.config.clone() };
    Ok(read_sync(Trainer::new(config, data, &scene.device)?.read_values())?)
}

/// Values as a model file.
pub fn file_of(values: &[NamedValues]) -> Result<Vec<u8>, SimulateError> {
    let tensors = values.iter().map(|tensor| (tensor.name.as_str(), tensor));
    safetensors::serialize(tensors, None).map_err(|error| TrainError::Network(error.to_string()).into())
}

fn look(
    scene: &Scene<'_>,
    global: &Global,
    judge: &TrainingData,
    round: u32,
    divergence: f64,
) -> Result<Round, SimulateError> {
    let assessment = scene.assess(&global.bytes, judge)?;
    let Accuracy { overall, average, kappa, .. } = Accuracy::from_confusion(assessment.confusion)?;
    Ok(Round { round, overall, average, kappa, loss: assessment.loss, divergence })
}

/// The model between two rounds.
struct Global {
    definition: Definition,
    updates: UpdatePlan,
    bytes: Vec<u8>,
    hash: Hash,
    path: std::path::PathBuf,
    optimizer: Option<std::path::PathBuf>,
    targets: BTreeMap<String, Target>,
}

const FEDERATION: FederationId = FederationId([0; 8]);

impl Global {
    fn open(scene: &Scene<'_>, plan: &Plan, path: std::path::PathBuf) -> Result<Self, SimulateError> {
        let bytes = fs::read(&path)?;
        let hash = Hash::of(&bytes);
        let definition = definition(scene, plan, BlobRef { sha256: hash, bytes: bytes.len() as u64 });
        let layout = Layout::read(path_source(&path)?.as_ref(), MODEL_HEADER_MAX)?;
        let updates = UpdatePlan::new(&definition, &layout)?;
        let targets = by_name(scopes_of(&path, &layout, &updates)?);
        Ok(Self { definition, updates, bytes, hash, path, optimizer: None, targets })
    }

    /// What a lab sends, and how far its scopes are from the targets (mean over the layers).
    fn update(
        &self,
        round: u32,
        client: usize,
        samples: u64,
        trained: &[NamedValues],
        folder: &Path,
    ) -> Result<(Contribution, f64), SimulateError> {
        let trained: BTreeMap<&str, &NamedValues> =
            trained.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let mut before = source(&self.bytes)?;
        let (mut changes, mut scopes, mut apart) = (Vec::new(), Vec::new(), 0.0);
        for (name, shape) in self.updates.tensors() {
            let lost = || TrainError::Network(format!("{name} was not trained"));
            let now = &trained.get(name.as_str()).ok_or_else(lost)?.values;
            let mut change = crate::model::ParameterSource::values(&mut before, name, shape)
                .map_err(|error| TrainError::Network(error.to_string()))?;
            change.iter_mut().zip(now).for_each(|(change, now)| *change = now - *change);
            changes.push(change);
            if has_scope(shape) {
                let scope = Scope::of(now).ok_or(TrainError::NotFinite)?;
                apart += self.targets.get(name).map_or(0.0, |&target| kl(scope.target(), target));
                scopes.push(scope);
            }
        }
        let id = ClientId((client as u64).to_be_bytes());
        let binding = Binding { federation: FEDERATION, client: id, round: round + 1, model: self.hash };
        let slices: Vec<&[f32]> = changes.iter().map(Vec::as_slice).collect();
        let encoded = Encoder::default().encode(&self.updates, &binding, &slices, &scopes)?;
        let path = folder.join(format!("update-{client}"));
        fs::write(&path, &encoded.bytes)?;
        let norm = changes.iter().flatten().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        Ok((Contribution { client: id, path, samples, norm }, apart / scopes.len().max(1) as f64))
    }

    /// The model after a round.
    fn next(self, round: u32, updates: Vec<Contribution>, folder: &Path) -> Result<Self, SimulateError> {
        let model_out = folder.join(format!("model-{}", round + 1));
        let optimizer_out = folder.join(format!("optimizer-{}", round + 1));
        let outcome = aggregate(&Job {
            federation: FEDERATION,
            definition: &self.definition,
            round: round + 1,
            model: (self.hash, self.path.clone()),
            optimizer: self.optimizer.clone(),
            updates,
            model_out: model_out.clone(),
            optimizer_out: optimizer_out.clone(),
        })?;
        fs::remove_file(&self.path)?;
        if let Some(old) = &self.optimizer {
            fs::remove_file(old)?;
        }
        Ok(Self {
            bytes: fs::read(&model_out)?,
            hash: outcome.model,
            path: model_out,
            optimizer: outcome.optimizer.map(|_| optimizer_out),
            targets: by_name(outcome.targets),
            ..self
        })
    }
}

fn by_name(targets: Vec<LayerTarget>) -> BTreeMap<String, Target> {
    targets.into_iter().map(|layer| (layer.name.clone(), layer.target())).collect()
}

/// What a coordinator would be told. Quorum, deadlines and limits have nothing to decide here.
fn definition(scene: &Scene<'_>, plan: &Plan, weights: BlobRef) -> Definition {
    Definition {
        version: VERSION,
        title: "simulation".into(),
        model: Model { name: "HyperSIGMA".into(), weights, backbone: None, settings: serde_json::Value::Null },
        trainable: Trainable::All,
        input: Input { wavelengths_nm: vec![1.0], projection: None },
        classes: (1..=scene.classes).map(|class| Class { name: format!("class {class}"), colour: None }).collect(),
        algorithm: plan.method.algorithm(),
        local: LocalWork::Epochs(plan.local.epochs as u32),
        encoding: Encoding::Float32,
        quorum: Quorum { min_clients: 1, min_fraction: 0.0, max_clients: plan.clients as u32 },
        deadlines: Deadlines { statistics_s: 1.0, round_s: 1.0, presence_s: 1.0 },
        rounds: plan.rounds,
        start: Start::AtQuorum,
        limits: Limits { max_norm: None, max_samples: 1 << 30 },
        privacy: Privacy::default(),
    }
}
