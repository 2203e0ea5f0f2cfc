//! What the coordinator does with the aggregated change: the server optimisers of Reddi et al. 2021 (arXiv 2003.00295,
//! algorithm 2) and Hsu et al. 2019 (arXiv 1909.06335). Computed in f64, stored in f32.

use crate::federation::protocol::{ServerOptimizer, UpdatePlan};

/// Names and shapes of the moments, by the plan's tensor: none, one or two each.
pub(super) type Moments = Vec<Vec<(String, Vec<usize>)>>;

fn moments(server: &ServerOptimizer) -> &'static [&'static str] {
    match server {
        ServerOptimizer::FedAvg => &[],
        ServerOptimizer::FedAvgM { .. } => &["momentum"],
        ServerOptimizer::FedAdam { .. } | ServerOptimizer::FedYogi { .. } => &["first", "second"],
    }
}

/// What the optimiser's file holds; empty where it needs none.
pub(super) fn moments_layout(server: &ServerOptimizer, plan: &UpdatePlan) -> Moments {
    if moments(server).is_empty() {
        return Vec::new();
    }
    let of = |(name, shape): &(String, Vec<usize>)| {
        moments(server).iter().map(|moment| (format!("{name}::{moment}"), shape.clone())).collect()
    };
    plan.tensors().iter().map(of).collect()
}

/// Length and header of the optimiser's file, safetensors.
pub(super) fn header(moments: &Moments) -> Vec<u8> {
    let mut entries = serde_json::Map::new();
    let mut end = 0usize;
    for (name, shape) in moments.iter().flatten() {
        let start = end;
        end += shape.iter().product::<usize>() * 4;
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
        entries.insert(name.clone(), entry);
    }
    let json = serde_json::Value::Object(entries).to_string();
    [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()
}

/// First bytes of the moments, by the plan's tensor.
pub(super) fn places(moments: &Moments, data_at: u64) -> Vec<Vec<u64>> {
    let mut at = data_at;
    let mut place = |shape: &[usize]| {
        let place = at;
        at += shape.iter().product::<usize>() as u64 * 4;
        place
    };
    moments.iter().map(|of| of.iter().map(|(_, shape)| place(shape)).collect()).collect()
}

/// One step on a piece of one tensor.
pub(super) struct Step {
    server: ServerOptimizer,
    moments: [Vec<f32>; 2],
}

impl Step {
    /// The first step: first moments 0, second moments τ².
    pub(super) fn new(server: &ServerOptimizer, len: usize) -> Self {
        let second = match server {
            ServerOptimizer::FedAdam { tau, .. } | ServerOptimizer::FedYogi { tau, .. } => (tau * tau) as f32,
            ServerOptimizer::FedAvg | ServerOptimizer::FedAvgM { .. } => 0.0,
        };
        Self { server: *server, moments: [vec![0.0; len], vec![second; len]] }
    }

    pub(super) fn moment(&mut self, index: usize) -> &mut [f32] {
        &mut self.moments[index]
    }

    /// Changes the weights, and the moments for the next round.
    pub(super) fn take(&mut self, weights: &mut [f32], change: &[f64]) {
        let [first, second] = &mut self.moments;
        for (((weight, &delta), m), v) in weights.iter_mut().zip(change).zip(first).zip(second) {
            let (before, old_m, old_v) = (f64::from(*weight), f64::from(*m), f64::from(*v));
            let square = delta * delta;
            let step = match self.server {
                ServerOptimizer::FedAvg => delta,
                ServerOptimizer::FedAvgM { rate, momentum } => {
                    let velocity = momentum * old_m + delta;
                    *m = velocity as f32;
                    rate * velocity
                }
                ServerOptimizer::FedAdam { rate, beta1, beta2, tau } => {
                    let (new_m, new_v) =
                        (beta1 * old_m + (1.0 - beta1) * delta, beta2 * old_v + (1.0 - beta2) * square);
                    (*m, *v) = (new_m as f32, new_v as f32);
                    rate * new_m / (new_v.sqrt() + tau)
                }
                ServerOptimizer::FedYogi { rate, beta1, beta2, tau } => {
                    let sign = if old_v > square {
                        1.0
                    } else if old_v < square {
                        -1.0
                    } else {
                        0.0
                    };
                    let (new_m, new_v) = (beta1 * old_m + (1.0 - beta1) * delta, old_v - (1.0 - beta2) * square * sign);
                    (*m, *v) = (new_m as f32, new_v as f32);
                    rate * new_m / (new_v.sqrt() + tau)
                }
            };
            *weight = (before + step) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two steps from 1.0 with the changes 0.5 and −0.25, by hand.
    fn two_steps(server: ServerOptimizer) -> (f64, f64) {
        let mut weights = [1.0f32];
        let mut step = Step::new(&server, 1);
        step.take(&mut weights, &[0.5]);
        let first = weights[0];
        step.take(&mut weights, &[-0.25]);
        (first.into(), weights[0].into())
    }

    fn close(given: (f64, f64), expected: (f64, f64)) {
        assert!((given.0 - expected.0).abs() < 1e-6 && (given.1 - expected.1).abs() < 1e-6, "{given:?} {expected:?}");
    }

    #[test]
    fn fed_avg_and_momentum() {
        close(two_steps(ServerOptimizer::FedAvg), (1.5, 1.25));
        // v = 0.5, then 0.9·0.5 − 0.25 = 0.2
        close(two_steps(ServerOptimizer::FedAvgM { rate: 0.5, momentum: 0.9 }), (1.25, 1.35));
    }

    #[test]
    fn adaptive_optimisers() {
        let (rate, beta1, beta2, tau) = (0.1, 0.9, 0.99, 0.01);
        let (m1, m2) = (0.05, 0.9 * 0.05 - 0.1 * 0.25);
        let (v0, s1, s2) = (tau * tau, 0.25, 0.0625);
        let (v1, v2) = (0.99 * v0 + 0.01 * s1, 0.99 * (0.99 * v0 + 0.01 * s1) + 0.01 * s2);
        let step = |m: f64, v: f64| rate * m / (v.sqrt() + tau);
        let adam = (1.0 + step(m1, v1), 1.0 + step(m1, v1) + step(m2, v2));
        close(two_steps(ServerOptimizer::FedAdam { rate, beta1, beta2, tau }), adam);
        // Both squares are larger than v, so it rises by a hundredth of each.
        let (v1, v2) = (v0 + 0.01 * s1, v0 + 0.01 * s1 + 0.01 * s2);
        let yogi = (1.0 + step(m1, v1), 1.0 + step(m1, v1) + step(m2, v2));
        close(two_steps(ServerOptimizer::FedYogi { rate, beta1, beta2, tau }), yogi);
    }
}
