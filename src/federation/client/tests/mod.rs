//! Clients against the coordinator in memory: whole federations over a network that loses, doubles and cuts.

mod alone;
mod refusals;
mod rounds;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::double::{self, Coordinator};
use super::*;
use crate::federation::protocol::{
    Algorithm, BandStatistics, Encoding, Reason, ServerOptimizer, Trainable, Wsa, WsaSchedule,
};
use crate::preprocess::BandMoments;
use crate::scope::{Fusion, Target, kl};

/// Of the model.
const VALUES: usize = 138;

fn definition(encoding: Encoding, rounds: u32, round_0: bool) -> Definition {
    let document = include_str!("../../../../docs/federation.md");
    let json = document.split("```json definition\n").nth(1).unwrap().split("```").next().unwrap();
    let mut definition: Definition = serde_json::from_str(json).unwrap();
    definition.model.weights.bytes = model().len() as u64;
    definition.trainable = Trainable::All;
    definition.input.wavelengths_nm = vec![500.0, 600.0, 700.0];
    definition.input.projection = round_0.then(|| crate::preprocess::FitOptions::noise_adjusted(2));
    let wsa = Wsa { lambda: 0.1, fusion: Fusion::MeanOfScopes, schedule: WsaSchedule::Constant };
    definition.algorithm = Algorithm { server: ServerOptimizer::FedAvg, wsa: Some(wsa), ..definition.algorithm };
    (definition.encoding, definition.rounds) = (encoding, rounds);
    (definition.quorum.min_clients, definition.quorum.min_fraction) = (2, 0.5);
    definition
}

/// A matrix and a bias.
fn model() -> Vec<u8> {
    let header = br#"{"w":{"dtype":"F32","shape":[9,15],"data_offsets":[0,540]},"b":{"dtype":"F32","shape":[3],"data_offsets":[540,552]}}"#;
    let values = (0..138).flat_map(|i| ((i as f32 * 0.3).sin() * 0.1).to_le_bytes());
    [&(header.len() as u64).to_le_bytes(), header.as_slice(), &values.collect::<Vec<u8>>()].concat()
}

fn invitation() -> Invitation {
    Invitation { server: "http://lab/".into(), federation: double::id(), token: "ssi_invite".into() }
}

/// What training changes: the same for the same client and round, however often it is done.
fn change(slot: usize, round: u32, tensor: usize, index: usize) -> f32 {
    ((slot * 131 + round as usize * 17 + tensor * 7 + index) as f32 * 0.61).sin() * 0.01
}

fn moments(slot: usize) -> BandMoments {
    let mean = vec![slot as f64, 1.0, 2.0];
    let covariance = vec![1.0, 0.2, 0.1, 0.2, 2.0, 0.3, 0.1, 0.3, 3.0];
    BandMoments { pixels: 100 + slot as u64, min: -20.0, max: 30.0, mean, covariance }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Delivered,
    RequestLost,
    AnswerLost,
    /// Delivered twice; the second answer arrives.
    Twice,
    /// A body of noise arrives at the client.
    Damaged,
    /// A proxy answers.
    Proxied,
    /// The tab is reloaded after the answer was heard.
    Reloaded,
    /// The tab dies before it could keep what it has just learned.
    Killed,
}

fn fate() -> impl Strategy<Value = Fate> {
    use Fate::*;
    prop_oneof![
        6 => Just(Delivered), 1 => Just(RequestLost), 1 => Just(AnswerLost), 1 => Just(Twice), 1 => Just(Damaged),
        1 => Just(Proxied), 1 => Just(Reloaded), 1 => Just(Killed),
    ]
}

/// One tab.
struct Tab {
    slot: usize,
    client: Client,
    kept: Option<Vec<u8>>,
    wake_ms: f64,
    /// Work in hand, and when it is done.
    work: Option<(Work, f64)>,
    work_ms: f64,
    ended: Option<Result<(), ClientError>>,
    /// Training that has been handed over: round and values in the plan's order.
    changes: BTreeMap<u32, Vec<f32>>,
    seen_targets: BTreeMap<u32, usize>,
}

struct World {
    coordinator: Coordinator,
    tabs: Vec<Tab>,
    now_ms: f64,
    fates: Vec<Fate>,
}

impl World {
    fn new(definition: Definition, work_ms: &[f64], fates: Vec<Fate>) -> Self {
        let tab = |(slot, &work_ms)| Tab {
            slot,
            client: Client::new(invitation()),
            kept: None,
            wake_ms: 0.0,
            work: None,
            work_ms,
            ended: None,
            changes: BTreeMap::new(),
            seen_targets: BTreeMap::new(),
        };
        let tabs = work_ms.iter().enumerate().map(tab).collect();
        Self { coordinator: Coordinator::new(definition, model()), tabs, now_ms: 0.0, fates }
    }

    /// Everything that can be done now, then the clock moves on. False once all tabs have ended.
    fn turn(&mut self) -> bool {
        for index in 0..self.tabs.len() {
            self.act(index);
        }
        let waking = self.tabs.iter().filter(|tab| tab.ended.is_none());
        let next = waking.flat_map(|tab| [Some(tab.wake_ms), tab.work.as_ref().map(|(_, done)| *done)]).flatten();
        let next = next.filter(|&at| at > self.now_ms).fold(f64::INFINITY, f64::min);
        if next.is_finite() {
            self.now_ms = next;
            self.coordinator.now_ms = next;
            self.coordinator.tick();
        }
        self.tabs.iter().any(|tab| tab.ended.is_none())
    }

    fn run(&mut self) {
        for _ in 0..20_000 {
            if !self.turn() {
                return;
            }
        }
        let stuck: Vec<_> =
            self.tabs.iter().map(|tab| (tab.client.stage(), tab.client.trouble().map(str::to_owned))).collect();
        panic!("after {} ms: {:?} round {}, {stuck:?}", self.now_ms, self.coordinator.phase, self.coordinator.round());
    }

    fn act(&mut self, index: usize) {
        let now = self.now_ms;
        let tab = &mut self.tabs[index];
        if tab.ended.is_some() {
            return;
        }
        if let Some((work, _)) = tab.work.take_if(|(_, done)| *done <= now) {
            tab.finish(work, &self.coordinator);
        }
        for _ in 0..100 {
            let tab = &mut self.tabs[index];
            match tab.client.next(now) {
                Next::Send(request) => {
                    let fate = self.fates.pop().unwrap_or(Fate::Delivered);
                    let lost = || Err(Unreachable { reason: "cut".into() });
                    let answer = match fate {
                        Fate::RequestLost => lost(),
                        Fate::AnswerLost => {
                            self.coordinator.handle(&request);
                            lost()
                        }
                        Fate::Twice => {
                            self.coordinator.handle(&request);
                            Ok(self.coordinator.handle(&request))
                        }
                        Fate::Damaged => {
                            let mut response = self.coordinator.handle(&request);
                            response.body.iter_mut().for_each(|byte| *byte ^= 0x55);
                            Ok(response)
                        }
                        Fate::Proxied => {
                            Ok(Response { status: 502, total: None, body: b"<h1>Bad gateway</h1>".to_vec() })
                        }
                        _ => Ok(self.coordinator.handle(&request)),
                    };
                    let tab = &mut self.tabs[index];
                    // Noise instead of an error, a definition or too much of a content ends a client, as it should.
                    let mended = request.path.ends_with("/state") || request.path.contains("/rounds/");
                    let fatal = !mended || matches!(&answer, Ok(response) if response.status >= 300);
                    let answer = if fate == Fate::Damaged && fatal { lost() } else { answer };
                    tab.client.take(answer, now);
                    if fate == Fate::Killed {
                        tab.reload();
                    }
                    tab.keep();
                    if fate == Fate::Reloaded {
                        tab.reload();
                    }
                }
                Next::Work(work) => {
                    tab.work = Some((work, now + tab.work_ms));
                }
                Next::Wait { milliseconds } => {
                    tab.wake_ms = now + milliseconds as f64;
                    return;
                }
                Next::Finished => return tab.ended = Some(Ok(())),
                Next::Left => return tab.ended = Some(Ok(())),
                Next::Stopped(error) => return tab.ended = Some(Err(error)),
            }
        }
        panic!("a client sends a hundred requests without a wait, last of stage {:?}", self.tabs[index].client.stage());
    }
}

impl Tab {
    fn keep(&mut self) {
        if self.client.take_changed() {
            self.kept = Some(self.client.to_bytes());
        }
    }

    fn reload(&mut self) {
        self.work = None;
        self.client = match &self.kept {
            Some(bytes) => Client::resume(bytes).unwrap(),
            None => Client::new(invitation()),
        };
    }

    fn finish(&mut self, work: Work, coordinator: &Coordinator) {
        match work {
            Work::Statistics { ticket } => self.client.gathered(ticket, &BandStatistics::from(&moments(self.slot))),
            Work::Evaluation { ticket, model, .. } => {
                assert_eq!(model.hash, coordinator.model);
                self.client.evaluated(ticket, metrics(self.slot));
            }
            Work::Training(training) => {
                let Training { ticket, model, projection, targets, evaluate } = *training;
                if evaluate {
                    self.client.evaluated(ticket, metrics(self.slot));
                }
                assert_eq!(projection.is_some(), coordinator.definition.input.projection.is_some());
                self.seen_targets.insert(ticket.round, targets.len());
                let wanted = self.client.wants(ticket);
                let mut trained = Trained { samples: 10 + self.slot as u64, ..Trained::default() };
                let mut changes = Vec::new();
                for (tensor, (name, _)) in model.plan().tensors().iter().enumerate() {
                    let before = model.values(name).unwrap();
                    let now = |(i, w): (usize, &f32)| w + change(self.slot, ticket.round, tensor, i);
                    let after: Vec<f32> = before.iter().enumerate().map(now).collect();
                    changes.extend(after.iter().zip(&before).map(|(a, b)| a - b));
                    trained.weights.insert(name.clone(), after);
                }
                self.client.trained(ticket, trained);
                if wanted {
                    self.changes.insert(ticket.round, changes);
                }
            }
        }
        self.keep();
    }
}

fn metrics(slot: usize) -> Metrics {
    Metrics { samples: 50 + slot as u64, overall_accuracy: Some(0.5), ..Metrics::default() }
}

/// What the encoder of a client still owes, in the plan's order (the bias comes first).
fn owed(client: &Client) -> Vec<f32> {
    let bytes = postcard::to_stdvec(&client.kept.encoder).unwrap();
    let residual: BTreeMap<String, Vec<f32>> = postcard::from_bytes(&bytes).unwrap();
    residual.into_values().flatten().collect()
}

fn check(world: &World, rounds: u32) -> Result<(), TestCaseError> {
    let coordinator = &world.coordinator;
    for tab in &world.tabs {
        // Who could not join in time hears that it is over.
        let missed = matches!(tab.ended, Some(Err(ClientError::Refused { reason: Reason::Finished, .. })));
        prop_assert!(missed || tab.ended == Some(Ok(())), "tab {}: {:?}", tab.slot, tab.ended);
    }
    prop_assert_eq!((coordinator.phase, coordinator.round()), (Phase::Finished, rounds));
    let mut once = BTreeSet::new();
    for &(client, round, _) in &coordinator.counted {
        prop_assert!(once.insert((client, round)), "{:?} counts twice in round {}", client, round);
    }
    for tab in &world.tabs {
        let Some(client) = tab.client.id() else { continue };
        let (mut sum, mut trained) = (vec![0f32; VALUES], vec![0f32; VALUES]);
        for (number, round) in (1..).zip(&coordinator.rounds) {
            let Some((_, _, sent)) = round.updates.get(&client) else { continue };
            sum.iter_mut().zip(sent).for_each(|(sum, value)| *sum += value);
            trained.iter_mut().zip(&tab.changes[&number]).for_each(|(sum, value)| *sum += value);
        }
        let owed = owed(&tab.client);
        for i in 0..VALUES {
            let rest = owed.get(i).copied().unwrap_or(0.0);
            prop_assert!(
                (sum[i] + rest - trained[i]).abs() < 1e-5,
                "value {}: sent {} owed {} trained {}",
                i,
                sum[i],
                rest,
                trained[i]
            );
        }
    }
    Ok(())
}
