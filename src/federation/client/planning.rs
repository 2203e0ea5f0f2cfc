//! What is next, as it follows from what is known.

use serde::Serialize;

use super::fetching::Fetching;
use super::transport::{Body, Method, Request, Traffic};
use super::uploading::{Content, UploadStep};
use super::work::{Kind, Ticket, Training, Work};
use super::{Client, Next};
use crate::federation::protocol::{Join, Phase, StateView, VERSION};
use crate::preprocess::Projection;

/// Longest projection that is taken: 512 components of 512 bands in decimals have a tenth of it.
const PROJECTION_MAX: u64 = 64 << 20;
/// Milliseconds to wait where there is nothing to ask.
const IDLE_MS: f64 = 1000.0;
/// A history of more rounds is not asked for whole.
const HISTORY_MAX: u32 = 500;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Join,
    Leave,
    Federation,
    State,
    Round(u32),
    History,
    Blob(BlobKind),
    Chunks,
    Chunk(u32),
    Finish,
    Evaluation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlobKind {
    Model,
    Projection,
}

/// The next thing, before it is made a request.
enum Plan {
    Ask(Asked),
    Work(Work),
    Wait,
    Finished,
}

impl Client {
    /// What is to be done now. `now_ms` is a clock that never goes back; where it starts does not matter.
    pub fn next(&mut self, now_ms: f64) -> Next {
        if let Some(error) = &self.stopped {
            return Next::Stopped(error.clone());
        }
        if self.left {
            return Next::Left;
        }
        let wait = |until_ms: f64| Next::Wait { milliseconds: (until_ms - now_ms).ceil().clamp(1.0, 1e9) as u64 };
        if now_ms < self.not_before_ms {
            return wait(self.not_before_ms);
        }
        match self.plan(now_ms) {
            Plan::Ask(asked) => {
                let Some(request) = self.request(asked) else { return wait(now_ms) };
                self.asked = Some((asked, request.traffic, request.body.as_bytes().len()));
                Next::Send(request)
            }
            Plan::Work(work) => Next::Work(work),
            Plan::Wait if self.left => Next::Left,
            // Once it is over nobody is asked any more.
            Plan::Wait if self.poll_at_ms <= now_ms => wait(now_ms + IDLE_MS),
            Plan::Wait => wait(self.poll_at_ms),
            Plan::Finished => Next::Finished,
        }
    }

    fn plan(&mut self, now_ms: f64) -> Plan {
        if self.leaving {
            if self.kept.member.is_some() {
                return Plan::Ask(Asked::Leave);
            }
            self.left = true;
            return Plan::Wait;
        }
        if self.kept.member.is_none() {
            return Plan::Ask(Asked::Join);
        }
        if self.view.is_none() {
            return Plan::Ask(Asked::Federation);
        }
        let finished = self.state.as_ref().is_some_and(|state| state.phase == Phase::Finished);
        let Some(state) = self.state.clone().filter(|_| finished || now_ms < self.poll_at_ms) else {
            return Plan::Ask(Asked::State);
        };
        if let Some(round) = self.unsettled(&state) {
            return Plan::Ask(Asked::Round(round));
        }
        if self.evaluation.is_some() {
            return Plan::Ask(Asked::Evaluation);
        }
        if let Some(&round) = self.unseen.first() {
            return Plan::Ask(Asked::Round(round));
        }
        if !self.history_seen && (2..=HISTORY_MAX).contains(&state.round) {
            return Plan::Ask(Asked::History);
        }
        let answers = !state.submitted && self.kept.sits_out != Some(state.round);
        match state.phase {
            Phase::Statistics if answers => self.plan_statistics(),
            Phase::Training if answers => self.plan_training(&state),
            Phase::Finished => self.plan_end(&state),
            _ => Plan::Wait,
        }
    }

    /// The round of an upload of which it is not known whether it was accepted: its answer was lost, or the round is over.
    fn unsettled(&mut self, state: &StateView) -> Option<u32> {
        let content = self.kept.upload.as_ref()?.content;
        let round = content.round();
        let over = round != state.round || state.submitted || state.phase == Phase::Finished;
        match content {
            Content::Update { .. } if over => Some(round),
            Content::Statistics if over => {
                self.kept.upload = None;
                self.changed = true;
                None
            }
            _ => None,
        }
    }

    fn plan_statistics(&mut self) -> Plan {
        if let Some(step) = self.upload_step() {
            return Plan::Ask(step);
        }
        let ticket = Ticket { round: 0, model: None, kind: Kind::Statistics };
        self.begin(ticket, |_| Work::Statistics { ticket })
    }

    fn plan_training(&mut self, state: &StateView) -> Plan {
        if let Some(step) = self.upload_step() {
            return Plan::Ask(step);
        }
        let Some(round) = self.rounds.get(&state.round) else { return Plan::Ask(Asked::Round(state.round)) };
        let aligned = self.view.as_ref().is_some_and(|view| view.definition.algorithm.wsa.is_some());
        let targets = if aligned { round.targets.clone() } else { Vec::new() };
        if let Some(blob) = self.missing(state) {
            return Plan::Ask(Asked::Blob(blob));
        }
        let Some(model) = self.model.clone() else { return Plan::Wait };
        let ticket = Ticket { round: state.round, model: Some(model.hash), kind: Kind::Training };
        let evaluate = self.kept.evaluated < state.round;
        self.begin(ticket, |client| {
            let projection = client.projection().cloned();
            Work::Training(Box::new(Training { ticket, model, projection, targets, evaluate }))
        })
    }

    fn plan_end(&mut self, state: &StateView) -> Plan {
        if state.model.is_none() || state.round == 0 {
            return Plan::Finished;
        }
        if let Some(blob) = self.missing(state) {
            return Plan::Ask(Asked::Blob(blob));
        }
        let Some(model) = self.model.clone() else { return Plan::Finished };
        // The host may have ended it within a round: then the last model is the one with which that round began.
        let came_out = self.rounds.get(&state.round).is_some_and(|round| round.result == state.model);
        let round = if came_out { state.round + 1 } else { state.round };
        if self.kept.evaluated >= round {
            return Plan::Finished;
        }
        let ticket = Ticket { round, model: Some(model.hash), kind: Kind::Evaluation };
        self.begin(ticket, |client| Work::Evaluation { ticket, model, projection: client.projection().cloned() })
    }

    /// Hands work out once.
    fn begin(&mut self, ticket: Ticket, work: impl FnOnce(&Self) -> Work) -> Plan {
        if self.working == Some(ticket) {
            return Plan::Wait;
        }
        self.working = Some(ticket);
        Plan::Work(work(self))
    }

    fn upload_step(&self) -> Option<Asked> {
        Some(match self.kept.upload.as_ref()?.step() {
            UploadStep::AskChunks => Asked::Chunks,
            UploadStep::Chunk(index) => Asked::Chunk(index),
            UploadStep::Finish => Asked::Finish,
        })
    }

    /// What has to be fetched before work with the state's model.
    fn missing(&mut self, state: &StateView) -> Option<BlobKind> {
        let definition = &self.view.as_ref()?.definition;
        let model = state.model.filter(|wanted| self.model.as_ref().is_none_or(|model| model.hash != *wanted));
        let projection =
            state.projection.filter(|wanted| self.projection.as_ref().is_none_or(|(hash, _)| hash != wanted));
        let (kind, hash, limit) = match (projection, model) {
            (Some(hash), _) => (BlobKind::Projection, hash, PROJECTION_MAX),
            (None, Some(hash)) => (BlobKind::Model, hash, definition.model.weights.bytes),
            (None, None) => return None,
        };
        if self.fetching.as_ref().is_none_or(|fetching| fetching.hash != hash) {
            self.fetching = Some(Fetching::new(hash, limit));
        }
        Some(kind)
    }

    /// `None` where what it needs is not there, which planning rules out.
    fn request(&self, asked: Asked) -> Option<Request> {
        let invitation = &self.kept.invitation;
        let path = |rest: &str| format!("/federations/{}{rest}", invitation.federation);
        let member = self.kept.member.as_ref();
        let token = || member.map_or(invitation.token.clone(), |member| member.token.clone());
        let get = |rest: &str| Request {
            method: Method::Get,
            path: path(rest),
            token: token(),
            range: None,
            body: Body::Empty,
            traffic: Traffic::Control,
        };
        let upload = self.kept.upload.as_ref();
        let place = || {
            Some(match upload?.content {
                Content::Statistics => "/statistics".to_owned(),
                Content::Update { round, .. } => format!("/rounds/{round}/update"),
            })
        };
        Some(match asked {
            Asked::Join => Request {
                method: Method::Post,
                token: invitation.token.clone(),
                body: json(&Join { version: VERSION })?,
                ..get("/clients")
            },
            Asked::Leave => Request { method: Method::Delete, ..get("/clients/me") },
            Asked::Federation => get(""),
            Asked::State => get("/state"),
            Asked::Round(round) => get(&format!("/rounds/{round}")),
            Asked::History => get("/history"),
            Asked::Blob(kind) => {
                let fetching = self.fetching.as_ref()?;
                let traffic = match kind {
                    BlobKind::Model => Traffic::Model,
                    BlobKind::Projection => Traffic::Projection,
                };
                Request { range: Some(fetching.range()), traffic, ..get(&format!("/blobs/{}", fetching.hash)) }
            }
            Asked::Chunks => get(&format!("{}/chunks", place()?)),
            Asked::Chunk(index) => {
                let upload = upload?;
                let traffic = match upload.content {
                    Content::Statistics => Traffic::Statistics,
                    Content::Update { .. } => Traffic::Update,
                };
                let body = Body::Bytes(upload.chunk_bytes(index));
                Request { method: Method::Put, body, traffic, ..get(&format!("{}/chunks/{index}", place()?)) }
            }
            Asked::Finish => Request { method: Method::Put, body: json(upload?.finish())?, ..get(&place()?) },
            Asked::Evaluation => {
                let (round, metrics) = self.evaluation?;
                let body = json(&metrics)?;
                let traffic = Traffic::Metrics;
                Request { method: Method::Put, body, traffic, ..get(&format!("/rounds/{round}/evaluation")) }
            }
        })
    }

    /// The projection for scenes on the federation's grid: the common one, or none at all.
    pub fn input_projection(&self) -> Option<Projection> {
        let grid = &self.definition()?.input.wavelengths_nm;
        Some(self.projection().map_or_else(|| Projection::identity(grid), |projection| (**projection).clone()))
    }
}

fn json(message: &impl Serialize) -> Option<Body> {
    serde_json::to_string(message).ok().map(Body::Json)
}
