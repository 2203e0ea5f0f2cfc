//! Clients against the coordinator in memory: whole federations over a network that loses, doubles and cuts.

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
    let document = include_str!("../../../docs/federation.md");
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

#[test]
fn three_tabs_finish_a_federation() {
    for (encoding, round_0) in [(Encoding::Float32, true), (Encoding::Float16, false), (Encoding::Int8, true)] {
        let mut world = World::new(definition(encoding, 4, round_0), &[100.0, 3000.0, 7000.0], Vec::new());
        world.run();
        check(&world, 4).unwrap();
        let coordinator = &world.coordinator;
        assert!(coordinator.rounds.iter().all(|round| round.updates.len() >= 2 && round.evaluation.len() >= 2));
        assert_eq!(coordinator.last_evaluation.len(), 3);
        let (layers, scopes) = world.tabs[0].client.own_scopes();
        assert_eq!((layers, scopes.len()), (["w".to_owned()].as_slice(), 4));
        assert_eq!(world.tabs[0].seen_targets, BTreeMap::from([(1, 1), (2, 1), (3, 1), (4, 1)]));
        let target = world.tabs[0].client.rounds()[&2].targets[0].target();
        let own = scopes[&2][0];
        assert!(kl(Target { mean: own[0], deviation: own[1] }, target) < 0.1);
        let ledger = world.tabs[0].client.ledger();
        assert_eq!(ledger.of(Traffic::Statistics).up > 0, round_0);
        assert!(ledger.of(Traffic::Update).up > 4 * 138 && ledger.of(Traffic::Model).down >= 5 * 552);
        assert_eq!(ledger.of(Traffic::Model).up, 0);
    }
}

#[test]
fn a_straggler_takes_the_round_that_is_open() {
    let mut definition = definition(Encoding::Int8, 5, false);
    definition.deadlines.round_s = 10.0;
    let mut world = World::new(definition, &[100.0, 200.0, 25_000.0], Vec::new());
    world.run();
    check(&world, 5).unwrap();
    let slow = world.tabs[2].client.id().unwrap();
    let took = world.coordinator.rounds.iter().filter(|round| round.updates.contains_key(&slow)).count();
    assert!(took < 5, "it was too slow for some rounds");
    assert!(world.coordinator.rounds.iter().all(|round| round.updates.len() >= 2));
}

#[test]
fn a_tab_that_was_closed_comes_back_and_goes_on() {
    let mut world = World::new(definition(Encoding::Int8, 6, true), &[100.0, 100.0, 100.0], Vec::new());
    while world.coordinator.round() < 2 {
        world.turn();
    }
    // Closed for some time: the others go on without it.
    let kept = world.tabs[2].kept.clone();
    let name = world.tabs[2].client.id();
    let closed = world.tabs.pop().unwrap();
    while world.coordinator.round() < 4 {
        world.turn();
    }
    world.tabs.push(Tab {
        client: Client::resume(&kept.unwrap()).unwrap(),
        wake_ms: world.now_ms,
        work: None,
        ..closed
    });
    world.run();
    assert_eq!(world.tabs[2].client.id(), name);
    check(&world, 6).unwrap();
    assert!(world.coordinator.rounds[5].updates.contains_key(&name.unwrap()));
}

#[test]
fn refusals_lead_where_they_should() {
    let refused = |reason: Reason| {
        let mut world = World::new(definition(Encoding::Float32, 3, false), &[50_000.0; 3], Vec::new());
        while world.coordinator.phase != Phase::Training {
            world.turn();
        }
        world.coordinator.refuse = Some(reason);
        world.run();
        world
    };
    // What is at fault sits the round out and takes the next one.
    for reason in [Reason::NormTooLarge, Reason::ShapeMismatch, Reason::SamplesOutOfRange] {
        let world = refused(reason);
        check(&world, 3).unwrap();
        let [first, last] = [0, 2].map(|round: usize| world.coordinator.rounds[round].updates.len());
        assert_eq!((first, last), (2, 3), "{reason:?}");
    }
    // What waiting or sending again mends is mended.
    for reason in
        [Reason::HashMismatch, Reason::Busy, Reason::StorageFailed, Reason::TooManyRequests, Reason::ChunksMissing]
    {
        let world = refused(reason);
        check(&world, 3).unwrap();
        assert_eq!(world.coordinator.rounds[0].updates.len(), 3, "{reason:?}");
    }
}

#[test]
fn a_client_whose_token_is_void_joins_again() {
    let mut world = World::new(definition(Encoding::Int8, 3, false), &[10.0, 10.0], Vec::new());
    while world.coordinator.round() < 2 {
        world.turn();
    }
    let former = world.tabs[0].client.id().unwrap();
    world.coordinator.members.remove(&former);
    world.run();
    assert_ne!(world.tabs[0].client.id().unwrap(), former);
    assert_eq!((world.coordinator.phase, world.coordinator.round()), (Phase::Finished, 3));
}

/// Answers by a function.
struct Answering<F>(F);

impl<F: Fn(&Request) -> Result<Response, Unreachable>> Transport for Answering<F> {
    fn send<'a>(&'a self, request: &'a Request) -> Local<'a, Result<Response, Unreachable>> {
        Box::pin(std::future::ready((self.0)(request)))
    }
}

/// Runs a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

fn refusal(reason: Reason) -> Response {
    let answer =
        crate::federation::protocol::Answer { reason, message: reason.sentence().into(), retry_after_ms: None };
    Response { status: reason.status(), total: None, body: serde_json::to_vec(&answer).unwrap() }
}

#[test]
fn what_cannot_be_mended_stops_with_its_sentence() {
    for reason in [
        Reason::TokenWrong,
        Reason::FederationUnknown,
        Reason::FederationFull,
        Reason::VersionUnknown,
        Reason::Finished,
    ] {
        let mut client = Client::new(invitation());
        let transport = Answering(|_: &Request| Ok(refusal(reason)));
        assert!(matches!(now(client.step(&transport, || 0.0)), Step::Asked));
        let Step::Stopped(error) = now(client.step(&transport, || 0.0)) else { panic!("{reason:?}") };
        assert_eq!(error.to_string(), reason.sentence());
        assert_eq!(client.stage(), Stage::Stopped);
        // Patience of the user.
        client.retry();
        assert_eq!(client.stage(), Stage::Joining);
    }
    let mut client = Client::new(invitation());
    let page = Answering(|_: &Request| Ok(Response { status: 404, total: None, body: b"Not found".to_vec() }));
    now(client.step(&page, || 0.0));
    assert!(matches!(client.next(0.0), Next::Stopped(ClientError::Strange { status: 404 })));
}

#[test]
fn a_lost_network_is_waited_out() {
    let mut client = Client::new(invitation());
    let asked = RefCell::new(0);
    let cut = Answering(|_: &Request| {
        *asked.borrow_mut() += 1;
        Err(Unreachable { reason: "the connection is down".into() })
    });
    let mut clock = 0.0;
    for _ in 0..200 {
        match now(client.step(&cut, || clock)) {
            Step::Asked => {
                assert_eq!((client.stage(), client.trouble()), (Stage::Reconnecting, Some("the connection is down")))
            }
            Step::Wait { milliseconds } => clock += milliseconds as f64,
            _ => panic!("it waits"),
        }
    }
    assert_eq!(*asked.borrow(), 100);
    assert!(clock > 30.0 * 60.0 * 1000.0, "half a minute each in the end: {clock}");
    client.retry();
    assert!(matches!(client.next(clock), Next::Send(_)), "the network is back: at once");
}

#[test]
fn leaving_is_said_and_forgotten() {
    let mut world = World::new(definition(Encoding::Int8, 3, false), &[10.0, 10.0, 10.0], Vec::new());
    while world.coordinator.round() < 2 {
        world.turn();
    }
    let name = world.tabs[1].client.id().unwrap();
    world.tabs[1].client.leave();
    world.run();
    assert!(!world.coordinator.members.contains_key(&name));
    assert_eq!((world.tabs[1].client.stage(), world.tabs[1].client.id()), (Stage::Left, None));
    assert_eq!(world.coordinator.phase, Phase::Finished);
    // Before joining there is nothing to say.
    let mut client = Client::new(invitation());
    client.leave();
    assert!(matches!((client.next(0.0), client.next(0.0)), (_, Next::Left)));
}

#[test]
fn weights_that_cannot_be_sent_make_a_client_sit_out() {
    let mut world = World::new(definition(Encoding::Int8, 2, false), &[50_000.0; 3], Vec::new());
    while world.tabs[0].work.is_none() {
        world.turn();
    }
    let Some((Work::Training(training), _)) = world.tabs[0].work.take() else { panic!("training") };
    let weights = [("w", 135), ("b", 3)].map(|(name, count)| (name.to_owned(), vec![f32::NAN; count]));
    let client = &mut world.tabs[0].client;
    client.trained(training.ticket, Trained { weights: weights.into(), samples: 1, metrics: None });
    assert_eq!(client.stage(), Stage::SittingOut);
    assert!(client.trouble().unwrap().contains("NaN"), "{:?}", client.trouble());
    world.run();
    assert_eq!(world.coordinator.rounds.iter().map(|round| round.updates.len()).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn what_was_kept_by_another_version_or_damaged_is_refused() {
    let bytes = Client::new(invitation()).to_bytes();
    assert!(Client::resume(&bytes).is_ok());
    let mut other = bytes.clone();
    other[0] = 99;
    assert!(Client::resume(&other).err().unwrap().to_string().contains("another version"));
    assert!(Client::resume(&bytes[..bytes.len() - 1]).is_err());
    assert!(Client::resume(&[]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// Whatever the network loses, doubles or damages, and however often tabs are reloaded or killed: every round finishes, no
    /// update counts twice, and what an encoding lost is never lost for good.
    #[test]
    fn a_bad_network_changes_nothing(
        fates in prop::collection::vec(fate(), 0..300),
        work_ms in prop::collection::vec(10.0f64..40_000.0, 2..4),
        encoding in 0usize..3,
        round_0 in any::<bool>(),
    ) {
        let mut world = World::new(definition(Encoding::ALL[encoding], 3, round_0), &work_ms, fates);
        world.run();
        check(&world, 3)?;
    }
}

#[test]
fn no_token_is_shown() {
    let mut client = Client::new(invitation());
    let Next::Send(request) = client.next(0.0) else { panic!("it joins") };
    assert_eq!(request.token, "ssi_invite");
    assert!(!format!("{request:?}").contains("ssi_") && !request.path.contains("ssi_"));
}
