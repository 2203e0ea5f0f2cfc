//! Train, map, measure; once a split.

use std::rc::Rc;

use super::super::clock::now_s;
use super::super::message::{Checkpoint, DeviceChoice, Event, Phase, Progress, RequestId, RunResult, TrainJob};
use super::super::session::{Refusal, Session};
use super::map::{MapPhase, map_scene};
use super::pace::Pace;
use super::{BUSY, Stop, conclude, listen};
use crate::preprocess::{Projection, ProjectionFit};
use crate::scene::Cube;
use crate::train::{CubeView, TrainConfig, TrainedModel, Trainer, TrainingData, TrainingReport};
use crate::weights::Pretrained;

/// Seconds between two checkpoints: rarely enough to cost nothing, often enough to lose little.
const CHECKPOINT_EVERY_S: f64 = 10.0;

pub(in super::super) async fn train(session: &Session, id: RequestId, job: TrainJob) -> Result<(), Refusal> {
    let Some(_running) = session.control.start() else { return Err(BUSY.into()) };
    let end = run_all(session, id, job).await;
    conclude(session, id, end)
}

async fn run_all(session: &Session, id: RequestId, mut job: TrainJob) -> Result<(), Stop> {
    if job.splits.is_empty() {
        return Err(Refusal::from("there is no split to train on; draw one or open a split file").into());
    }
    let cube = session.cube()?;
    let runs = job.splits.len();
    let weights = if job.pretrained { Some(start(session, &mut job.config).await?) } else { None };
    let projection = prepare(session, id, &*cube, &job.config, runs).await?;
    for run in job.finished_runs..runs {
        let resume = job.resume.take();
        let config = TrainConfig { seed: job.config.seed + run as u64, ..job.config.clone() };
        let (cube, projection, weights) = (&*cube, &projection, weights.clone());
        Run { session, id, run, runs, cube, projection, job: &job, config, weights }.go(resume).await?;
    }
    Ok(())
}

/// The current weights, with the configuration told of them.
async fn start(session: &Session, config: &mut TrainConfig) -> Result<Rc<Pretrained>, Stop> {
    let current = session.state.borrow().weights.clone();
    let current = current
        .ok_or_else(|| Refusal::from("no weights are loaded to start from; load some, or train from scratch"))?;
    config.adopt(&current.pretrained);
    // An adapter names its base by its hash: a file that is read where it lies has none yet.
    while current.pretrained.hash_next().map_err(Refusal::from)? {
        listen(session).await?;
    }
    if session.chosen().await?.info.active == DeviceChoice::Webgpu {
        session.trust_frozen().await?;
    }
    Ok(current.pretrained.clone())
}

/// Fits the projection to the whole scene; the same for every run.
async fn prepare(
    session: &Session,
    id: RequestId,
    cube: &dyn Cube,
    config: &TrainConfig,
    runs: usize,
) -> Result<Projection, Stop> {
    let mut fit = ProjectionFit::new(cube, config.projection()).map_err(Refusal::from)?;
    let mut pace = Pace::start(0);
    let mut last_s = f64::MIN;
    while fit.read_next().map_err(Refusal::from)? {
        let before_s = now_s();
        listen(session).await?;
        pace.skip_wait(now_s() - before_s);
        if now_s() - last_s > 0.1 {
            last_s = now_s();
            let (done, total) = fit.rows();
            let (elapsed_s, remaining_s) = pace.at(done, total);
            let progress = Progress { done, total, elapsed_s, remaining_s, runs, ..Progress::new(Phase::Preparing) };
            session.post(id, Event::Progress(progress));
        }
    }
    Ok(fit.finish().map_err(Refusal::from)?)
}

/// One split.
struct Run<'a> {
    session: &'a Session,
    id: RequestId,
    run: usize,
    runs: usize,
    cube: &'a dyn Cube,
    projection: &'a Projection,
    job: &'a TrainJob,
    config: TrainConfig,
    weights: Option<Rc<Pretrained>>,
}

impl Run<'_> {
    async fn go(self, resume: Option<Checkpoint>) -> Result<(), Stop> {
        let session = self.session;
        let device = session.chosen().await?.device;
        let split = &self.job.splits[self.run];
        let view = CubeView { cube: self.cube, projection: self.projection };
        let mut data = TrainingData::new(&view, self.projection.len(), self.job.classes.len(), split, &self.config)?;
        while data.read_next(&view)? {
            listen(session).await?;
        }
        let weights = self.weights.as_ref();
        let mut trainer = Trainer::starting_from(self.config.clone(), data, &device, weights)?;
        let mut train_s = 0.0;
        if let Some(checkpoint) = resume {
            trainer.resume(&checkpoint.bytes)?;
            train_s = checkpoint.train_s;
        }
        let train_s = self.train(&mut trainer, train_s).await?;

        let (best_epoch, _) = trainer.best();
        let model = TrainedModel::new(
            &trainer,
            self.projection.clone(),
            self.job.classes.clone(),
            self.cube.info(),
            TrainingReport { split: split.name.clone(), history: trainer.history().to_vec(), best_epoch },
        )
        .await?;
        let model = Rc::new(model);
        session.state.borrow_mut().model = Some(model.clone());

        let started_s = now_s();
        let phase = MapPhase { id: self.id, run: self.run, runs: self.runs };
        let (_, accuracy) = map_scene(session, phase, self.cube, &model, &device, &split.test).await?;
        let result = RunResult {
            run: self.run,
            split: split.name.clone(),
            seed: self.config.seed,
            accuracy,
            best_epoch,
            train_s,
            map_s: now_s() - started_s,
            model: model.to_bytes().map_err(Refusal::from)?.into(),
        };
        session.post(self.id, Event::RunFinished(Box::new(result)));
        Ok(())
    }

    /// Takes all steps that are left after `before_s` seconds of training; returns the seconds of all, without pauses.
    async fn train(&self, trainer: &mut Trainer, before_s: f64) -> Result<f64, Stop> {
        let session = self.session;
        let (done, total) = trainer.epochs();
        let mut pace = Pace::start(done);
        let started_s = now_s();
        let mut saved_s = started_s;
        let mut waited_s = 0.0;
        while !trainer.finished() {
            let asked_s = now_s();
            listen(session).await?;
            let pause_s = now_s() - asked_s;
            pace.skip_wait(pause_s);
            waited_s += pause_s;
            if session.control.take_finish_early() {
                trainer.stop();
                break;
            }
            let Some(report) = trainer.step().await? else { continue };
            let (elapsed_s, remaining_s) = pace.at(report.epoch, total);
            session.post(
                self.id,
                Event::Progress(Progress {
                    run: self.run,
                    runs: self.runs,
                    done: report.epoch,
                    total,
                    elapsed_s: before_s + elapsed_s,
                    remaining_s,
                    loss: Some(report.loss),
                    learning_rate: Some(report.learning_rate),
                    val_accuracy: report.validation.map(|validation| validation.accuracy),
                    val_loss: report.validation.map(|validation| validation.loss),
                    ..Progress::new(Phase::Training)
                }),
            );
            if now_s() - saved_s > CHECKPOINT_EVERY_S {
                let bytes = trainer.checkpoint().await?.into();
                saved_s = now_s();
                let train_s = before_s + saved_s - started_s - waited_s;
                session.post(self.id, Event::Checkpoint(Checkpoint { bytes, epoch: report.epoch, train_s }));
            }
        }
        Ok(before_s + now_s() - started_s - waited_s)
    }
}
