//! Take part in a federation: the client, with the open scene to work on.

mod ending;

use std::rc::Rc;

use super::super::clock::{now_s, sleep_ms};
use super::super::federation::{FederatedScene, Keeping, LocalRound, RoundPlan};
use super::super::message::{
    DeviceChoice, Event, FederateJob, FederationProgress, FederationRounds, LocalPhase, LocalProgress, RequestId, Stage,
};
use super::super::session::{Refusal, Session};
use super::pace::Pace;
use super::{BUSY, Stop, conclude, listen};
use crate::federation::client::{Client, Next, Step, Ticket, Training, Transport, Work};
use crate::federation::protocol::BandStatistics;
use crate::preprocess::Projection;
use crate::train::{CubeView, TrainingData};

/// Seconds between two messages about progress.
const EVERY_S: f64 = 0.25;
/// Seconds between two looks at a half-trained round worth keeping.
const CHECKPOINT_EVERY_S: f64 = 10.0;
/// Milliseconds after which a waiting client hears its messages.
const LOOK_MS: u64 = 100;

pub(in super::super) async fn federate(session: &Session, id: RequestId, job: FederateJob) -> Result<(), Refusal> {
    let Some(_running) = session.control.start() else { return Err(BUSY.into()) };
    let end = match Taking::part(session, id, job).await {
        Ok(mut taking) => taking.run().await,
        Err(stop) => Err(stop),
    };
    conclude(session, id, end)
}

/// A client at work.
struct Taking<'a> {
    session: &'a Session,
    id: RequestId,
    job: FederateJob,
    transport: Rc<dyn Transport>,
    client: Client,
    keeping: Keeping,
    /// Once the definition is known.
    scene: Option<Rc<FederatedScene>>,
    /// The tiles that labels need, for the projection that came with it.
    data: Option<(Rc<Projection>, TrainingData)>,
    local: LocalProgress,
    /// When progress was told last, of which stage, and which rounds.
    told_s: f64,
    told: Option<(Stage, LocalPhase)>,
    told_rounds: Option<u64>,
}

fn now_ms() -> f64 {
    now_s() * 1000.0
}

impl<'a> Taking<'a> {
    async fn part(session: &'a Session, id: RequestId, job: FederateJob) -> Result<Self, Stop> {
        session.cube()?;
        let mut keeping = if job.simulated {
            // A place that is kept would be taken for the user's own by the next tab.
            Keeping::nowhere()
        } else {
            Keeping::open(session.places().await, job.invitation.federation).await
        };
        let kept = keeping.read().and_then(|bytes| Client::resume(&bytes).ok());
        let client = kept.unwrap_or_else(|| Client::new(job.invitation.clone()));
        Ok(Self {
            transport: session.coordinator(&job.invitation.server),
            session,
            id,
            job,
            client,
            keeping,
            scene: None,
            data: None,
            local: LocalProgress::IDLE,
            told_s: f64::MIN,
            told: None,
            told_rounds: None,
        })
    }

    async fn run(&mut self) -> Result<(), Stop> {
        loop {
            let step = self.client.step(&*self.transport, now_ms).await;
            self.after_step();
            self.hear().await?;
            match step {
                Step::Asked => {}
                Step::Wait { milliseconds } => sleep_ms(milliseconds.min(LOOK_MS) as i32).await,
                Step::Work(work) => self.work(work).await?,
                Step::Finished => break,
                Step::Left => {
                    self.keeping.forget().await;
                    self.tell(true);
                    return Ok(());
                }
                Step::Stopped(error) => {
                    self.tell(true);
                    return Err(Refusal::from(error).into());
                }
            }
        }
        self.tell(true);
        let end = self.end().await?;
        self.idle();
        self.tell(true);
        self.session.post(self.id, Event::FederationEnded(Box::new(end)));
        self.keeping.forget().await;
        Ok(())
    }

    /// Lets messages in, waits while paused; leaves when asked to.
    async fn hear(&mut self) -> Result<(), Stop> {
        listen(self.session).await?;
        if self.session.control.take_finish_early() {
            self.client.leave();
        }
        Ok(())
    }

    /// Keeps and tells what has changed.
    fn after_step(&mut self) {
        if self.client.take_changed() {
            self.keeping.write(&self.client.to_bytes());
        }
        self.tell(false);
    }

    fn tell(&mut self, always: bool) {
        let now = (self.client.stage(), self.local.phase);
        if self.told_rounds != Some(self.client.revision()) {
            self.told_rounds = Some(self.client.revision());
            let (layers, own) = self.client.own_scopes();
            let rounds = self.client.rounds().values().cloned().collect();
            let rounds = FederationRounds { rounds, layers: layers.to_vec(), own: own.clone() };
            self.session.post(self.id, Event::FederationRounds(Box::new(rounds)));
        }
        if !always && self.told == Some(now) && now_s() - self.told_s < EVERY_S {
            return;
        }
        (self.told, self.told_s) = (Some(now), now_s());
        let trouble = self.client.trouble().map(str::to_owned).or_else(|| self.keeping.notice.clone());
        let progress = FederationProgress {
            stage: now.0,
            client: self.client.id(),
            state: self.client.state().cloned(),
            trouble,
            local: self.local,
            ledger: self.client.ledger().clone(),
        };
        self.session.post(self.id, Event::Federation(Box::new(progress)));
    }

    /// Between two steps of work: the client goes on asking, so that it counts as present. False once the work is no longer
    /// wanted.
    async fn attend(&mut self, ticket: Ticket) -> Result<bool, Stop> {
        self.hear().await?;
        if let Next::Send(request) = self.client.next(now_ms()) {
            let answer = self.transport.send(&request).await;
            self.client.take(answer, now_ms());
        }
        self.after_step();
        Ok(self.client.wants(ticket))
    }

    fn at(&mut self, phase: LocalPhase, (done, total): (usize, usize), remaining_s: Option<f64>) {
        let loss = self.local.loss.filter(|_| phase == self.local.phase);
        self.local = LocalProgress { phase, done, total, remaining_s, loss };
    }

    fn idle(&mut self) {
        self.local = LocalProgress::IDLE;
    }

    /// The scene as the federation sees it.
    async fn scene(&mut self) -> Result<Rc<FederatedScene>, Stop> {
        if let Some(scene) = &self.scene {
            return Ok(scene.clone());
        }
        let unknown = || Refusal::from("the federation is not known yet");
        let frozen = self.client.definition().ok_or_else(unknown)?.model.backbone.is_some();
        let weights = if frozen { self.session.loaded_weights() } else { None };
        if let Some(weights) = &weights {
            while weights.hash_next().map_err(Refusal::from)? {
                self.hear().await?;
            }
            if self.session.chosen().await?.info.active == DeviceChoice::Webgpu {
                self.session.trust_frozen().await?;
            }
        }
        let definition = self.client.definition().ok_or_else(unknown)?;
        let (cube, job) = (self.session.cube()?, &self.job);
        let scene = FederatedScene::new(cube, &job.split, &job.classes, definition, weights);
        let scene = Rc::new(scene.map_err(Refusal::from)?);
        self.scene = Some(scene.clone());
        Ok(scene)
    }

    async fn work(&mut self, work: Work) -> Result<(), Stop> {
        let done = match work {
            Work::Statistics { ticket } => self.gather(ticket).await,
            Work::Training(training) => self.train(*training).await,
            Work::Evaluation { ticket, model, .. } => self.evaluate(ticket, &model.bytes).await,
        };
        self.idle();
        self.after_step();
        done
    }

    async fn gather(&mut self, ticket: Ticket) -> Result<(), Stop> {
        let scene = self.scene().await?;
        let mut gathering = scene.gathering().map_err(Refusal::from)?;
        let mut pace = Pace::start(0);
        while gathering.read_next().map_err(Refusal::from)? {
            let rows = gathering.rows();
            let remaining_s = pace.at(rows.0, rows.1).1;
            self.at(LocalPhase::Preparing, rows, remaining_s);
            if !self.attend(ticket).await? {
                return Ok(());
            }
        }
        let moments = gathering.finish().map_err(Refusal::from)?;
        self.client.gathered(ticket, &BandStatistics::from(&moments));
        Ok(())
    }

    /// The tiles that labels need, projected; `None` once the work is no longer wanted.
    async fn data(&mut self, ticket: Ticket) -> Result<Option<TrainingData>, Stop> {
        let scene = self.scene().await?;
        let projection = match self.client.projection() {
            Some(projection) => projection.clone(),
            None => {
                let grid = self
                    .client
                    .definition()
                    .map_or_else(Vec::new, |definition| definition.input.wavelengths_nm.clone());
                Rc::new(Projection::identity(&grid))
            }
        };
        if let Some((_, data)) = self.data.as_ref().filter(|(known, _)| *known == projection) {
            return Ok(Some(data.clone()));
        }
        let view = CubeView { cube: &scene.cube, projection: &projection };
        let mut data = scene.data(&projection)?;
        while data.read_next(&view)? {
            self.at(LocalPhase::Preparing, data.progress(), None);
            if !self.attend(ticket).await? {
                return Ok(None);
            }
        }
        self.data = Some((projection, data.clone()));
        Ok(Some(data))
    }

    /// The round, ready to be measured and trained.
    async fn round(
        &mut self,
        ticket: Ticket,
        training: Option<&Training>,
        model: &[u8],
    ) -> Result<Option<LocalRound>, Stop> {
        let Some(data) = self.data(ticket).await? else { return Ok(None) };
        let (scene, device) = (self.scene().await?, self.session.chosen().await?.device);
        let (Some(definition), Some(client), Some(hash)) = (self.client.definition(), self.client.id(), ticket.model)
        else {
            return Ok(None);
        };
        let targets = training.map_or(&[][..], |training| &training.targets);
        let plan = RoundPlan { definition, round: ticket.round, client, model, hash, targets };
        Ok(Some(LocalRound::new(&plan, &scene, data, &device)?))
    }

    async fn evaluate(&mut self, ticket: Ticket, model: &[u8]) -> Result<(), Stop> {
        self.at(LocalPhase::Evaluating, (0, 0), None);
        self.tell(true);
        if let Some(round) = self.round(ticket, None, model).await? {
            let metrics = round.measure().await?;
            self.client.evaluated(ticket, metrics);
        }
        Ok(())
    }

    async fn train(&mut self, training: Training) -> Result<(), Stop> {
        let ticket = training.ticket;
        let Some(mut round) = self.round(ticket, Some(&training), &training.model.bytes).await? else { return Ok(()) };
        if training.evaluate {
            self.at(LocalPhase::Evaluating, (0, 0), None);
            self.tell(true);
            let metrics = round.measure().await?;
            self.client.evaluated(ticket, metrics);
        }
        if let Some(bytes) = self.keeping.read_checkpoint().await {
            round.resume(&bytes);
        }
        match self.epochs(ticket, &mut round).await {
            Ok(true) => {
                let trained = round.result().await?;
                self.client.trained(ticket, trained);
            }
            Ok(false) => {}
            // The round goes on without this client; the next one begins from the common model again.
            Err(Stop::Refused(Refusal(failure))) => self.client.could_not(ticket, failure.message),
            Err(stop) => return Err(stop),
        }
        Ok(())
    }

    /// All steps of a round; false once it is no longer wanted.
    async fn epochs(&mut self, ticket: Ticket, round: &mut LocalRound) -> Result<bool, Stop> {
        let mut pace = Pace::start(round.progress().0);
        let mut saved_s = now_s();
        self.at(LocalPhase::Training, round.progress(), None);
        while !round.finished() {
            if !self.attend(ticket).await? {
                return Ok(false);
            }
            let report = round.step().await?;
            let (done, total) = round.progress();
            let remaining_s = pace.at(done, total).1;
            self.at(LocalPhase::Training, (done, total), remaining_s);
            let Some(report) = report else { continue };
            self.local.loss = Some(report.loss);
            if now_s() - saved_s > CHECKPOINT_EVERY_S
                && let Some(bytes) = round.checkpoint().await?
            {
                self.keeping.write_checkpoint(&bytes).await;
                saved_s = now_s();
            }
        }
        Ok(true)
    }
}
