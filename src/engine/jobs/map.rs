//! Map the open scene with a model, tile by tile, and measure it where the truth is known.

use burn::tensor::Device;

use super::super::clock::now_s;
use super::super::device;
use super::super::message::{DeviceChoice, Event, MapBy, MapRows, Phase, Progress, RequestId, RunResult};
use super::super::session::{Refusal, Session};
use super::pace::Pace;
use super::{BUSY, Stop, conclude, listen};
use crate::labels::{Accuracy, LabelMap, LabelledPixel, Split};
use crate::scene::Cube;
use crate::train::{CubeView, Mapper, TrainedModel};

/// Which request and run the events belong to.
#[derive(Clone, Copy)]
pub(super) struct MapPhase {
    pub id: RequestId,
    pub run: usize,
    pub runs: usize,
}

/// Maps with the current model or the current weights, without training.
pub(in super::super) async fn map(
    session: &Session,
    id: RequestId,
    by: MapBy,
    test: Option<Split>,
) -> Result<(), Refusal> {
    let Some(_running) = session.control.start() else { return Err(BUSY.into()) };
    let end = map_current(session, id, by, test).await;
    conclude(session, id, end)
}

async fn map_current(session: &Session, id: RequestId, by: MapBy, test: Option<Split>) -> Result<(), Stop> {
    let cube = session.cube()?;
    let device::Chosen { device, info } = session.chosen().await?;
    let model = match by {
        MapBy::Model => session.whole_model()?,
        MapBy::Weights => {
            if info.active == DeviceChoice::Webgpu {
                session.trust_frozen().await?;
            }
            session.weights_model()?
        }
    };
    let started_s = now_s();
    let split = test.unwrap_or_default();
    let phase = MapPhase { id, run: 0, runs: 1 };
    let (_, accuracy) = map_scene(session, phase, &*cube, &model, &device, &split.test).await?;
    // Weights have a file of their own.
    let bytes = if by == MapBy::Model { model.to_bytes().map_err(Refusal::from)? } else { Vec::new() };
    let result = RunResult {
        run: 0,
        split: split.name,
        seed: model.config().seed,
        accuracy,
        best_epoch: 0,
        train_s: 0.0,
        map_s: now_s() - started_s,
        model: bytes.into(),
    };
    session.post(id, Event::RunFinished(Box::new(result)));
    Ok(())
}

/// Maps `cube`, posting rows as they are decided, and measures on `test` where there are pixels.
pub(super) async fn map_scene(
    session: &Session,
    phase: MapPhase,
    cube: &dyn Cube,
    model: &TrainedModel,
    device: &Device,
    test: &[LabelledPixel],
) -> Result<(LabelMap, Option<Accuracy>), Stop> {
    let (rows, cols) = (cube.info().rows, cube.info().cols);
    model.check_scene(cube.info()).map_err(Refusal::from)?;
    let view = CubeView { cube, projection: model.projection() };
    let mut mapper = Mapper::new(model.network(device)?, rows, cols, model.config(), device)?;
    let mut map = LabelMap { rows, cols, labels: vec![0; rows * cols], classes: model.classes().to_vec() };
    let mut pace = Pace::start(0);
    while !mapper.finished() {
        let before_s = now_s();
        listen(session).await?;
        pace.skip_wait(now_s() - before_s);
        let block = mapper.step(&view).await?;
        let (done, total) = mapper.progress();
        let (elapsed_s, remaining_s) = pace.at(done, total);
        let MapPhase { run, runs, .. } = phase;
        let progress = Progress { run, runs, done, total, elapsed_s, remaining_s, ..Progress::new(Phase::Mapping) };
        session.post(phase.id, Event::Progress(progress));
        if let Some(block) = block {
            block.write(&mut map);
            let (row, col) = (block.rows.start, block.cols.start);
            let (rows, cols) = (block.rows.len(), block.cols.len());
            session.post(phase.id, Event::MapRows(MapRows { row, col, rows, cols, labels: block.labels.into() }));
        }
    }
    // Without test pixels there is nothing to measure; with some, a failure to measure is worth telling.
    let accuracy = if test.is_empty() { None } else { Some(Accuracy::of_map(&map.labels, test, map.classes.len())) };
    Ok((map, accuracy.transpose().map_err(Refusal::from)?))
}
