//! A coordinator in memory that does what `docs/federation.md` says, for tests of the client. Its clock is told.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::Serialize;
use serde_json::{Value, json};

use super::transport::{Method, Request, Response};
use crate::federation::protocol::*;
use crate::preprocess::projection_of_moments;
use crate::scene::MemorySource;
use crate::scope::{Scope, Target};

/// Small, so that a small update has several.
const CHUNK: u64 = 96;
const INVITE: &str = "ssi_invite";

/// One round of training.
pub struct Round {
    pub model: Hash,
    targets: Vec<LayerTarget>,
    /// By client: hash, samples, decoded values in the plan's order.
    pub updates: BTreeMap<ClientId, (Hash, u64, Vec<f32>)>,
    pub result: Option<Hash>,
    pub evaluation: BTreeMap<ClientId, Metrics>,
}

pub struct Coordinator {
    pub now_ms: f64,
    pub definition: Definition,
    pub phase: Phase,
    pub members: BTreeMap<ClientId, f64>,
    pub blobs: BTreeMap<Hash, Vec<u8>>,
    pub rounds: Vec<Round>,
    pub last_evaluation: BTreeMap<ClientId, Metrics>,
    pub statistics: BTreeMap<ClientId, BandStatistics>,
    pub model: Hash,
    pub plan: UpdatePlan,
    projection: Option<Hash>,
    chunks: BTreeMap<(ClientId, u32), BTreeMap<u32, Vec<u8>>>,
    hashes: BTreeMap<(ClientId, u32), Hash>,
    opened_ms: f64,
    joined: u64,
    /// Whatever was accepted, in order.
    pub counted: Vec<(ClientId, u32, Hash)>,
    /// Answered to the next finish of an upload, once.
    pub refuse: Option<Reason>,
}

pub fn id() -> FederationId {
    FederationId([7; 8])
}

pub fn layout(bytes: &[u8]) -> Layout {
    Layout::read(&MemorySource::new("model", bytes.to_vec()), 1 << 20).unwrap()
}

fn answer(reason: Reason) -> Response {
    respond(reason.status(), &Answer { reason, message: reason.sentence().into(), retry_after_ms: None })
}

fn respond(status: u16, body: &impl Serialize) -> Response {
    Response { status, total: None, body: serde_json::to_vec(body).unwrap() }
}

impl Coordinator {
    pub fn new(definition: Definition, model: Vec<u8>) -> Self {
        let plan = UpdatePlan::new(&definition, &layout(&model)).unwrap();
        let hash = Hash::of(&model);
        Self {
            now_ms: 0.0,
            definition,
            phase: Phase::Gathering,
            members: BTreeMap::new(),
            blobs: BTreeMap::from([(hash, model)]),
            rounds: Vec::new(),
            last_evaluation: BTreeMap::new(),
            statistics: BTreeMap::new(),
            model: hash,
            plan,
            projection: None,
            chunks: BTreeMap::new(),
            hashes: BTreeMap::new(),
            opened_ms: 0.0,
            joined: 0,
            counted: Vec::new(),
            refuse: None,
        }
    }

    pub fn round(&self) -> u32 {
        self.rounds.len() as u32
    }

    pub fn values(&self, hash: Hash) -> Vec<Vec<f32>> {
        let (bytes, source) = (&self.blobs[&hash], MemorySource::new("model", self.blobs[&hash].clone()));
        let layout = layout(bytes);
        let read = |(name, shape): &(String, Vec<usize>)| {
            let mut values = vec![0.0; shape.iter().product()];
            read_f32(&source, layout.tensors[name].at, 0, &mut values).unwrap();
            values
        };
        self.plan.tensors().iter().map(read).collect()
    }

    fn submitted(&self, client: ClientId) -> bool {
        match self.rounds.last() {
            None => self.statistics.contains_key(&client),
            Some(round) => round.updates.contains_key(&client),
        }
    }

    fn state(&self, client: Option<ClientId>) -> StateView {
        let present = self.present().count() as u32;
        let accepted = self.rounds.last().map_or(self.statistics.len(), |round| round.updates.len()) as u32;
        let deadline = self.opened_ms + self.definition.deadlines.round_s * 1000.0 - self.now_ms;
        StateView {
            why: None,
            phase: self.phase,
            round: self.round(),
            rounds: self.definition.rounds,
            model: Some(self.model),
            projection: self.projection,
            clients: self.members.len() as u32,
            present,
            accepted,
            submitted: client.is_some_and(|client| self.submitted(client)),
            remaining_ms: (self.phase == Phase::Training).then_some(deadline as i64),
            retry_after_ms: 2000,
        }
    }

    fn present(&self) -> impl Iterator<Item = &ClientId> {
        let presence = self.definition.deadlines.presence_s * 1000.0;
        self.members.iter().filter(move |(_, seen)| self.now_ms - **seen < presence).map(|(client, _)| client)
    }

    /// Time has passed: opens and closes rounds.
    pub fn tick(&mut self) {
        let quorum = self.definition.quorum;
        let present: BTreeSet<ClientId> = self.present().copied().collect();
        let ripe = |accepted: BTreeSet<ClientId>| {
            let waiting = present.difference(&accepted).count();
            let share = accepted.len() as f64 / (accepted.len() + waiting).max(1) as f64;
            let deadline = self.opened_ms + self.definition.deadlines.round_s * 1000.0;
            let over = self.now_ms >= deadline && share >= quorum.min_fraction;
            accepted.len() >= quorum.min_clients as usize && (waiting == 0 || over)
        };
        match self.phase {
            Phase::Gathering if present.len() >= quorum.min_clients as usize => {
                match self.definition.input.projection {
                    Some(_) => self.open(Phase::Statistics),
                    None => self.open_round(),
                }
            }
            Phase::Statistics if ripe(self.statistics.keys().copied().collect()) => {
                let mut sum = BandSum::new(self.definition.input.wavelengths_nm.len());
                self.statistics.values().for_each(|statistics| sum.add(statistics).unwrap());
                let (grid, options) =
                    (&self.definition.input.wavelengths_nm, self.definition.input.projection.unwrap());
                let projection = projection_of_moments("all", grid, &options, sum.moments()).unwrap();
                self.projection = Some(self.store(serde_json::to_vec(&projection).unwrap()));
                self.open_round();
            }
            Phase::Training if ripe(self.rounds.last().unwrap().updates.keys().copied().collect()) => self.aggregate(),
            _ => {}
        }
    }

    fn open(&mut self, phase: Phase) {
        (self.phase, self.opened_ms) = (phase, self.now_ms);
    }

    fn store(&mut self, bytes: Vec<u8>) -> Hash {
        let hash = Hash::of(&bytes);
        self.blobs.insert(hash, bytes);
        hash
    }

    fn open_round(&mut self) {
        let values = self.values(self.model);
        let layers: BTreeSet<&str> = self.plan.layers().collect();
        let tensors = self.plan.tensors().iter().zip(&values).filter(|((name, _), _)| layers.contains(name.as_str()));
        let target =
            |values: &[f32]| Scope::of(values).map_or(Target { mean: 0.0, deviation: 1.0 }, |scope| scope.target());
        let targets = tensors.map(|((name, _), values)| LayerTarget::new(name, target(values))).collect();
        let (updates, evaluation) = (BTreeMap::new(), BTreeMap::new());
        self.rounds.push(Round { model: self.model, targets, updates, result: None, evaluation });
        self.open(Phase::Training);
    }

    fn aggregate(&mut self) {
        let mut bytes = self.blobs[&self.model].clone();
        let (layout, updates) = (layout(&bytes), &self.rounds.last().unwrap().updates);
        let total: u64 = updates.values().map(|(_, samples, _)| samples).sum();
        let mut first = 0;
        for (name, shape) in self.plan.tensors() {
            let (at, count) = (layout.tensors[name].at as usize, shape.iter().product::<usize>());
            for i in 0..count {
                let sum: f64 = updates.values().map(|(_, n, change)| *n as f64 * f64::from(change[first + i])).sum();
                let place = at + 4 * i..at + 4 * i + 4;
                let weight = f32::from_le_bytes(bytes[place.clone()].try_into().unwrap());
                let new = (f64::from(weight) + sum / total as f64) as f32;
                bytes[place].copy_from_slice(&new.to_le_bytes());
            }
            first += count;
        }
        self.model = self.store(bytes);
        self.rounds.last_mut().unwrap().result = Some(self.model);
        if self.round() == self.definition.rounds { self.open(Phase::Finished) } else { self.open_round() }
    }

    /// Answers a request as over HTTP.
    pub fn handle(&mut self, request: &Request) -> Response {
        let prefix = format!("/federations/{}", id());
        let Some(rest) = request.path.strip_prefix(&prefix) else { return answer(Reason::FederationUnknown) };
        let parts: Vec<&str> = rest.split('/').skip(1).collect();
        let client: Option<ClientId> = request.token.strip_prefix("ssc_").and_then(|token| token.parse().ok());
        let client = client.filter(|client| self.members.contains_key(client));
        if client.is_none() && request.token != INVITE {
            return answer(Reason::TokenWrong);
        }
        if let Some(client) = client {
            self.members.insert(client, self.now_ms);
        }
        self.tick();
        let response = match (request.method, parts.as_slice(), client) {
            (Method::Post, ["clients"], _) if request.token == INVITE => self.join(),
            (Method::Delete, ["clients", "me"], Some(client)) => {
                self.members.remove(&client);
                answer(Reason::Done)
            }
            (Method::Get, [], _) => {
                let limits = ServerLimits { chunk_bytes: CHUNK, update_bytes: None };
                let (definition, state) = (self.definition.clone(), self.state(client));
                respond(200, &FederationView { federation: id(), definition, limits, state })
            }
            (Method::Get, ["state"], _) => respond(200, &self.state(client)),
            (Method::Get, ["history"], _) => {
                respond(200, &(1..=self.round()).map(|n| self.view(n)).collect::<Vec<_>>())
            }
            (Method::Get, ["rounds", n], _) => match n.parse() {
                Ok(n) if (1..=self.round()).contains(&n) => respond(200, &self.view(n)),
                _ => answer(Reason::RoundUnknown),
            },
            (Method::Get, ["blobs", hash], _) => self.blob(hash.parse().unwrap(), request.range),
            (Method::Put, ["rounds", n, "evaluation"], Some(client)) => {
                self.evaluate(client, n.parse().unwrap(), serde_json::from_slice(request.body.as_bytes()).unwrap())
            }
            (_, ["statistics", rest @ ..], Some(client)) => self.upload(request, client, 0, rest),
            (_, ["rounds", n, "update", rest @ ..], Some(client)) => {
                self.upload(request, client, n.parse().unwrap(), rest)
            }
            _ => answer(Reason::TokenNotAllowed),
        };
        self.tick();
        response
    }

    fn join(&mut self) -> Response {
        if self.phase == Phase::Finished {
            return answer(Reason::Finished);
        }
        self.joined += 1;
        let client = ClientId(self.joined.to_be_bytes());
        self.members.insert(client, self.now_ms);
        respond(201, &Joined { reason: Reason::Joined, client, client_token: format!("ssc_{client}") })
    }

    fn view(&self, number: u32) -> Value {
        let round = &self.rounds[number as usize - 1];
        let updates: Vec<Value> =
            round.updates.values().map(|(hash, n, _)| json!({"sha256": hash, "samples": n, "norm": 1.0})).collect();
        let of = |metrics: &BTreeMap<ClientId, Metrics>| Evaluation::of(&metrics.values().copied().collect::<Vec<_>>());
        let next = self.rounds.get(number as usize).map_or(&self.last_evaluation, |round| &round.evaluation);
        json!({
            "round": number, "model": round.model, "targets": round.targets, "updates": updates, "result": round.result,
            "evaluation": of(&round.evaluation), "result_evaluation": of(next), "local": Evaluation::default(),
        })
    }

    fn blob(&self, hash: Hash, range: Option<(u64, u64)>) -> Response {
        let Some(bytes) = self.blobs.get(&hash) else { return answer(Reason::BlobUnknown) };
        let (from, to) = range.unwrap_or((0, u64::MAX));
        // Shorter parts than asked for are allowed, and small contents come in several.
        let to = (to as usize).min(bytes.len()).min(from as usize + 150);
        Response { status: 206, total: Some(bytes.len() as u64), body: bytes[from as usize..to].to_vec() }
    }

    fn evaluate(&mut self, client: ClientId, round: u32, metrics: Metrics) -> Response {
        let last = self.round();
        let reports = match self.rounds.get_mut((round as usize).saturating_sub(1)) {
            Some(round) => &mut round.evaluation,
            None if round == last + 1 && self.phase == Phase::Finished => &mut self.last_evaluation,
            None => return answer(Reason::RoundUnknown),
        };
        let same = reports.insert(client, metrics) == Some(metrics);
        answer(if same { Reason::Duplicate } else { Reason::Accepted })
    }

    /// Whether something for this round is taken now.
    fn open_for(&self, client: ClientId, round: u32, hash: Option<Hash>) -> Result<(), Reason> {
        match self.hashes.get(&(client, round)) {
            Some(accepted) if hash.is_none_or(|hash| hash == *accepted) => return Err(Reason::Duplicate),
            Some(_) => return Err(Reason::AlreadySubmitted),
            None => {}
        }
        match (self.phase, round) {
            (Phase::Gathering, _) => Err(Reason::NotStarted),
            (Phase::Paused, _) => Err(Reason::Paused),
            (Phase::Statistics, 0) => Ok(()),
            (Phase::Statistics, _) => Err(Reason::StatisticsFirst),
            (Phase::Training, round) if round == self.round() => Ok(()),
            (Phase::Training, round) if round > self.round() => Err(Reason::RoundNotOpen),
            _ => Err(Reason::Late),
        }
    }

    fn upload(&mut self, request: &Request, client: ClientId, round: u32, rest: &[&str]) -> Response {
        let key = (client, round);
        match (request.method, rest) {
            (Method::Get, ["chunks"]) => {
                let received = self.chunks.get(&key).map_or(Vec::new(), |chunks| chunks.keys().copied().collect());
                respond(200, &Received { chunk_bytes: CHUNK, received, accepted: self.hashes.get(&key).copied() })
            }
            (Method::Put, ["chunks", index]) => {
                if let Err(reason) = self.open_for(client, round, None) {
                    return answer(reason);
                }
                let chunk = request.body.as_bytes().to_vec();
                self.chunks.entry(key).or_default().insert(index.parse().unwrap(), chunk);
                answer(Reason::Stored)
            }
            (Method::Put, []) => {
                let finish = serde_json::from_slice(request.body.as_bytes()).unwrap();
                answer(self.finish(client, round, &finish).unwrap_or_else(|reason| reason))
            }
            _ => answer(Reason::PathUnknown),
        }
    }

    fn finish(&mut self, client: ClientId, round: u32, finish: &FinishUpload) -> Result<Reason, Reason> {
        self.open_for(client, round, Some(finish.sha256))?;
        let key = (client, round);
        let chunks = self.chunks.get(&key).cloned().unwrap_or_default();
        let bytes: Vec<u8> = chunks.into_values().flatten().collect();
        if bytes.len() as u64 != finish.bytes {
            return Err(Reason::ChunksMissing);
        }
        if let Some(reason) = self.refuse.take() {
            self.chunks.remove(&key);
            return Err(reason);
        }
        if Hash::of(&bytes) != finish.sha256 {
            self.chunks.remove(&key);
            return Err(Reason::HashMismatch);
        }
        let binding = |model| Binding { federation: id(), client, round, model };
        if round == 0 {
            let (source, bands) = (MemorySource::new("statistics", bytes), self.definition.input.wavelengths_nm.len());
            let statistics = BandStatistics::read(&source, bands, &binding(Hash([0; 32])));
            self.statistics.insert(client, statistics.map_err(|error| error.reason())?);
        } else {
            let source = Rc::new(MemorySource::new("update", bytes));
            let update = Update::open(source, &self.plan, &binding(self.model)).map_err(|error| error.reason())?;
            update.check(self.definition.limits.max_norm).map_err(|error| error.reason())?;
            let mut values = Vec::new();
            for (index, (_, shape)) in self.plan.tensors().iter().enumerate() {
                let mut tensor = vec![0.0; shape.iter().product()];
                update.read(index, 0, &mut tensor).unwrap();
                values.extend(tensor);
            }
            let round = self.rounds.last_mut().unwrap();
            round.updates.insert(client, (finish.sha256, finish.samples, values));
        }
        self.hashes.insert(key, finish.sha256);
        self.chunks.remove(&key);
        self.counted.push((client, round, finish.sha256));
        Ok(Reason::Accepted)
    }
}
