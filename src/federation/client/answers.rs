//! What follows from an answer, or from none.

use std::rc::Rc;

use serde::de::DeserializeOwned;

use super::error::ClientError;
use super::fetching::Fetched;
use super::kept::Member;
use super::model::CommonModel;
use super::planning::{Asked, BlobKind};
use super::transport::{Response, Unreachable};
use super::uploading::{Content, RESENDS_MAX};
use super::work::Kind;
use super::{Client, Patience};
use crate::federation::protocol::{Answer, FederationView, Joined, Phase, Reason, Received, RoundView, StateView};
use crate::preprocess::Projection;

/// Times that a content may arrive with another hash.
const DAMAGED_MAX: u32 = 3;
/// Asking for the state more often than this is of use to nobody.
const POLL_MIN_MS: u64 = 100;
const POLL_MAX_MS: u64 = 60_000;

/// What a client does about a refusal.
enum Course {
    /// The same again, later.
    Again,
    /// Ask for the state again, a little later: the federation is not where the client thought.
    Look,
    /// This content is of no more use.
    GiveUp,
    /// Chunks have been forgotten.
    Resend,
    /// The content is at fault, and would be again.
    SitOut,
    Rejoin,
    Stop,
}

fn course(reason: Reason, member: bool) -> Course {
    match reason {
        Reason::TooSlow | Reason::TooManyRequests | Reason::Busy | Reason::StorageFailed | Reason::ShuttingDown => {
            Course::Again
        }
        Reason::NotStarted
        | Reason::Paused
        | Reason::Aggregating
        | Reason::RoundNotOpen
        | Reason::StatisticsFirst
        | Reason::ModelMissing
        | Reason::RoundUnknown
        | Reason::BlobUnknown => Course::Look,
        Reason::Late | Reason::Finished | Reason::AlreadySubmitted | Reason::Replayed | Reason::NoStatistics => {
            Course::GiveUp
        }
        Reason::ChunksMissing | Reason::HashMismatch => Course::Resend,
        Reason::UploadTooLarge
        | Reason::BodyTooLarge
        | Reason::TensorsMalformed
        | Reason::ShapeMismatch
        | Reason::NotFinite
        | Reason::ValueTooLarge
        | Reason::NormTooLarge
        | Reason::SamplesOutOfRange
        | Reason::StatisticsInvalid
        | Reason::MetricsInvalid => Course::SitOut,
        Reason::TokenWrong if member => Course::Rejoin,
        _ => Course::Stop,
    }
}

impl Client {
    /// Hears what became of the request that [`Client::next`] gave last.
    pub fn take(&mut self, answer: Result<Response, Unreachable>, now_ms: f64) {
        let Some((asked, traffic, sent)) = self.asked.take() else { return };
        let received = answer.as_ref().map_or(0, |response| response.body.len());
        self.kept.ledger.add(traffic, sent, received);
        let response = match answer {
            Ok(response) => response,
            Err(Unreachable { reason }) => return self.wait_again(&reason, None, now_ms),
        };
        if (200..300).contains(&response.status) {
            self.patience.succeeded();
            if self.kept.sits_out.is_none() {
                self.trouble = None;
            }
            return self.accept(asked, response, now_ms);
        }
        match serde_json::from_slice::<Answer>(&response.body) {
            Ok(answer) => self.refused(asked, answer, now_ms),
            // A proxy in front speaks: it is overloaded, or the coordinator behind it is away.
            Err(_) if matches!(response.status, 408 | 425 | 429 | 500..) => {
                let reason = format!("the server answers with status {}", response.status);
                self.wait_again(&reason, None, now_ms);
            }
            Err(_) => self.stop(ClientError::Strange { status: response.status }),
        }
    }

    fn stop(&mut self, error: ClientError) {
        self.stopped = Some(error);
        self.working = None;
    }

    fn wait_again(&mut self, reason: &str, after_ms: Option<u64>, now_ms: f64) {
        let own = self.patience.failed();
        let wait = after_ms.map_or(own, |told| told.clamp(POLL_MIN_MS, POLL_MAX_MS));
        self.not_before_ms = now_ms + wait as f64;
        self.trouble = Some(reason.to_owned());
    }

    fn refused(&mut self, asked: Asked, answer: Answer, now_ms: f64) {
        let Answer { reason, message, retry_after_ms } = answer;
        if reason.is_success() {
            // The status says otherwise: nothing to rely on.
            return self.wait_again(&message, retry_after_ms, now_ms);
        }
        match (course(reason, self.kept.member.is_some()), asked) {
            (_, Asked::Leave) if !matches!(course(reason, true), Course::Again) => self.has_left(),
            (Course::Again, _) => self.wait_again(&message, retry_after_ms, now_ms),
            (Course::GiveUp | Course::SitOut | Course::Resend, Asked::Join | Asked::Federation | Asked::State) => {
                self.stop(ClientError::Refused { reason, message });
            }
            // What cannot be told of a round is not worth stopping for.
            (Course::Look | Course::GiveUp | Course::SitOut, Asked::Evaluation) => self.evaluation_done(),
            (Course::Look, Asked::Round(round)) => {
                self.unseen.remove(&round);
                if self.kept.upload.as_ref().is_some_and(|upload| upload.content.round() == round) {
                    self.drop_upload();
                }
                self.look(&message, retry_after_ms, now_ms);
            }
            (Course::Look, _) => self.look(&message, retry_after_ms, now_ms),
            (Course::GiveUp, _) => {
                self.drop_upload();
                self.look(&message, retry_after_ms, now_ms);
            }
            (Course::Resend, _) => self.resend(&message, now_ms),
            (Course::SitOut, _) => {
                let round = self.kept.upload.as_ref().map(|upload| upload.content.round());
                self.drop_upload();
                self.sit_out(round.unwrap_or_default(), message);
            }
            (Course::Rejoin, _) => {
                self.kept.member = None;
                self.kept.evaluated = 0;
                self.drop_upload();
                (self.view, self.state, self.working) = (None, None, None);
                self.look(&message, retry_after_ms, now_ms);
            }
            (Course::Stop, _) => self.stop(ClientError::Refused { reason, message }),
        }
    }

    /// The state is asked for again after a wait.
    fn look(&mut self, reason: &str, after_ms: Option<u64>, now_ms: f64) {
        self.poll_at_ms = f64::MIN;
        self.wait_again(reason, after_ms, now_ms);
    }

    fn resend(&mut self, reason: &str, now_ms: f64) {
        if let Some(upload) = &mut self.kept.upload {
            upload.look_again();
            upload.resent += 1;
            if upload.resent > RESENDS_MAX {
                let times = upload.resent;
                self.drop_upload();
                return self.stop(ClientError::Upload { times });
            }
        }
        self.wait_again(reason, None, now_ms);
    }

    /// This round goes on without this client.
    pub(super) fn sit_out(&mut self, round: u32, why: String) {
        self.kept.sits_out = Some(round);
        self.trouble = Some(why);
        self.working = None;
        self.changed = true;
    }

    fn drop_upload(&mut self) {
        self.kept.upload = None;
        self.changed = true;
    }

    fn has_left(&mut self) {
        self.kept.member = None;
        self.drop_upload();
        (self.left, self.working) = (true, None);
    }

    fn evaluation_done(&mut self) {
        if let Some((round, _)) = self.evaluation.take() {
            self.kept.evaluated = self.kept.evaluated.max(round);
            self.changed = true;
            // Of the last model only this tells what others have reported.
            let over = self.state.as_ref().filter(|state| state.phase == Phase::Finished && state.round > 0);
            self.unseen.extend(over.map(|state| state.round));
        }
    }

    fn accept(&mut self, asked: Asked, response: Response, now_ms: f64) {
        match asked {
            Asked::Join => {
                if let Some(Joined { client, client_token, .. }) = self.read("joining", &response, now_ms) {
                    self.patience = Patience::new(u64::from_le_bytes(client.0));
                    self.kept.member = Some(Member { client, token: client_token });
                    self.changed = true;
                }
            }
            Asked::Leave => self.has_left(),
            Asked::Federation => {
                let read = serde_json::from_slice::<FederationView>(&response.body);
                match read.map_err(|error| unreadable("the question what the federation is", &error)) {
                    Ok(view) => self.met(view, now_ms),
                    Err(error) => self.stop(error),
                }
            }
            Asked::State => {
                if let Some(state) = self.read("the question where the federation is", &response, now_ms) {
                    self.heard(state, now_ms);
                }
            }
            Asked::Round(round) => {
                if let Some(view) = self.read::<RoundView>("the question about a round", &response, now_ms) {
                    self.settle(round, &view);
                    self.unseen.remove(&round);
                    self.rounds.insert(round, view);
                    self.revision += 1;
                }
            }
            Asked::History => {
                if let Some(rounds) = self.read::<Vec<RoundView>>("the question about the history", &response, now_ms) {
                    self.history_seen = true;
                    self.revision += 1;
                    self.rounds.extend(rounds.into_iter().map(|view| (view.round, view)));
                }
            }
            Asked::Blob(kind) => self.arrived(kind, response, now_ms),
            Asked::Chunks => {
                let received = self.read::<Received>("the question about chunks", &response, now_ms);
                let (Some(received), Some(upload)) = (received, self.kept.upload.as_mut()) else { return };
                match received.accepted {
                    Some(hash) if hash == upload.sha256() => self.accepted(),
                    // Another one counts; whether this one does is settled by the round.
                    Some(_) => self.look("another update of this client counts in this round", None, now_ms),
                    None => upload.learn(&received),
                }
            }
            Asked::Chunk(index) => {
                if let Some(upload) = &mut self.kept.upload {
                    upload.stored(index);
                }
            }
            Asked::Finish => self.accepted(),
            Asked::Evaluation => self.evaluation_done(),
        }
    }

    /// An answer that may have been damaged on the way: asking again may help.
    fn read<T: DeserializeOwned>(&mut self, what: &'static str, response: &Response, now_ms: f64) -> Option<T> {
        match serde_json::from_slice(&response.body) {
            Ok(read) => Some(read),
            Err(error) => {
                self.wait_again(&unreadable(what, &error).to_string(), None, now_ms);
                None
            }
        }
    }

    fn met(&mut self, view: FederationView, now_ms: f64) {
        if let Err(error) = view.definition.check() {
            return self.stop(error.into());
        }
        let state = view.state.clone();
        self.view = Some(view);
        self.heard(state, now_ms);
    }

    fn heard(&mut self, state: StateView, now_ms: f64) {
        let before = self.state.as_ref().map(|before| (before.round, before.phase == Phase::Finished));
        if before != Some((state.round, state.phase == Phase::Finished)) {
            // What others reported of the round before is complete only now.
            self.unseen.extend([state.round, state.round.saturating_sub(1)].into_iter().filter(|&round| round > 0));
            if self.kept.sits_out.is_some_and(|round| round != state.round) {
                (self.kept.sits_out, self.trouble) = (None, None);
            }
        }
        let still = |kind: Kind| match kind {
            Kind::Statistics => matches!(state.phase, Phase::Statistics | Phase::Paused) && state.round == 0,
            Kind::Training => matches!(state.phase, Phase::Training | Phase::Paused) && !state.submitted,
            Kind::Evaluation => state.phase == Phase::Finished,
        };
        let fits = |round: u32, kind: Kind| kind == Kind::Evaluation || round == state.round;
        self.working = self.working.filter(|ticket| {
            still(ticket.kind)
                && fits(ticket.round, ticket.kind)
                && (ticket.model.is_none() || ticket.model == state.model)
        });
        let mut wait = state.retry_after_ms.clamp(POLL_MIN_MS, POLL_MAX_MS) as f64;
        if self.kept.sits_out == Some(state.round) {
            // Who asks counts as present, and others would wait for it.
            let presence = self.definition().map_or(0.0, |definition| definition.deadlines.presence_s);
            wait = wait.max(presence * 1200.0);
        }
        self.poll_at_ms = now_ms + wait;
        self.state = Some(state);
    }

    /// Now it is known whether an update of that round was accepted.
    fn settle(&mut self, round: u32, view: &RoundView) {
        let Some(upload) = &self.kept.upload else { return };
        if !matches!(upload.content, Content::Update { round: own, .. } if own == round) {
            return;
        }
        let counted = view.updates.iter().any(|update| update.sha256 == upload.sha256());
        let open = self
            .state
            .as_ref()
            .is_some_and(|state| state.round == round && !state.submitted && state.phase != Phase::Finished);
        if counted {
            self.accepted();
        } else if !open {
            self.drop_upload();
        }
    }

    /// The upload counts.
    fn accepted(&mut self) {
        let Some(upload) = self.kept.upload.take() else { return };
        if let Some(next) = upload.next {
            self.kept.encoder = next;
        }
        if let Some(state) = self.state.as_mut().filter(|state| state.round == upload.content.round()) {
            state.submitted = true;
        }
        self.changed = true;
    }

    fn arrived(&mut self, kind: BlobKind, response: Response, now_ms: f64) {
        let Some(mut fetching) = self.fetching.take() else { return };
        let hash = fetching.hash;
        let bytes = match fetching.take(response) {
            Fetched::More => return self.fetching = Some(fetching),
            Fetched::Damaged if fetching.damaged >= DAMAGED_MAX => {
                return self.stop(ClientError::Damaged { hash, times: fetching.damaged });
            }
            Fetched::Damaged => {
                self.fetching = Some(fetching);
                return self.wait_again("a content arrived damaged and is fetched again", None, now_ms);
            }
            Fetched::Whole(bytes) => bytes,
        };
        let Some(view) = &self.view else { return };
        match kind {
            BlobKind::Model => match CommonModel::new(hash, bytes, &view.definition) {
                Ok(model) => self.model = Some(model),
                Err(error) => self.stop(ClientError::Model(error)),
            },
            BlobKind::Projection => {
                let bands = view.definition.input.wavelengths_nm.len();
                let read = serde_json::from_slice::<Projection>(&bytes).map_err(|error| error.to_string());
                let sound = |projection: &Projection| projection.is_sound() && projection.scene_bands == bands;
                match read
                    .and_then(|read| sound(&read).then_some(read).ok_or_else(|| "its parts do not fit".to_owned()))
                {
                    Ok(projection) => self.projection = Some((hash, Rc::new(projection))),
                    Err(error) => self.stop(ClientError::Projection(error)),
                }
            }
        }
    }
}

fn unreadable(what: &'static str, error: &serde_json::Error) -> ClientError {
    ClientError::Unreadable { what, detail: error.to_string() }
}
