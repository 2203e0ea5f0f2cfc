//! Our numbers against the official ones.

use std::collections::BTreeSet;

use super::{Outcome, Set};
use crate::official::{Mismatch, Stored, Worst, deviation, ensure};

/// The limits that the reference suggests: ten times its own float32-against-float64 deviation or a little more.
const ACTIVATION_REL_L2: f64 = 1e-5;
const GRADIENT_REL_L2: f64 = 1e-4;
const ADAMW_LOSS: f64 = 1e-4;
/// The first steps of Adam divide tiny gradients by their own size.
const ADAMW_UPDATE_REL_L2: f64 = 2e-2;

/// Official activations that no network computes.
const GIVEN: [&str; 3] = ["input", "labels", "loss"];

impl Set {
    /// Lines for the report, or the first number that is not met within its limit.
    pub fn compare(&self, ours: &Outcome) -> Result<Vec<String>, Mismatch> {
        let mut report = vec![self.compare_activations(ours)?, self.compare_gradients(ours)?];
        report.extend(self.compare_steps(ours)?);
        Ok(report)
    }

    fn compare_activations(&self, ours: &Outcome) -> Result<String, Mismatch> {
        let mut worst = Worst::default();
        let mut missing: BTreeSet<&str> = self.activations.keys().map(String::as_str).collect();
        for tensor in &ours.activations {
            let what = format!("{} {}", self.name, tensor.name);
            ensure(missing.remove(tensor.name.as_str()), || format!("{what} is traced twice, or unknown"))?;
            let theirs = &self.activations[&tensor.name];
            if self.weights.is_some() {
                ensure(tensor.shape == theirs.shape, || format!("{what}: {:?} for {:?}", tensor.shape, theirs.shape))?;
            }
            let deviation = deviation(&sample(&tensor.values, self.limits[0]), &theirs.values)?;
            worst.see(&tensor.name, deviation.within(ACTIVATION_REL_L2, &what)?);
        }
        missing.retain(|name| !GIVEN.contains(name));
        ensure(missing.is_empty(), || format!("{}: not traced {missing:?}", self.name))?;
        Ok(worst.report(&format!("{} activations", self.name)))
    }

    fn compare_gradients(&self, ours: &Outcome) -> Result<String, Mismatch> {
        let Self { name: set, meta, .. } = self;
        if self.weights.is_some() {
            ensure(ours.parameters == meta.parameters, || {
                format!("{set}: {} parameters for {}", ours.parameters, meta.parameters)
            })?;
        }
        let loss = ours.losses[0];
        ensure((loss - meta.loss).abs() < ADAMW_LOSS, || format!("{set}: loss {loss} for {}", meta.loss))?;
        let names: BTreeSet<&str> = ours.gradients.iter().map(|gradient| gradient.name.as_str()).collect();
        let theirs: BTreeSet<&str> = self.gradients.keys().map(String::as_str).collect();
        ensure(names == theirs, || format!("{set}: parameters with a gradient {names:?} for {theirs:?}"))?;
        let without = names.iter().find(|name| meta.parameters_without_gradient.contains(**name));
        ensure(without.is_none(), || format!("{set}: {without:?} should have no gradient"))?;
        let mut worst = Worst::default();
        for gradient in &ours.gradients {
            let what = format!("{set} gradient of {}", gradient.name);
            let values = sample(&gradient.values, self.limits[1]);
            let deviation = deviation(&values, &self.gradients[&gradient.name].values)?;
            worst.see(&gradient.name, deviation.within(GRADIENT_REL_L2, &what)?);
        }
        Ok(worst.report(&format!("{set} gradients")))
    }

    fn compare_steps(&self, ours: &Outcome) -> Result<Option<String>, Mismatch> {
        let expected = &self.meta.adamw.losses_before_steps_1_2_3_and_after_3;
        let near = ours.losses.iter().zip(expected).all(|(ours, theirs)| (ours - theirs).abs() < ADAMW_LOSS);
        ensure(near && ours.losses.len() == expected.len(), || {
            format!("{}: losses {:?} for {expected:?}", self.name, ours.losses)
        })?;
        if self.after.is_empty() {
            return Ok(None);
        }
        let (mut update, mut theirs) = (Vec::new(), Vec::new());
        for (before, after) in ours.before.iter().zip(&ours.after) {
            let start = sample(&before.values, self.limits[1]);
            let end = sample(&after.values, self.limits[1]);
            let expected = &self.after[&after.name].values;
            // Samples stand for as many values as their tensor has.
            let weight = (before.values.len() as f64 / start.len() as f64).sqrt();
            update.extend(start.iter().zip(&end).map(|(start, end)| (end - start) * weight as f32));
            theirs.extend(start.iter().zip(expected).map(|(start, end)| (end - f64::from(*start)) * weight));
        }
        let what = format!("{} update of three steps", self.name);
        let deviation = deviation(&update, &theirs)?.within(ADAMW_UPDATE_REL_L2, &what)?;
        Ok(Some(format!("{what}: rel L2 {:.1e}", deviation.rel_l2)))
    }

    /// Is every number really compared? `ours`, which the set accepts, must be refused once an official number is off by
    /// twice its limit: in each activation, in each gradient, in each loss; and where the steps moved a parameter elsewhere.
    pub fn compare_refuses_wrong_numbers(&self, ours: &Outcome) -> Result<(), Mismatch> {
        self.compare(ours)?;
        let refuses = |what: &str, spoil: &dyn Fn(&mut Set)| {
            let mut wrong = self.clone();
            spoil(&mut wrong);
            ensure(wrong.compare(ours).is_err(), || format!("{}: a wrong number in {what} was accepted", self.name))
        };
        for name in self.activations.keys().filter(|name| !GIVEN.contains(&name.as_str())) {
            refuses(name, &|wrong| spoil(wrong.activations.get_mut(name), ACTIVATION_REL_L2))?;
        }
        for name in self.gradients.keys() {
            refuses(name, &|wrong| spoil(wrong.gradients.get_mut(name), GRADIENT_REL_L2))?;
        }
        refuses("the loss", &|wrong| wrong.meta.loss += 2.0 * ADAMW_LOSS)?;
        for step in 0..ours.losses.len() {
            refuses("the losses", &|wrong| {
                wrong.meta.adamw.losses_before_steps_1_2_3_and_after_3[step] += 2.0 * ADAMW_LOSS;
            })?;
        }
        if let Some(name) = self.after.keys().next() {
            // Far more than the steps move all parameters together.
            refuses(name, &|wrong| spoil(wrong.after.get_mut(name), 1.0))?;
        }
        Ok(())
    }
}

/// Moves one number by twice what `limit` allows the tensor.
fn spoil(tensor: Option<&mut Stored>, limit: f64) {
    let tensor = tensor.expect("a stored tensor");
    let norm = tensor.values.iter().map(|value| value * value).sum::<f64>().sqrt();
    tensor.values[0] += 2.0 * limit * norm;
}

/// At most `limit` values, evenly spread: value k is number ⌊k n / m⌋. The fixtures were sampled so.
fn sample(values: &[f32], limit: usize) -> Vec<f32> {
    // In 64 bits: k n can be more than WebAssembly's usize holds.
    let [n, m] = [values.len(), limit.min(values.len())].map(|count| count as u64);
    (0..m).map(|k| values[(k * n / m) as usize]).collect()
}
