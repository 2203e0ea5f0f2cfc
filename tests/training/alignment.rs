//! Regularisers of federated rounds in the one trainer: weight scope alignment, the proximal term, a schedule over rounds.

use burn::tensor::read_sync;
use sigmascope::model::{NamedValues, ParameterError, ParameterSource};
use sigmascope::scope::{Scope, Target, has_scope, kl};
use sigmascope::train::{Proximal, Ramp, Schedule, ScopeAlignment, TrainConfig, Trainer};

use crate::fields::{Fields, config, trained, trainer};

fn scene() -> Fields {
    Fields::new(14, 13)
}

/// A run in which nothing but loss and regularisers moves the weights.
fn plain(epochs: usize) -> TrainConfig {
    TrainConfig { tile: 16, epochs, validate_every: 0, weight_average: 0.0, weight_decay: 0.0, ..config() }
}

fn read(trainer: &Trainer) -> Vec<NamedValues> {
    read_sync(trainer.read_values()).unwrap()
}

/// Scopes of all layers, by name.
fn scopes(trainer: &Trainer) -> Vec<(String, Scope)> {
    let layers = read(trainer).into_iter().filter(|tensor| has_scope(&tensor.shape));
    layers.map(|tensor| (tensor.name, Scope::of(&tensor.values).unwrap())).collect()
}

/// Targets away from where the layers are.
fn targets(trainer: &Trainer) -> Vec<(String, Target)> {
    let moved = |scope: Scope| Target { mean: scope.mean + 0.02, deviation: scope.deviation * 1.5 };
    scopes(trainer).into_iter().map(|(name, scope)| (name, moved(scope))).collect()
}

fn divergence(trainer: &Trainer, targets: &[(String, Target)]) -> f64 {
    scopes(trainer).iter().zip(targets).map(|((_, scope), (_, target))| kl(scope.target(), *target)).sum()
}

#[test]
fn a_strong_pull_brings_every_layer_to_its_target() {
    let (scene, config) = (scene(), plain(150));
    let [mut free, mut pulled] = [trainer(&scene, &config), trainer(&scene, &config)];
    let targets = targets(&pulled);
    let before = divergence(&pulled, &targets);
    pulled.add_regularizer(Box::new(ScopeAlignment::new(1e6, Ramp::Constant, targets.clone())));
    trained(&mut free, 150);
    trained(&mut pulled, 150);
    let (free, after) = (divergence(&free, &targets), divergence(&pulled, &targets));
    assert!(after < 0.02 * before, "from {before} to {after}");
    assert!(free > 0.3 * before, "without the pull {free}, before {before}");
    for ((name, scope), (_, target)) in scopes(&pulled).iter().zip(&targets) {
        let off = (scope.deviation / target.deviation - 1.0).abs();
        assert!(off < 0.1, "{name}: {scope:?}, {target:?}");
    }
}

#[test]
fn a_pull_of_no_strength_changes_no_bit() {
    let (scene, config) = (scene(), TrainConfig { weight_average: 0.9, ..plain(6) });
    let run = |prepare: &dyn Fn(&mut Trainer)| {
        let mut trainer = trainer(&scene, &config);
        prepare(&mut trainer);
        trained(&mut trainer, 6)
    };
    let today = run(&|_| {});
    let aligned = run(&|trainer| {
        let targets = targets(trainer);
        trainer.add_regularizer(Box::new(ScopeAlignment::new(0.0, Ramp::Constant, targets)));
        trainer.add_regularizer(Box::new(Proximal::new(0.0, trainer.values().unwrap())));
    });
    assert!(aligned == today);
    let pulled = run(&|trainer| {
        let targets = targets(trainer);
        trainer.add_regularizer(Box::new(ScopeAlignment::new(10.0, Ramp::Constant, targets)));
    });
    assert!(pulled != today);
}

#[test]
fn the_proximal_term_keeps_a_run_near_its_start() {
    let (scene, config) = (scene(), plain(12));
    let moved = |strength: f64| {
        let mut trainer = trainer(&scene, &config);
        let start = read(&trainer);
        trainer.add_regularizer(Box::new(Proximal::new(strength, trainer.values().unwrap())));
        trained(&mut trainer, 12);
        let end = read(&trainer);
        let pairs = start.iter().zip(&end).flat_map(|(start, end)| start.values.iter().zip(&end.values));
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    };
    let (free, held) = (moved(0.0), moved(1e3));
    assert!(held < 0.6 * free, "{held} and without the term {free}");
}

/// Named values as a source of parameters.
struct Given(Vec<NamedValues>);

impl ParameterSource for Given {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        let found = self.0.iter().find(|tensor| tensor.name == name && tensor.shape == shape);
        found.map(|tensor| tensor.values.clone()).ok_or_else(|| ParameterError::Missing { name: name.to_owned() })
    }
}

#[test]
fn a_run_that_begins_from_other_weights_is_a_run_of_those() {
    let (scene, config) = (scene(), TrainConfig { weight_average: 0.9, validate_every: 2, ..plain(4) });
    let mut other = trainer(&scene, &TrainConfig { seed: 5, ..config.clone() });
    trained(&mut other, 4);
    let weights = read(&other);
    let mut run = trainer(&scene, &config);
    run.begin_from(&mut Given(weights.clone())).unwrap();
    assert_eq!(read(&run), weights);
    let begun = read_sync(run.assess()).unwrap();
    assert!(begun.pixels() > 0 && begun.loss.is_finite());
    trained(&mut run, 4);
    assert_ne!(read(&run), weights);
    assert_eq!(run.history()[3].validation.unwrap().loss, read_sync(run.assess()).unwrap().loss as f32);
    let before = read(&run);
    let mut short = weights;
    short.pop();
    let error = run.begin_from(&mut Given(short)).unwrap_err();
    assert!(error.to_string().contains("no parameter"), "{error}");
    assert_eq!(read(&run), before);
}

#[test]
fn rounds_share_one_schedule() {
    let (scene, config) = (scene(), plain(3));
    let mut run = trainer(&scene, &config);
    let whole = Schedule::new(2e-3, 4, 30);
    run.follow_schedule(whole, 6);
    trained(&mut run, 3);
    let rates: Vec<f64> = run.history().iter().map(|report| report.learning_rate).collect();
    assert_eq!(rates, [6, 7, 8].map(|epoch| whole.rate(epoch)));
}
