//! The end of a federation: the scene mapped with the common model and, where wanted, with one of this scene alone.

use super::super::super::federation::FederatedScene;
use super::super::super::message::{FederatedMap, FederationEnd, LocalPhase};
use super::super::super::session::Refusal;
use super::super::Stop;
use super::super::pace::Pace;
use super::Taking;
use crate::federation::protocol::LocalWork;
use crate::labels::{Accuracy, LabelMap};
use crate::scene::Cube;
use crate::train::{CubeView, Description, Mapper, TrainedModel, Trainer, TrainingReport};

impl Taking<'_> {
    /// Maps the scene with the last common model and, where wanted, with one of this scene alone.
    pub(super) async fn end(&mut self) -> Result<FederationEnd, Stop> {
        let Some(model) = self.client.model().cloned() else {
            return Ok(FederationEnd { model: None, global: None, alone: None });
        };
        if self.job.simulated {
            return Ok(FederationEnd { model: Some(model.hash), global: None, alone: None });
        }
        let scene = self.scene().await?;
        let weights = scene.network.weights(scene.classes.len(), scene.backbone.as_deref(), &model.bytes)?;
        let global = self.map(&scene, weights).await?;
        let alone = if self.job.compare { Some(self.alone(&scene).await?) } else { None };
        Ok(FederationEnd { model: Some(model.hash), global: Some(global), alone })
    }

    /// A model of this scene alone, from the same beginning, for as many epochs as the federation had.
    async fn alone(&mut self, scene: &FederatedScene) -> Result<FederatedMap, Stop> {
        let Some((_, data)) = &self.data else { return Err(Refusal::from("no round has been trained here").into()) };
        let (data, device) = (data.clone(), self.session.chosen().await?.device);
        let rounds = self.client.rounds().len().max(1);
        let local = self.client.definition().map_or(LocalWork::Epochs(1), |definition| definition.local);
        let (epochs, most) = match local {
            LocalWork::Epochs(epochs) => (epochs as usize * rounds, usize::MAX),
            LocalWork::Steps(steps) => (steps as usize * rounds, steps as usize * rounds),
        };
        let config = scene.network.local(epochs, scene.network.config.seed);
        let mut trainer = Trainer::starting_from(config, data, &device, scene.backbone.as_ref())?;
        let mut pace = Pace::start(0);
        let mut steps = 0;
        while !trainer.finished() && steps < most {
            self.hear().await?;
            trainer.step().await?;
            steps += 1;
            let (done, total) = trainer.epochs();
            let remaining_s = pace.at(done, total).1;
            self.at(LocalPhase::TrainingAlone, (done, total), remaining_s);
            self.tell(false);
        }
        let weights = trainer.read_values().await?;
        self.map(scene, weights).await
    }

    async fn map(
        &mut self,
        scene: &FederatedScene,
        weights: Vec<crate::model::NamedValues>,
    ) -> Result<FederatedMap, Stop> {
        let device = self.session.chosen().await?.device;
        let projection = self.client.input_projection().ok_or("the projection is missing").map_err(Refusal::from)?;
        let title = self.client.definition().map_or_else(String::new, |definition| definition.title.clone());
        let description = Description {
            format: if scene.backbone.is_some() { 2 } else { 1 },
            config: scene.network.local(1, scene.network.config.seed),
            shape: scene.network.shape(scene.classes.len(), scene.backbone.as_deref())?,
            projection,
            classes: scene.classes.clone(),
            scene: title,
            report: TrainingReport { split: scene.split.name.clone(), history: Vec::new(), best_epoch: 1 },
            base: scene.base().map_err(Refusal::from)?,
            adapter: scene.backbone.is_some(),
        };
        let mut model = TrainedModel::from_parts(description, weights).map_err(Refusal::from)?;
        if let Some(backbone) = &scene.backbone {
            model = model.with_base(backbone.clone()).map_err(Refusal::from)?;
        }
        let (rows, cols) = (scene.cube.info().rows, scene.cube.info().cols);
        let view = CubeView { cube: &scene.cube, projection: model.projection() };
        let mut mapper = Mapper::new(model.network(&device)?, rows, cols, model.config(), &device)?;
        let mut map = LabelMap { rows, cols, labels: vec![0; rows * cols], classes: scene.classes.clone() };
        let mut pace = Pace::start(0);
        while !mapper.finished() {
            self.hear().await?;
            if let Some(block) = mapper.step(&view).await? {
                block.write(&mut map);
            }
            let progress = mapper.progress();
            let remaining_s = pace.at(progress.0, progress.1).1;
            self.at(LocalPhase::Mapping, progress, remaining_s);
            self.tell(false);
        }
        self.idle();
        let accuracy = Accuracy::of_map(&map.labels, &scene.split.val, scene.classes.len()).ok();
        let model = model.to_bytes().map_err(Refusal::from)?.into();
        Ok(FederatedMap { map, accuracy, model })
    }
}
