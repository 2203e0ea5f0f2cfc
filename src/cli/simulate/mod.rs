//! `sigmascope simulate`: does weight scope alignment help federated rounds? Many labs in one process, on a real scene, with the
//! trainer of the page and the aggregation of the coordinator.

mod connectivity;
mod lab;
mod paired;
mod partition;
mod plan;
mod report;
mod rounds;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use connectivity::Connectivity;
use lab::Scene;
use partition::Partition;
use plan::{Base, Local, Method, Plan};
use rounds::Run;

use super::evaluate::{Compute, Model};
use super::setting::with_setting;
use super::terminal::say;
use crate::coordinator::aggregate::AggregateError;
use crate::federation::protocol::{TensorsError, UpdateError};
use crate::labels::{AccuracyError, CodeChoices, GroundTruthError, Imported, import_labels};
use crate::preprocess::{PreprocessError, fit_projection};
use crate::scene::{OpenOptions, SceneError, SourceError, open_path};
use crate::scope::Fusion;
use crate::train::{CubeView, TrainConfig, TrainError};

/// Simulates federated rounds with and without weight scope alignment (WSA) and compares them.
///
/// Every run is a file in the folder of --out; runs that are there already are not done again, so a killed simulation goes on.
/// The table goes to standard output, `report.json` and `curves.svg` into the folder.
#[derive(Debug, Clone, Args)]
pub struct Simulate {
    /// The scene (for ENVI the header or the data).
    #[arg(long)]
    scene: PathBuf,
    /// The variable of the scene's file, where it holds several.
    #[arg(long)]
    variable: Option<String>,
    /// The ground truth.
    #[arg(long)]
    labels: PathBuf,
    /// The variable of the ground truth's file, where it holds several.
    #[arg(long)]
    labels_variable: Option<String>,
    /// The folder for the results.
    #[arg(short, long)]
    out: PathBuf,
    #[arg(long, default_value_t = 10)]
    clients: usize,
    /// Share of the clients in each round.
    #[arg(long, default_value_t = 1.0)]
    participation: f64,
    #[arg(long, default_value_t = 12)]
    rounds: u32,
    /// Epochs a round, at most.
    #[arg(long, default_value_t = 5)]
    local_epochs: usize,
    /// Training pixels a class, of all clients together.
    #[arg(long, default_value_t = 50)]
    labels_per_class: usize,
    /// Concentrations of the Dirichlet distribution that deals the classes to the clients.
    #[arg(long, value_delimiter = ',', default_value = "0.1,0.5,5")]
    alphas: Vec<f64>,
    /// Standard deviation of the logarithm of the clients' sizes.
    #[arg(long, default_value_t = 0.5)]
    quantity: f64,
    /// Clients' learning rates and weight decays differ by this factor up and down, and their optimisers and numbers of epochs
    /// with them; 1 = all alike.
    #[arg(long, default_value_t = 3.0)]
    variety: f64,
    #[arg(long, value_enum, value_delimiter = ',', default_value = "fedavg,fedprox,fedavgm")]
    methods: Vec<Base>,
    /// Strengths of the alignment; 0 = without.
    #[arg(long, value_delimiter = ',', default_value = "0,1")]
    lambdas: Vec<f64>,
    /// How scopes are fused, where there is alignment.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "mean-of-scopes")]
    fusions: Vec<FusionName>,
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Also look at the line between models that were trained apart, and at their mean.
    #[arg(long)]
    connectivity: bool,
    /// There, every model begins from weights of its own instead of from the same ones.
    #[arg(long, requires = "connectivity")]
    own_starts: bool,
    #[arg(long, value_enum, default_value = "nano")]
    model: Model,
    #[arg(long, value_enum, default_value = "cpu")]
    device: Compute,
    /// Any other training setting as FIELD=VALUE, for example `width=32`.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// How the scopes of a round become the targets of the next.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum FusionName {
    /// Means of μ and σ (Wasserstein-2 barycentre).
    MeanOfScopes,
    /// Moments of the mixture.
    MomentMatching,
    /// The scopes of the averaged weights.
    AveragedWeights,
}

impl From<FusionName> for Fusion {
    fn from(name: FusionName) -> Self {
        match name {
            FusionName::MeanOfScopes => Self::MeanOfScopes,
            FusionName::MomentMatching => Self::MomentMatching,
            FusionName::AveragedWeights => Self::AveragedWeights,
        }
    }
}

/// Why nothing was simulated: one sentence.
#[derive(Debug, Error)]
pub enum SimulateError {
    #[error(transparent)]
    Scene(#[from] SceneError),
    #[error(transparent)]
    Labels(#[from] GroundTruthError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
    #[error(transparent)]
    Update(#[from] UpdateError),
    #[error(transparent)]
    Accuracy(#[from] AccuracyError),
    #[error("no client has labels of two classes; give more --labels-per-class or a larger α")]
    NobodyJoins,
    #[error("a line needs two models; give --clients 2 or more")]
    TooFewModels,
    #[error("{what} must be {range}, not {given}")]
    Range { what: &'static str, range: &'static str, given: String },
    #[error("--set {given} cannot be used: {reason}")]
    Setting { given: String, reason: String },
    #[error(
        "a file of the simulation could not be written or read ({0}); look at the folder of --out and at the free space"
    )]
    File(#[from] std::io::Error),
    #[error("{path} is no result of a simulation ({reason}); move it away")]
    Result { path: PathBuf, reason: String },
    #[error("the curves could not be drawn: {0}")]
    Drawing(String),
}

impl From<TensorsError> for SimulateError {
    fn from(error: TensorsError) -> Self {
        Self::Update(error.into())
    }
}

impl From<SourceError> for SimulateError {
    fn from(error: SourceError) -> Self {
        Self::Update(error.into())
    }
}

/// What `--json` prints and `report.json` holds.
#[derive(Debug, Serialize)]
struct Report<'a> {
    scene: &'a str,
    config: &'a TrainConfig,
    rows: &'a [report::Row],
    runs: &'a [Run],
    connectivity: &'a [Connectivity],
}

impl Simulate {
    /// Runs everything that is not there yet.
    ///
    /// # Errors
    /// [`SimulateError`]; what is done so far stays in the folder.
    pub fn run(&self) -> super::Outcome {
        let config = self.configuration()?;
        let options = |variable: &Option<String>| OpenOptions { variable: variable.clone(), ..OpenOptions::default() };
        let cube = open_path(&self.scene, None, &options(&self.variable))?;
        let truth = open_path(&self.labels, None, &options(&self.labels_variable))?;
        let Imported { map: labels, notes, .. } = import_labels(truth.as_ref(), &CodeChoices::default())?;
        for (info, notes) in [(cube.info(), &cube.info().notes), (truth.info(), &notes)] {
            for note in notes {
                say(&format!("{}: {note}", info.name));
            }
        }
        labels.check_fits(cube.info().rows, cube.info().cols)?;
        let projection = fit_projection(cube.as_ref(), &config.projection())?;
        let view = CubeView { cube: cube.as_ref(), projection: &projection };
        let device = self.device.device();
        let (components, classes) = (projection.len(), labels.classes.len());
        let scene = Scene { view: &view, components, classes, config, device };
        fs::create_dir_all(&self.out).map_err(SimulateError::File)?;

        let (mut runs, mut connectivity) = (Vec::new(), Vec::new());
        for plan in self.plans() {
            let partition = Partition::draw(&plan, &labels);
            runs.push(kept(
                &self.out,
                &plan,
                "run",
                |run: &Run| &run.plan,
                |folder| rounds::run(&scene, &plan, &partition, folder),
            )?);
            if self.connectivity && plan.alpha == self.alphas[0] && plan.method.base == Base::Fedavg {
                connectivity.push(kept(
                    &self.out,
                    &plan,
                    if self.own_starts { "apart" } else { "line" },
                    |found: &Connectivity| &found.plan,
                    |_| connectivity::between(&scene, &plan, &partition, self.own_starts),
                )?);
            }
        }
        let rows = report::rows(&runs);
        let report = Report {
            scene: &cube.info().name,
            config: &scene.config,
            rows: &rows,
            runs: &runs,
            connectivity: &connectivity,
        };
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(self.out.join("report.json"), &json)?;
        let curves = report::curves(&runs).map_err(SimulateError::Drawing)?;
        fs::write(self.out.join("curves.svg"), curves)?;
        Ok(if self.json { json } else { report::table(&rows) + &report::barriers(&connectivity) })
    }

    /// The preset, without what would choose or average weights behind the federation's back.
    fn configuration(&self) -> Result<TrainConfig, SimulateError> {
        let range = |what, range, given: &dyn std::fmt::Display, sound: bool| {
            if sound { Ok(()) } else { Err(SimulateError::Range { what, range, given: given.to_string() }) }
        };
        range("--clients", "1 to 10000", &self.clients, (1..=10_000).contains(&self.clients))?;
        range("--rounds", "1 to 10000", &self.rounds, (1..=10_000).contains(&self.rounds))?;
        range("--local-epochs", "1 to 1000", &self.local_epochs, (1..=1000).contains(&self.local_epochs))?;
        range("--labels-per-class", "1 or more", &self.labels_per_class, self.labels_per_class >= 1)?;
        let share = self.participation > 0.0 && self.participation <= 1.0;
        range("--participation", "above 0 and at most 1", &self.participation, share)?;
        range("--quantity", "0 to 5", &self.quantity, (0.0..=5.0).contains(&self.quantity))?;
        range("--variety", "1 to 100", &self.variety, (1.0..=100.0).contains(&self.variety))?;
        for alpha in &self.alphas {
            range("--alphas", "above 0 and at most 1000", alpha, *alpha > 0.0 && *alpha <= 1000.0)?;
        }
        for lambda in &self.lambdas {
            range("--lambdas", "0 to 1000000", lambda, (0.0..=1e6).contains(lambda))?;
        }
        let mut config = TrainConfig::preset(self.model.into());
        config.epochs = self.local_epochs;
        config.warmup_epochs = config.warmup_epochs.min(self.local_epochs);
        config.validate_every = 0;
        config.weight_average = 0.0;
        for given in &self.set {
            config = with_setting(&config, given)
                .map_err(|reason| SimulateError::Setting { given: given.clone(), reason })?;
        }
        config.validate().map_err(TrainError::from)?;
        Ok(config)
    }

    /// Seeds outermost, so that a simulation that is cut short has whole seeds.
    fn plans(&self) -> Vec<Plan> {
        let mut methods = Vec::new();
        for &base in &self.methods {
            for &lambda in &self.lambdas {
                let fusions = if lambda == 0.0 { &[FusionName::MeanOfScopes][..] } else { &self.fusions };
                methods.extend(fusions.iter().map(|&fusion| Method { base, lambda, fusion: fusion.into() }));
            }
        }
        let mut plans = Vec::new();
        for seed in 0..self.seeds {
            for &alpha in &self.alphas {
                plans.extend(methods.iter().map(|&method| Plan {
                    clients: self.clients,
                    participation: self.participation,
                    rounds: self.rounds,
                    labels: self.labels_per_class,
                    alpha,
                    quantity: self.quantity,
                    local: Local { epochs: self.local_epochs, variety: self.variety },
                    method,
                    seed,
                }));
            }
        }
        plans
    }
}

/// The result of a plan: from its file where it was done before, else done now and written.
fn kept<T: Serialize + DeserializeOwned>(
    out: &Path,
    plan: &Plan,
    kind: &str,
    plan_of: impl Fn(&T) -> &Plan,
    run: impl FnOnce(&Path) -> Result<T, SimulateError>,
) -> Result<T, SimulateError> {
    let name = format!("{kind}-{}-alpha{}-seed{}", plan.method.name(), plan.alpha, plan.seed);
    let path = out.join(format!("{name}.json"));
    let refuse = |reason: String| SimulateError::Result { path: path.clone(), reason };
    if !path.exists() {
        let work = out.join(format!("{name}.work"));
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        fs::create_dir_all(&work)?;
        let found = run(&work)?;
        let written = out.join(format!("{name}.part"));
        fs::write(&written, serde_json::to_vec(&found).map_err(|error| refuse(error.to_string()))?)?;
        fs::rename(&written, &path)?;
        fs::remove_dir_all(&work)?;
        say(&format!("{name} is done"));
    }
    // Always from the file: numbers read from JSON may differ in their last bit from those that were written.
    let found: T = serde_json::from_slice(&fs::read(&path)?).map_err(|error| refuse(error.to_string()))?;
    if plan_of(&found) != plan {
        return Err(refuse("it was made with other settings".into()));
    }
    Ok(found)
}
