//! Mode connectivity: what lies on the straight line between two trained models, and on the way to the mean of several.
//!
//! Models are trained apart, with other seeds and habits, from the same weights or each from its own. The barrier is how much larger
//! the loss gets on the line than at its ends (Frankle et al. 2020, arXiv 1912.05671); alignment to common scopes should lower it
//! (Xu et al. 2024, section 5.1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SimulateError;
use super::lab::{Habits, Scene, train};
use super::partition::Partition;
use super::plan::Plan;
use super::rounds::{file_of, initial};
use crate::labels::Accuracy;
use crate::model::NamedValues;
use crate::scope::{Scope, Target, has_scope};
use crate::train::TrainError;

/// What was found with the models of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connectivity {
    pub plan: Plan,
    /// Whether every model began from weights of its own.
    #[serde(default)]
    pub own_starts: bool,
    /// From the first model (0) to the second (1), on the test pixels.
    pub line: Vec<Point>,
    pub barrier: f64,
    /// The mean of 1, 2, … of the models, merged one after the other.
    pub merged: Vec<Point>,
}

/// A place in the space of weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Share of the second model, or number of merged models.
    pub at: f64,
    pub loss: f64,
    pub overall: f64,
}

/// Places on the line, ends included.
const PLACES: usize = 11;

/// How far the seeds of the models' own weights are from each other: farther than the seeds of plans.
const OWN_SEEDS: u64 = 1 << 32;

/// Trains the plan's clients on all labels each, for all rounds in one go, and looks at what lies between. The targets of alignment
/// are the scopes of the weights that a federation would begin with, whatever the models begin with.
///
/// # Errors
/// [`SimulateError`]
pub fn between(
    scene: &Scene<'_>,
    plan: &Plan,
    partition: &Partition,
    own_starts: bool,
) -> Result<Connectivity, SimulateError> {
    let mut all: Vec<_> = partition.clients.iter().flatten().copied().collect();
    all.sort_unstable();
    let judge = scene.data(&all, &partition.test)?;
    let data = scene.data(&all, &[])?;
    let common = initial(scene, plan.seed, data.clone())?;
    let scopes = common.iter().filter(|tensor| has_scope(&tensor.shape));
    let targets: BTreeMap<String, Target> =
        scopes.filter_map(|tensor| Some((tensor.name.clone(), Scope::of(&tensor.values)?.target()))).collect();
    let common = file_of(&common)?;
    let mut models = Vec::new();
    for client in 0..plan.clients {
        let mut habits = Habits::draw(plan, client, &scene.config);
        habits.epochs *= plan.rounds as usize;
        let whole = Plan { rounds: 1, ..plan.clone() };
        let own = if own_starts {
            let seed = plan.seed + OWN_SEEDS * (client as u64 + 1);
            Some(file_of(&initial(scene, seed, data.clone())?)?)
        } else {
            None
        };
        let start = own.as_ref().unwrap_or(&common);
        models.push(train(scene, &whole, 0, &habits, data.clone(), start, &targets)?);
    }
    let look = |at: f64, values: &[NamedValues]| -> Result<Point, SimulateError> {
        let assessment = scene.assess(&file_of(values)?, &judge)?;
        Ok(Point { at, loss: assessment.loss, overall: Accuracy::from_confusion(assessment.confusion)?.overall })
    };
    let [first, second, ..] = models.as_slice() else { return Err(SimulateError::TooFewModels) };
    let mut line = Vec::with_capacity(PLACES);
    for place in 0..PLACES {
        let at = place as f64 / (PLACES - 1) as f64;
        line.push(look(at, &mean(&[(first, 1.0 - at), (second, at)])?)?);
    }
    let mut merged = Vec::with_capacity(models.len());
    for count in 1..=models.len() {
        let parts: Vec<_> = models[..count].iter().map(|model| (model, 1.0 / count as f64)).collect();
        merged.push(look(count as f64, &mean(&parts)?)?);
    }
    Ok(Connectivity { plan: plan.clone(), own_starts, barrier: barrier(&line), line, merged })
}

/// The largest excess of the loss over the straight line between the losses of the ends.
fn barrier(line: &[Point]) -> f64 {
    let (Some(first), Some(last)) = (line.first(), line.last()) else { return 0.0 };
    let excess = |point: &Point| point.loss - (1.0 - point.at) * first.loss - point.at * last.loss;
    line.iter().map(excess).fold(0.0, f64::max)
}

/// The weighted mean of models, in f64.
fn mean(models: &[(&Vec<NamedValues>, f64)]) -> Result<Vec<NamedValues>, SimulateError> {
    let tables: Vec<(BTreeMap<&str, &NamedValues>, f64)> = models
        .iter()
        .map(|(model, share)| (model.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect(), *share))
        .collect();
    let Some(&(first, _)) = models.first() else { return Err(SimulateError::TooFewModels) };
    let tensor = |tensor: &NamedValues| {
        let mut sum = vec![0f64; tensor.values.len()];
        for (table, share) in &tables {
            let lacks = || TrainError::Network(format!("a model lacks {}", tensor.name));
            let other = table.get(tensor.name.as_str()).ok_or_else(lacks)?;
            sum.iter_mut().zip(&other.values).for_each(|(sum, value)| *sum += share * f64::from(*value));
        }
        Ok(NamedValues { values: sum.into_iter().map(|value| value as f32).collect(), ..tensor.clone() })
    };
    first.iter().map(tensor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_barrier_is_measured_from_the_slope_between_the_ends() {
        let point = |at: f64, loss: f64| Point { at, loss, overall: 0.0 };
        assert_eq!(barrier(&[point(0.0, 1.0), point(0.5, 2.5), point(1.0, 2.0)]), 1.0);
        assert_eq!(barrier(&[point(0.0, 1.0), point(0.5, 1.2), point(1.0, 2.0)]), 0.0);
        assert_eq!(barrier(&[]), 0.0);
    }

    #[test]
    fn means_are_weighted() {
        let model = |values: [f32; 2]| vec![NamedValues { name: "w".into(), shape: vec![2], values: values.to_vec() }];
        let (a, b) = (model([0.0, 4.0]), model([1.0, 0.0]));
        assert_eq!(mean(&[(&a, 0.75), (&b, 0.25)]).unwrap()[0].values, [0.25, 3.0]);
        assert!(mean(&[]).is_err());
    }
}
