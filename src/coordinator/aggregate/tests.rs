//! Aggregation of small files, compared with plain arithmetic.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::federation::protocol::{Encoder, Encoding, Robust, ServerOptimizer, Wsa, WsaSchedule};
use crate::scene::MemorySource;

/// Tensors of the test's model: a layer longer than a piece, a bias, a frozen one. Not in the order of their names.
const SHAPES: [(&str, &[usize]); 4] =
    [("b.weight", &[300, 250]), ("a.weight", &[3, 5]), ("a.bias", &[5]), ("frozen", &[7])];
const TRAINED: [&str; 3] = ["a.bias", "a.weight", "b.weight"];

/// Numbers that look like weights.
fn noise(seed: u64, len: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..len).map(|_| (next() + next() + next()) * scale).collect()
}

fn definition(change: impl FnOnce(&mut Definition)) -> Definition {
    let document = include_str!("../../../docs/federation.md");
    let json = document.split("```json definition\n").nth(1).unwrap().split("```").next().unwrap();
    let mut definition: Definition = serde_json::from_str(json).unwrap();
    definition.trainable = protocol::Trainable::Tensors(TRAINED.map(str::to_owned).to_vec());
    definition.encoding = Encoding::Float32;
    definition.algorithm = protocol::Algorithm {
        proximal: 0.0,
        server: ServerOptimizer::FedAvg,
        robust: Robust::Mean,
        clip_norm: None,
        wsa: None,
    };
    change(&mut definition);
    definition
}

/// Files, samples and norms of updates, by client.
type Updates = Vec<(Vec<u8>, u64, f64)>;

/// By client and trained tensor.
type Changes = Vec<Vec<Vec<f32>>>;

struct Case {
    folder: TempDir,
    definition: Definition,
    model: Vec<u8>,
    /// Updates and their samples.
    updates: Updates,
    changes: Changes,
}

fn count(name: &str) -> usize {
    SHAPES.iter().find(|(other, _)| *other == name).unwrap().1.iter().product()
}

impl Case {
    fn new(clients: usize, change: impl FnOnce(&mut Definition)) -> Self {
        let mut header = String::from("{\"__metadata__\":{\"kept\":\"as it is\"}");
        let mut data = Vec::new();
        for (index, (name, shape)) in SHAPES.iter().enumerate() {
            let start = data.len();
            for value in noise(index as u64 + 1, shape.iter().product(), 0.1) {
                data.extend(value.to_le_bytes());
            }
            header += &format!(
                ",\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{start},{}]}}",
                data.len()
            );
        }
        header += "}";
        let model = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
        let definition = definition(change);
        let layout = Layout::read(&MemorySource::new("model", model.clone()), MODEL_HEADER_MAX).unwrap();
        let plan = UpdatePlan::new(&definition, &layout).unwrap();
        let (mut updates, mut all) = (Vec::new(), Vec::new());
        for client in 0..clients {
            let changes: Vec<Vec<f32>> =
                TRAINED.iter().map(|name| noise(100 * client as u64 + count(name) as u64, count(name), 0.02)).collect();
            let scopes: Vec<Scope> = changes[1..].iter().map(|values| Scope::of(values).unwrap()).collect();
            let binding = Self::binding(client, &model);
            let slices: Vec<&[f32]> = changes.iter().map(Vec::as_slice).collect();
            let encoded = Encoder::default().encode(&plan, &binding, &slices, &scopes).unwrap();
            let opened = protocol::Update::open(
                std::rc::Rc::new(MemorySource::new("update", encoded.bytes.clone())),
                &plan,
                &binding,
            );
            let norm = opened.unwrap().check(None).unwrap().norm;
            updates.push((encoded.bytes, 7 * client as u64 + 1, norm));
            all.push(changes);
        }
        Self { folder: tempfile::tempdir().unwrap(), definition, model, updates, changes: all }
    }

    fn binding(client: usize, model: &[u8]) -> Binding {
        Binding {
            federation: FederationId([1; 8]),
            client: ClientId([client as u8 + 1; 8]),
            round: 1,
            model: Hash::of(model),
        }
    }

    /// Aggregates with the updates in this order; also gives the weights that came out.
    fn run(&self, order: &[usize], optimizer: Option<&[u8]>) -> (Outcome, Vec<u8>, Vec<u8>) {
        let place = |name: &str| self.folder.path().join(name);
        fs::write(place("model"), &self.model).unwrap();
        if let Some(bytes) = optimizer {
            fs::write(place("optimizer"), bytes).unwrap();
        }
        let contribution = |&index: &usize| {
            let (bytes, samples, norm) = &self.updates[index];
            let path = place(&format!("update-{index}"));
            fs::write(&path, bytes).unwrap();
            Contribution { client: ClientId([index as u8 + 1; 8]), path, samples: *samples, norm: *norm }
        };
        let job = Job {
            federation: FederationId([1; 8]),
            definition: &self.definition,
            round: 1,
            model: (Hash::of(&self.model), place("model")),
            optimizer: optimizer.map(|_| place("optimizer")),
            updates: order.iter().map(contribution).collect(),
            model_out: place("model-out"),
            optimizer_out: place("optimizer-out"),
        };
        let outcome = aggregate(&job).unwrap();
        let bytes = fs::read(place("model-out")).unwrap();
        assert_eq!(outcome.model, Hash::of(&bytes));
        (outcome, bytes, fs::read(place("optimizer-out")).unwrap_or_default())
    }

    fn values(&self, bytes: &[u8], name: &str) -> Vec<f32> {
        let source = MemorySource::new("model", bytes.to_vec());
        let layout = Layout::read(&source, MODEL_HEADER_MAX).unwrap();
        let mut values = vec![0.0; count(name)];
        read_f32(&source, layout.tensors[name].at, 0, &mut values).unwrap();
        values
    }

    /// Compares every trained weight with what `combine` makes of the clients' changes of it and their samples.
    fn compare(&self, order: &[usize], tolerance: f64, combine: impl Fn(&[f64], &[f64]) -> f64) {
        let (_, out, _) = self.run(order, None);
        assert_eq!(self.values(&out, "frozen"), self.values(&self.model, "frozen"));
        let samples: Vec<f64> = order.iter().map(|&index| self.updates[index].1 as f64).collect();
        for (at, name) in TRAINED.iter().enumerate() {
            let (before, after) = (self.values(&self.model, name), self.values(&out, name));
            for i in 0..before.len() {
                let changes: Vec<f64> = order.iter().map(|&index| f64::from(self.changes[index][at][i])).collect();
                let expected = f64::from(before[i]) + combine(&changes, &samples);
                assert!((f64::from(after[i]) - expected).abs() <= tolerance, "{name} {i}: {} {expected}", after[i]);
            }
        }
    }
}

fn weighted(changes: &[f64], samples: &[f64]) -> f64 {
    changes.iter().zip(samples).map(|(change, n)| change * n).sum::<f64>() / samples.iter().sum::<f64>()
}

#[test]
fn the_mean_is_weighted_by_samples() {
    Case::new(4, |_| {}).compare(&[0, 1, 2, 3], 1e-8, weighted);
    for encoding in [Encoding::Float16, Encoding::Int8] {
        // Half a step of a block's largest value.
        Case::new(3, |definition| definition.encoding = encoding).compare(&[0, 1, 2], 2e-4, weighted);
    }
}

#[test]
fn medians_and_trimmed_means_forget_the_extremes() {
    let sorted = |changes: &[f64]| {
        let mut sorted = changes.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let median = Case::new(5, |definition| definition.algorithm.robust = Robust::Median);
    median.compare(&[0, 1, 2, 3, 4], 1e-8, |changes, _| sorted(changes)[2]);
    median.compare(&[0, 1, 2, 3], 1e-8, |changes, _| (sorted(changes)[1] + sorted(changes)[2]) / 2.0);
    median.compare(&[3], 1e-8, |changes, _| changes[0]);
    let trimmed = Case::new(5, |definition| definition.algorithm.robust = Robust::TrimmedMean { trim: 0.25 });
    trimmed.compare(&[0, 1, 2, 3, 4], 1e-8, |changes, _| sorted(changes)[1..4].iter().sum::<f64>() / 3.0);
}

#[test]
fn long_updates_are_clipped() {
    let mut case = Case::new(2, |definition| definition.algorithm.clip_norm = Some(1e-3));
    case.updates[0].1 = 1;
    case.updates[1].1 = 1;
    let factors: Vec<f64> = case.updates.iter().map(|(_, _, norm)| 1e-3 / norm).collect();
    assert!(factors.iter().all(|&factor| factor < 1.0));
    case.compare(&[0, 1], 1e-8, |changes, _| (changes[0] * factors[0] + changes[1] * factors[1]) / 2.0);
}

#[test]
fn server_optimisers_carry_their_moments() {
    let server = ServerOptimizer::FedAvgM { rate: 0.5, momentum: 0.9 };
    let mut case = Case::new(2, |definition| definition.algorithm.server = server);
    let (first, model, moments) = case.run(&[0, 1], None);
    assert_eq!(first.optimizer, Some(Hash::of(&moments)));
    assert!(
        Layout::read(&MemorySource::new("moments", moments.clone()), MODEL_HEADER_MAX).is_ok(),
        "a safetensors file"
    );
    // The second round begins with the first one's model and moments; the same changes come again.
    let before = std::mem::replace(&mut case.model, model.clone());
    let (updates, changes) = Case::rebound(&case);
    (case.updates, case.changes) = (updates, changes);
    let (_, second, _) = case.run(&[0, 1], Some(&moments));
    for name in TRAINED {
        let (w0, w1, w2) = (case.values(&before, name), case.values(&model, name), case.values(&second, name));
        for i in 0..w0.len() {
            let delta = f64::from(w1[i] - w0[i]) / 0.5;
            let expected = f64::from(w1[i]) + 0.5 * (0.9 * delta + delta);
            assert!((f64::from(w2[i]) - expected).abs() < 1e-6, "{name} {i}");
        }
    }
}

impl Case {
    /// The same changes, for the model that the case holds now.
    fn rebound(&self) -> (Updates, Changes) {
        let layout = Layout::read(&MemorySource::new("model", self.model.clone()), MODEL_HEADER_MAX).unwrap();
        let plan = UpdatePlan::new(&self.definition, &layout).unwrap();
        let updates = self.changes.iter().enumerate().map(|(client, changes)| {
            let scopes: Vec<Scope> = changes[1..].iter().map(|values| Scope::of(values).unwrap()).collect();
            let slices: Vec<&[f32]> = changes.iter().map(Vec::as_slice).collect();
            let encoded =
                Encoder::default().encode(&plan, &Self::binding(client, &self.model), &slices, &scopes).unwrap();
            (encoded.bytes, self.updates[client].1, self.updates[client].2)
        });
        (updates.collect(), self.changes.clone())
    }
}

#[test]
fn scopes_are_fused_as_the_federation_says() {
    let wsa = |fusion| Some(Wsa { lambda: 0.1, fusion, schedule: WsaSchedule::Constant });
    for fusion in [Fusion::MeanOfScopes, Fusion::MomentMatching, Fusion::AveragedWeights] {
        let case = Case::new(3, |definition| definition.algorithm.wsa = wsa(fusion));
        let (outcome, out, _) = case.run(&[0, 1, 2], None);
        let names: Vec<&str> = outcome.targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["a.weight", "b.weight"], "biases have no scope");
        for (layer, target) in outcome.targets.iter().enumerate() {
            let members: Vec<Member> = (0..3)
                .map(|client| Member {
                    scope: Scope::of(&case.changes[client][layer + 1]).unwrap().target(),
                    samples: case.updates[client].1,
                })
                .collect();
            let averaged = Scope::of(&case.values(&out, &target.name)).unwrap().target();
            assert_eq!(target.target(), fuse(fusion, &members, averaged).unwrap());
        }
    }
}

#[test]
fn weights_that_leave_the_numbers_are_told() {
    let case =
        Case::new(1, |definition| definition.algorithm.server = ServerOptimizer::FedAvgM { rate: 1e6, momentum: 0.5 });
    let mut broken = case.model.clone();
    let layout = Layout::read(&MemorySource::new("model", broken.clone()), MODEL_HEADER_MAX).unwrap();
    let at = layout.tensors["a.bias"].at as usize;
    broken[at..at + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    let mut case = Case { model: broken, ..case };
    (case.updates, case.changes) = case.rebound();
    let path = case.folder.path().join("model");
    fs::write(&path, &case.model).unwrap();
    fs::write(case.folder.path().join("update"), &case.updates[0].0).unwrap();
    let out = case.folder.path().join("out");
    let job = Job {
        federation: FederationId([1; 8]),
        definition: &case.definition,
        round: 1,
        model: (Hash::of(&case.model), path),
        optimizer: None,
        updates: vec![Contribution {
            client: ClientId([1; 8]),
            path: case.folder.path().join("update"),
            samples: 1,
            norm: 1.0,
        }],
        model_out: out.clone(),
        optimizer_out: out.with_extension("optimizer"),
    };
    let error = aggregate(&job).unwrap_err();
    assert!(matches!(&error, AggregateError::Diverged { tensor, index: 0 } if tensor == "a.bias"), "{error}");
    assert!(error.is_final());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn order_changes_no_bit(seed in any::<u64>(), rule in 0usize..3, encoding in 0usize..3, clip: bool) {
        let case = Case::new(6, |definition| {
            definition.algorithm.robust = [Robust::Mean, Robust::TrimmedMean { trim: 0.2 }, Robust::Median][rule];
            definition.encoding = Encoding::ALL[encoding];
            definition.algorithm.clip_norm = clip.then_some(0.5);
            definition.algorithm.server = ServerOptimizer::FedYogi { rate: 0.1, beta1: 0.9, beta2: 0.99, tau: 1e-3 };
        });
        let mut order: Vec<usize> = (0..6).collect();
        let straight = case.run(&order, None);
        let mut state = seed | 1;
        for i in (1..order.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order.swap(i, (state >> 33) as usize % (i + 1));
        }
        prop_assert_eq!(case.run(&order, None), straight);
    }
}
