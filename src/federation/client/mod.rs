//! A client of federated rounds.
//!
//! [`Client`] is a state machine without clock, network or threads: [`Client::next`] says what is to be done now (send a
//! request, wait, do some work on the scene), and [`Client::take`] hears what became of a request. What is next follows from
//! what is known (the federation's state, the model at hand, an upload on its way), not from where the client was before, so
//! a client that returns after a night, a reload or a lost answer simply takes the round that is open. [`Client::step`] sends
//! requests over a [`Transport`].
//!
//! | file | what |
//! | --- | --- |
//! | `invitation` | the link |
//! | `planning` | what is next |
//! | `answers` | what follows from an answer, or from none |
//! | `work` | what needs the scene: statistics, training, measuring |
//! | `results` | what work has led to becomes uploads |
//! | `fetching`, `uploading` | large contents, in pieces, over cuts |
//! | `kept` | what survives a reload |
//! | `ledger` | bytes up and down, by type |
//! | `patience`, `error`, `transport` | waits, what cannot be waited out, the network |

mod answers;
mod error;
mod fetching;
mod invitation;
mod kept;
mod ledger;
mod model;
mod patience;
mod planning;
mod results;
mod statistics;
mod transport;
mod uploading;
mod work;

#[cfg(test)]
pub(crate) mod double;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

pub use error::{ClientError, SavedError};
pub use invitation::{Invitation, InvitationError};
pub use kept::OwnScope;
pub use ledger::{Bytes, Ledger};
pub use model::CommonModel;
pub use transport::{Body, Local, Method, Request, Response, Traffic, Transport, Unreachable};
pub use work::{Ticket, Trained, Training, Work};

use crate::federation::protocol::{ClientId, Definition, FederationView, Hash, Metrics, Phase, RoundView, StateView};
use crate::preprocess::Projection;
use fetching::Fetching;
use kept::Kept;
use patience::Patience;
use planning::Asked;
use work::Kind;

/// One client of one federation.
pub struct Client {
    kept: Kept,
    view: Option<FederationView>,
    state: Option<StateView>,
    rounds: BTreeMap<u32, RoundView>,
    /// Rounds to ask about.
    unseen: BTreeSet<u32>,
    history_seen: bool,
    model: Option<CommonModel>,
    projection: Option<(Hash, Rc<Projection>)>,
    fetching: Option<Fetching>,
    /// Work that is being done.
    working: Option<Ticket>,
    /// Metrics to be sent.
    evaluation: Option<(u32, Metrics)>,
    leaving: bool,
    /// Leaving has been said, or there was nothing to leave.
    left: bool,
    /// The request whose answer is awaited, and what its body was.
    asked: Option<(Asked, Traffic, usize)>,
    patience: Patience,
    /// No request before this.
    not_before_ms: f64,
    /// When to ask for the state again.
    poll_at_ms: f64,
    trouble: Option<String>,
    stopped: Option<ClientError>,
    changed: bool,
    revision: u64,
}

/// What is to be done now.
pub enum Next {
    /// Send this, then call [`Client::take`].
    Send(Request),
    /// Nothing for so long; [`Client::next`] may be called earlier.
    Wait {
        milliseconds: u64,
    },
    Work(Work),
    /// The federation is over and its last model has been measured: [`Client::model`].
    Finished,
    /// The client has left.
    Left,
    /// It cannot go on; [`Client::retry`] tries again.
    Stopped(ClientError),
}

/// What became of [`Client::step`].
pub enum Step {
    /// A request was sent; what there is to see may have changed.
    Asked,
    Wait {
        milliseconds: u64,
    },
    Work(Work),
    Finished,
    Left,
    Stopped(ClientError),
}

/// What a client is doing, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Joining,
    /// The federation gathers clients, or has been paused.
    Waiting,
    /// Band statistics are being added up.
    Statistics,
    /// Bytes here and in all, where known.
    Downloading {
        done: u64,
        total: Option<u64>,
    },
    Training,
    Evaluating,
    Uploading {
        done: u64,
        total: u64,
    },
    /// This round's update has been accepted; others are still at it.
    Submitted,
    /// This client does not answer in this round: [`Client::trouble`] says why.
    SittingOut,
    /// The connection or the coordinator is away.
    Reconnecting,
    Finished,
    Left,
    Stopped,
}

impl Client {
    /// A client that is about to join.
    pub fn new(invitation: Invitation) -> Self {
        Self::with(Kept::new(invitation))
    }

    /// A client as it was [kept](Self::to_bytes).
    ///
    /// # Errors
    /// [`SavedError`] when the bytes are damaged or of another version.
    pub fn resume(bytes: &[u8]) -> Result<Self, SavedError> {
        Ok(Self::with(Kept::from_bytes(bytes)?))
    }

    fn with(kept: Kept) -> Self {
        let seed = kept.member.as_ref().map_or(0, |member| u64::from_le_bytes(member.client.0));
        Self {
            kept,
            view: None,
            state: None,
            rounds: BTreeMap::new(),
            unseen: BTreeSet::new(),
            history_seen: false,
            model: None,
            projection: None,
            fetching: None,
            working: None,
            evaluation: None,
            leaving: false,
            left: false,
            asked: None,
            patience: Patience::new(seed),
            not_before_ms: f64::MIN,
            poll_at_ms: f64::MIN,
            trouble: None,
            stopped: None,
            changed: false,
            revision: 0,
        }
    }

    /// Everything that a client needs to go on after a reload. Holds its token: keep it where other sites cannot read.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.kept.to_bytes()
    }

    /// True once after something changed that should be [kept](Self::to_bytes).
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Sends what is to be sent now, and says what there is to do besides.
    pub async fn step(&mut self, transport: &dyn Transport, now_ms: impl Fn() -> f64) -> Step {
        match self.next(now_ms()) {
            Next::Send(request) => {
                let answer = transport.send(&request).await;
                self.take(answer, now_ms());
                Step::Asked
            }
            Next::Wait { milliseconds } => Step::Wait { milliseconds },
            Next::Work(work) => Step::Work(work),
            Next::Finished => Step::Finished,
            Next::Left => Step::Left,
            Next::Stopped(error) => Step::Stopped(error),
        }
    }

    /// The network is back, or the user has lost patience: try again now.
    pub fn retry(&mut self) {
        self.stopped = None;
        self.patience.succeeded();
        self.not_before_ms = f64::MIN;
        self.poll_at_ms = f64::MIN;
    }

    /// Leave for good: the token becomes void, what was accepted still counts. [`Next::Left`] tells when it is done.
    pub fn leave(&mut self) {
        self.leaving = true;
        self.retry();
    }

    /// Whether some work is still wanted: its round may be over.
    pub fn wants(&self, ticket: Ticket) -> bool {
        self.working == Some(ticket)
    }

    pub fn invitation(&self) -> &Invitation {
        &self.kept.invitation
    }

    /// This client's name, once it has joined.
    pub fn id(&self) -> Option<ClientId> {
        self.kept.member.as_ref().map(|member| member.client)
    }

    pub fn definition(&self) -> Option<&Definition> {
        self.view.as_ref().map(|view| &view.definition)
    }

    pub fn state(&self) -> Option<&StateView> {
        self.state.as_ref()
    }

    /// What is known of the rounds.
    pub fn rounds(&self) -> &BTreeMap<u32, RoundView> {
        &self.rounds
    }

    /// Rises whenever [`rounds`](Self::rounds) or [`own_scopes`](Self::own_scopes) change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The common model that was fetched last.
    pub fn model(&self) -> Option<&CommonModel> {
        self.model.as_ref()
    }

    /// The common projection.
    pub fn projection(&self) -> Option<&Rc<Projection>> {
        self.projection.as_ref().map(|(_, projection)| projection)
    }

    /// Names of the layers, and the scopes of one's own trained ones by round.
    pub fn own_scopes(&self) -> (&[String], &BTreeMap<u32, Vec<OwnScope>>) {
        (&self.kept.layers, &self.kept.scopes)
    }

    pub fn ledger(&self) -> &Ledger {
        &self.kept.ledger
    }

    /// What is in the way, and what the client does about it.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// What the client is doing.
    pub fn stage(&self) -> Stage {
        if self.stopped.is_some() {
            return Stage::Stopped;
        }
        if self.left {
            return Stage::Left;
        }
        match self.working.map(|ticket| ticket.kind) {
            Some(Kind::Statistics) => return Stage::Statistics,
            Some(Kind::Training) => return Stage::Training,
            Some(Kind::Evaluation) => return Stage::Evaluating,
            None if self.patience.attempts() > 0 => return Stage::Reconnecting,
            None => {}
        }
        let Some(state) = self.state.as_ref().filter(|_| self.kept.member.is_some()) else { return Stage::Joining };
        if let Some(fetching) = &self.fetching {
            let (done, total) = fetching.progress();
            return Stage::Downloading { done, total };
        }
        if let Some(upload) = self.kept.upload.as_ref().filter(|upload| upload.content.round() == state.round) {
            let (done, total) = upload.progress();
            return Stage::Uploading { done, total };
        }
        match state.phase {
            Phase::Finished => Stage::Finished,
            Phase::Statistics | Phase::Training if state.submitted => Stage::Submitted,
            Phase::Statistics | Phase::Training if self.kept.sits_out == Some(state.round) => Stage::SittingOut,
            Phase::Aggregating => Stage::Submitted,
            _ => Stage::Waiting,
        }
    }
}
