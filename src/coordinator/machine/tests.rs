//! The machine alone: every outcome of its tables.

use super::*;
use crate::federation::protocol::Why;

pub(super) const SECOND: Duration = Duration::from_secs(1);

fn definition(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let document = include_str!("../../../docs/federation.md");
    let json = document.split("```json definition\n").nth(1).unwrap().split("```").next().unwrap();
    let mut json: serde_json::Value = serde_json::from_str(json).unwrap();
    json["quorum"] = serde_json::json!({"min_clients": 2, "min_fraction": 0.5, "max_clients": 6});
    json["deadlines"] = serde_json::json!({"statistics_s": 10.0, "round_s": 10.0, "presence_s": 30.0});
    json["rounds"] = 2.into();
    json["start"] = "manual".into();
    json["limits"] = serde_json::json!({"max_samples": 1000});
    change(&mut json);
    json.to_string()
}

pub(super) fn hash(value: u8) -> Hash {
    Hash([value; 32])
}

pub(super) fn client(value: u8) -> ClientId {
    ClientId([value; 8])
}

/// A federation together with its log.
pub(super) struct Run {
    pub(super) federation: Federation,
    pub(super) log: Vec<Event>,
    pub(super) now: Duration,
}

impl Run {
    pub(super) fn new(change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let created = Event::Created { definition: definition(change), invite: hash(255) };
        let federation = Federation::new(FederationId([1; 8]), &created).unwrap();
        Self { federation, log: vec![created], now: Duration::ZERO }
    }

    /// With this many members and, without round 0, in round 1.
    fn training(clients: u8) -> Self {
        let mut run = Self::new(|json| drop(json["input"].as_object_mut().unwrap().remove("projection")));
        run.send(Message::ModelStored { targets: Vec::new() }).unwrap();
        for value in 0..clients {
            run.join(value).unwrap();
        }
        run.send(Message::Start).unwrap();
        run
    }

    pub(super) fn send(&mut self, message: Message) -> Result<Reason, Reason> {
        let decision = self.federation.decide(&message, self.now)?;
        for event in decision.events {
            self.federation.apply(&event, self.now);
            self.log.push(event);
        }
        Ok(decision.reason)
    }

    /// Whatever becomes of it.
    pub(super) fn attempt(&mut self, message: Message) {
        let _outcome = self.send(message);
    }

    pub(super) fn join(&mut self, value: u8) -> Result<Reason, Reason> {
        self.send(Message::Join { client: client(value), token: hash(value) })
    }

    pub(super) fn update(&mut self, from: u8, round: u32, blob: u8) -> Result<Reason, Reason> {
        let update = Update { blob: hash(blob), samples: 10, norm: 1.0, metrics: None };
        self.send(Message::Update { client: client(from), round, update })
    }

    pub(super) fn aggregated(&mut self, round: u32) -> Result<Reason, Reason> {
        self.send(Message::Aggregated { round, model: hash(200 + round as u8), optimizer: None, targets: Vec::new() })
    }

    fn state(&self) -> crate::federation::protocol::StateView {
        self.federation.state(None, self.federation.attendance(self.now), self.now)
    }

    /// Whoever asks counts as present.
    fn seen(&mut self, clients: &[u8]) {
        clients.iter().for_each(|&value| self.federation.saw(client(value), self.now));
    }

    pub(super) fn replayed(&self) -> Federation {
        let mut federation = Federation::new(FederationId([1; 8]), &self.log[0]).unwrap();
        self.log[1..].iter().for_each(|event| federation.apply(event, Duration::ZERO));
        federation
    }
}

#[test]
fn a_whole_federation_with_statistics() {
    let mut run = Run::new(|_| {});
    assert_eq!(run.send(Message::Start), Err(Reason::ModelMissing));
    assert_eq!(run.send(Message::ModelStored { targets: Vec::new() }), Ok(Reason::Accepted));
    assert_eq!(run.send(Message::ModelStored { targets: Vec::new() }), Ok(Reason::Duplicate));
    assert_eq!(run.join(1), Ok(Reason::Joined));
    assert_eq!(run.send(Message::Start), Err(Reason::TooFewClients));
    assert_eq!(run.join(2), Ok(Reason::Joined));
    assert_eq!(run.update(1, 1, 1), Err(Reason::NotStarted));
    assert_eq!(run.send(Message::Pause), Err(Reason::NotStarted));
    assert_eq!(run.send(Message::Start), Ok(Reason::Done));
    assert_eq!(run.federation.phase, Phase::Statistics);
    assert_eq!(run.send(Message::Start), Err(Reason::AlreadyStarted));
    assert_eq!(run.update(1, 1, 1), Err(Reason::StatisticsFirst));
    let statistics = |value, blob| Message::Statistics { client: client(value), blob: hash(blob) };
    assert_eq!(run.send(statistics(1, 11)), Ok(Reason::Accepted));
    assert_eq!(run.send(statistics(1, 11)), Ok(Reason::Duplicate));
    assert_eq!(run.send(statistics(1, 12)), Err(Reason::AlreadySubmitted));
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Statistics, "the other one is waited for");
    assert_eq!(run.send(statistics(2, 13)), Ok(Reason::Accepted));
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Aggregating { round: 0 });
    assert_eq!(run.send(statistics(2, 13)), Ok(Reason::Duplicate));
    assert_eq!(run.update(1, 1, 1), Err(Reason::Aggregating));
    assert_eq!(run.send(Message::Pause), Err(Reason::Aggregating));
    run.send(Message::StatisticsDone { projection: hash(99) }).unwrap();
    assert_eq!(run.federation.phase, Phase::Training { round: 1 });
    assert_eq!(run.send(Message::StatisticsDone { projection: hash(98) }), Ok(Reason::Done));
    assert_eq!(run.federation.projection, Some(hash(99)), "computed twice, it counts once");
    run.join(3).unwrap();
    assert_eq!(run.send(statistics(3, 14)), Err(Reason::Late));
    assert!(run.federation.is_public(hash(99)) && !run.federation.is_public(hash(11)));

    assert_eq!(run.update(1, 2, 1), Err(Reason::RoundNotOpen));
    assert_eq!(run.update(1, 1, 1), Ok(Reason::Accepted));
    assert_eq!(run.update(1, 1, 1), Ok(Reason::Duplicate));
    assert_eq!(run.update(1, 1, 2), Err(Reason::AlreadySubmitted));
    let many = Update { blob: hash(3), samples: 1001, norm: 1.0, metrics: None };
    let message = |update| Message::Update { client: client(2), round: 1, update };
    assert_eq!(run.send(message(many)), Err(Reason::SamplesOutOfRange));
    assert_eq!(run.send(message(Update { samples: 0, ..many })), Err(Reason::SamplesOutOfRange));
    let odd = Metrics { samples: 1, kappa: Some(2.0), ..Metrics::default() };
    assert_eq!(run.send(message(Update { samples: 1, metrics: Some(odd), ..many })), Err(Reason::MetricsInvalid));
    assert_eq!(run.update(2, 1, 3), Ok(Reason::Accepted));
    run.send(Message::Leave { client: client(3) }).unwrap();
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Aggregating { round: 1 }, "a departed client does not block");
    assert_eq!(run.update(3, 1, 7), Err(Reason::Late));
    assert_eq!(run.update(2, 1, 3), Ok(Reason::Duplicate));
    assert_eq!(run.update(2, 2, 3), Err(Reason::Aggregating));
    assert_eq!(run.aggregated(2), Ok(Reason::Done), "the result of another round changes nothing");
    assert_eq!(run.federation.phase, Phase::Aggregating { round: 1 });
    run.aggregated(1).unwrap();
    assert_eq!(run.federation.phase, Phase::Training { round: 2 });
    assert_eq!(run.federation.get_round(2).unwrap().model, hash(201));
    assert_eq!(run.update(2, 1, 3), Ok(Reason::Duplicate), "told so in the next round, too");
    assert_eq!(run.update(2, 1, 4), Err(Reason::AlreadySubmitted));
    run.aggregated(1).unwrap();
    assert_eq!(run.federation.phase, Phase::Training { round: 2 }, "a result that was computed twice counts once");

    let metrics = Metrics { samples: 5, overall_accuracy: Some(0.5), ..Metrics::default() };
    let evaluate = |round| Message::Evaluate { client: client(1), round, metrics };
    assert_eq!(run.send(evaluate(2)), Ok(Reason::Accepted));
    assert_eq!(run.send(evaluate(2)), Ok(Reason::Duplicate));
    let other = Metrics { samples: 6, ..metrics };
    let again = Message::Evaluate { client: client(1), round: 2, metrics: other };
    assert_eq!(run.send(again), Err(Reason::AlreadySubmitted));
    assert_eq!(run.send(evaluate(3)), Err(Reason::RoundUnknown));
    run.update(1, 2, 21).unwrap();
    run.update(2, 2, 22).unwrap();
    run.send(Message::Tick).unwrap();
    run.aggregated(2).unwrap();
    assert_eq!(run.federation.phase, Phase::Finished(Cause::Rounds));
    assert_eq!(run.send(evaluate(3)), Ok(Reason::Accepted), "of the last model");
    assert_eq!(run.federation.round_view(2).unwrap().result_evaluation.clients, 1);
    assert_eq!(run.update(1, 2, 21), Err(Reason::Finished));
    assert_eq!(run.join(9), Err(Reason::Finished));
    assert_eq!(run.send(Message::Start), Err(Reason::Finished));
    assert_eq!(run.federation.model, Some(hash(202)));
    assert_eq!(format!("{:?}", run.replayed().round_view(1)), format!("{:?}", run.federation.round_view(1)));
}

#[test]
fn a_round_closes_at_quorum_and_deadline() {
    let mut run = Run::training(4);
    run.update(0, 1, 1).unwrap();
    run.now += 11 * SECOND;
    run.seen(&[0, 1, 2, 3]);
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Training { round: 1 }, "one of two");
    assert!(run.state().remaining_ms.unwrap() < 0);
    run.update(1, 1, 2).unwrap();
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Aggregating { round: 1 }, "half of those present");
    run.aggregated(1).unwrap();
    run.update(2, 2, 3).unwrap();
    run.update(3, 2, 4).unwrap();
    run.now += 5 * SECOND;
    run.seen(&[0, 1, 2, 3]);
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Training { round: 2 }, "before the deadline everybody is waited for");
    run.now += 40 * SECOND;
    run.seen(&[2, 3]);
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Aggregating { round: 2 }, "who is gone is not waited for");
}

#[test]
fn whoever_only_looks_cannot_block_for_ever() {
    let mut run = Run::training(6);
    run.update(0, 1, 1).unwrap();
    run.update(1, 1, 2).unwrap();
    run.now += 15 * SECOND;
    run.seen(&[0, 1, 2, 3, 4, 5]);
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Training { round: 1 }, "a third is less than the half that is asked for");
    run.now += 6 * SECOND;
    run.seen(&[0, 1, 2, 3, 4, 5]);
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Aggregating { round: 1 });
}

#[test]
fn a_client_that_returns_takes_the_current_round() {
    let mut run = Run::training(3);
    run.now += 40 * SECOND;
    run.seen(&[0, 1]);
    run.update(0, 1, 1).unwrap();
    run.update(1, 1, 2).unwrap();
    run.send(Message::Tick).unwrap();
    run.aggregated(1).unwrap();
    assert_eq!(run.update(2, 1, 3), Err(Reason::Late));
    run.seen(&[2]);
    assert_eq!(run.update(2, 2, 4), Ok(Reason::Accepted));
}

#[test]
fn a_pause_keeps_what_was_accepted() {
    let mut run = Run::training(3);
    run.update(0, 1, 1).unwrap();
    assert_eq!(run.send(Message::Resume), Err(Reason::NotPaused));
    assert_eq!(run.send(Message::Pause), Ok(Reason::Done));
    assert_eq!(run.send(Message::Pause), Ok(Reason::Duplicate));
    assert_eq!(run.update(0, 1, 1), Ok(Reason::Duplicate));
    assert_eq!(run.update(1, 1, 2), Err(Reason::Paused));
    run.now += 100 * SECOND;
    run.seen(&[0, 1, 2]);
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Paused { round: 1 });
    assert_eq!(run.send(Message::Resume), Ok(Reason::Done));
    assert_eq!(run.federation.get_round(1).unwrap().updates.len(), 1);
    assert_eq!(run.state().remaining_ms, Some(10_000), "the deadline begins anew");
    assert_eq!(run.update(1, 1, 2), Ok(Reason::Accepted));
    assert_eq!(run.send(Message::Finish), Ok(Reason::Done));
    assert_eq!(run.federation.phase, Phase::Finished(Cause::Host));
}

#[test]
fn members_are_limited_and_leave_for_good() {
    let mut run = Run::training(6);
    assert_eq!(run.join(7), Err(Reason::FederationFull));
    assert_eq!(run.send(Message::Leave { client: client(0) }), Ok(Reason::Done));
    assert_eq!(run.send(Message::Leave { client: client(0) }), Ok(Reason::Duplicate));
    assert_eq!(run.join(7), Err(Reason::FederationFull));
    assert_eq!(run.state().clients, 5);
}

#[test]
fn a_host_can_end_a_round_that_cannot_be_aggregated() {
    let mut run = Run::training(2);
    run.update(0, 1, 1).unwrap();
    run.update(1, 1, 2).unwrap();
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Aggregating { round: 1 });
    assert!(run.federation.released().is_empty());
    assert_eq!(run.send(Message::Finish), Ok(Reason::Done));
    assert_eq!(run.federation.phase, Phase::Finished(Cause::Host));
    assert_eq!(run.federation.released().len(), 2, "its updates are of no use any more");
    assert_eq!(run.aggregated(1), Ok(Reason::Done), "what comes too late changes nothing");
    assert!(run.federation.get_round(1).unwrap().result.is_none());
}

#[test]
fn it_starts_by_itself_where_the_host_wants_that() {
    let mut run = Run::new(|json| {
        json["start"] = "at_quorum".into();
        json["input"].as_object_mut().unwrap().remove("projection");
    });
    run.join(1).unwrap();
    run.join(2).unwrap();
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Gathering, "there is no model");
    run.send(Message::ModelStored { targets: Vec::new() }).unwrap();
    run.send(Message::Tick).unwrap();
    assert_eq!(run.federation.phase, Phase::Training { round: 1 });
    assert_eq!(run.send(Message::Statistics { client: client(1), blob: hash(1) }), Err(Reason::NoStatistics));
}

#[test]
fn it_says_why_it_does_not_go_on() {
    let mut run = Run::new(|json| drop(json["input"].as_object_mut().unwrap().remove("projection")));
    assert_eq!(run.state().why, Some(Why::ModelMissing));
    run.send(Message::ModelStored { targets: Vec::new() }).unwrap();
    run.join(0).unwrap();
    assert_eq!(run.state().why, Some(Why::TooFewClients));
    (1..5).for_each(|value| run.attempt(Message::Join { client: client(value), token: hash(value) }));
    assert_eq!(run.state().why, Some(Why::WaitsForHost));
    run.send(Message::Start).unwrap();
    assert_eq!(run.state().why, None);
    run.send(Message::Pause).unwrap();
    assert_eq!(run.state().why, Some(Why::PausedByHost));
    run.send(Message::Resume).unwrap();
    run.update(0, 1, 1).unwrap();
    run.now += 11 * SECOND;
    run.seen(&[0, 1, 2, 3, 4]);
    assert_eq!(run.state().why, Some(Why::TooFewAnswers));
    run.update(1, 1, 2).unwrap();
    run.send(Message::Tick).unwrap();
    assert_eq!((run.federation.phase, run.state().why), (Phase::Training { round: 1 }, Some(Why::Stragglers)));
    run.now += 30 * SECOND;
    run.seen(&[1]);
    assert_eq!(run.state().why, Some(Why::Stragglers), "two have answered, though one of them is away");
    run.send(Message::Tick).unwrap();
    assert_eq!(run.state().why, None, "it is being aggregated");
    let mut diverged = run.federation.clone();
    diverged.apply(&Event::Finished { cause: Cause::Diverged }, run.now);
    let why = |federation: &Federation| federation.state(None, federation.attendance(run.now), run.now).why;
    assert_eq!(why(&diverged), Some(Why::Diverged));
    run.aggregated(1).unwrap();
    run.now += 31 * SECOND;
    assert_eq!(run.state().why, Some(Why::TooFewClients), "everybody is away");
    run.send(Message::Finish).unwrap();
    assert_eq!(run.state().why, Some(Why::FinishedByHost));
    assert_eq!(run.replayed().phase, Phase::Finished(Cause::Host));
}

#[test]
fn it_says_that_its_statistics_lead_nowhere_or_all_rounds_are_done() {
    let mut run = Run::new(|_| {});
    let why = |run: &mut Run, cause| {
        run.federation.apply(&Event::Finished { cause }, run.now);
        run.state().why
    };
    assert_eq!(why(&mut run, Cause::Diverged), Some(Why::NoProjection));
    assert_eq!(why(&mut run, Cause::Rounds), Some(Why::RoundsDone));
}
