//! Two sessions and a coordinator in memory: the whole job, with the teaching scene and the smallest network.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::super::message::{
    Command, Event, FederateJob, FederatedModel, FederationEnd, FederationProgress, FederationRounds, LoadWeights,
    LocalPhase, Reply, Request, Traffic, WeightsFrom,
};
use super::super::session::{Outbox, Session};
use crate::federation::client::double::{self, Coordinator};
use crate::federation::client::{Invitation, Local, Request as Asking, Response, Transport, Unreachable};
use crate::federation::protocol::{Class, Definition, Encoding, LocalWork, Phase, Trainable};
use crate::labels::random_split;
use crate::model::HyperSigma;
use crate::preprocess::FitOptions;
use crate::scene::{Cube, MemorySource, SharedSource, TEACHING_CLASSES, teaching};
use crate::shelf::{Folder, Store};
use crate::train::{Augmentation, Lora, ModelSize, SharedNetwork, TrainConfig, TrainedModel, Tuning};
use crate::weights::{Checkpoint, Conversion, ConversionOptions, Pretrained, Quantization};

const SEED: u64 = 4;

#[derive(Default)]
struct Letters(RefCell<Vec<Event>>);

impl Outbox for Letters {
    fn post(&self, reply: Reply) {
        // Everything must survive the way to the page.
        let packed = postcard::to_stdvec(&reply).unwrap();
        let reply: Reply = postcard::from_bytes(&packed).unwrap();
        self.0.borrow_mut().push(reply.event);
    }
}

/// The coordinator, seen from several threads.
struct Shared {
    coordinator: Arc<Mutex<Coordinator>>,
    started: std::time::Instant,
}

impl Transport for Shared {
    fn send<'a>(&'a self, request: &'a Asking) -> Local<'a, Result<Response, Unreachable>> {
        let mut coordinator = self.coordinator.lock().unwrap();
        coordinator.now_ms = self.started.elapsed().as_secs_f64() * 1000.0;
        Box::pin(std::future::ready(Ok(coordinator.handle(request))))
    }
}

fn network() -> SharedNetwork {
    let config = TrainConfig {
        patch: Some(2),
        learning_rate: 3e-3,
        // Few tiles.
        tile_overlap: 4,
        test_time_augmentation: false,
        test_time_shifts: 1,
        augmentation: Augmentation { jitter: 2, ..Augmentation::default() },
        ..TrainConfig::preset(ModelSize::Tiny)
    };
    SharedNetwork { config, tile: [64, 64], components: 6 }
}

fn definition(model: &[u8], wavelengths_nm: Vec<f64>) -> Definition {
    let document = include_str!("../../../docs/federation.md");
    let json = document.split("```json definition\n").nth(1).unwrap().split("```").next().unwrap();
    let mut definition: Definition = serde_json::from_str(json).unwrap();
    definition.model.weights.bytes = model.len() as u64;
    definition.model.settings = serde_json::to_value(network()).unwrap();
    definition.trainable = Trainable::All;
    definition.input.wavelengths_nm = wavelengths_nm;
    definition.input.projection = Some(FitOptions::noise_adjusted(6));
    definition.classes =
        TEACHING_CLASSES.iter().map(|(name, _)| Class { name: (*name).into(), colour: None }).collect();
    (definition.local, definition.encoding, definition.rounds) = (LocalWork::Epochs(1), Encoding::Int8, 2);
    definition.quorum.min_clients = 2;
    definition.deadlines.presence_s = 600.0;
    definition
}

struct Outcome {
    events: Vec<Event>,
}

impl Outcome {
    fn last(&self) -> &Event {
        self.events.last().unwrap()
    }

    fn end(&self) -> &FederationEnd {
        let found = self.events.iter().find_map(|event| match event {
            Event::FederationEnded(end) => Some(end),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no end; last {:?}", self.last()))
    }

    fn progress(&self) -> Vec<&FederationProgress> {
        let told = self.events.iter().filter_map(|event| match event {
            Event::Federation(progress) => Some(progress.as_ref()),
            _ => None,
        });
        told.collect()
    }

    fn rounds(&self) -> &FederationRounds {
        let mut told = self.events.iter().rev().filter_map(|event| match event {
            Event::FederationRounds(rounds) => Some(rounds.as_ref()),
            _ => None,
        });
        told.next().unwrap()
    }
}

/// One tab: opens the teaching scene and takes part.
fn tab(coordinator: Arc<Mutex<Coordinator>>, folder: std::path::PathBuf, seed: u64, classes: Vec<u8>) -> Outcome {
    taking_part(coordinator, folder, (seed, classes), false, None)
}

fn taking_part(
    coordinator: Arc<Mutex<Coordinator>>,
    folder: std::path::PathBuf,
    (seed, classes): (u64, Vec<u8>),
    simulated: bool,
    weights: Option<Vec<u8>>,
) -> Outcome {
    let letters = Rc::new(Letters::default());
    let places: Rc<dyn Store> = Rc::new(Folder::new(folder).unwrap());
    let transport = Rc::new(Shared { coordinator, started: std::time::Instant::now() });
    let session = Rc::new(Session::with_coordinator(letters.clone(), transport, Ok(places)));
    let ask_with = |command, files: Vec<SharedSource>| {
        let packed = postcard::to_stdvec(&Request { id: 1, command }).unwrap();
        burn::tensor::read_sync(session.clone().handle(postcard::from_bytes(&packed).unwrap(), files));
    };
    let ask = |command| ask_with(command, Vec::new());
    ask(Command::OpenTeachingScene { seed: SEED });
    if let Some(bytes) = weights {
        let file: SharedSource = Rc::new(MemorySource::new("encoders.gguf", bytes));
        ask_with(Command::LoadWeights(LoadWeights::new(WeightsFrom::Files)), vec![file]);
        assert!(matches!(letters.0.borrow().last(), Some(Event::JobFinished)), "{:?}", letters.0.borrow().last());
    }
    letters.0.take();
    let (_, labels) = teaching::generate(SEED);
    let split = random_split(&labels, 6, 4, seed).unwrap();
    let invitation = Invitation { server: "http://lab/".into(), federation: double::id(), token: "ssi_invite".into() };
    // The second does not want to compare.
    ask(Command::Federate(Box::new(FederateJob { invitation, split, classes, compare: seed == 1, simulated })));
    Outcome { events: letters.0.take() }
}

#[test]
fn two_tabs_finish_a_federation_with_their_scenes() {
    let (cube, _) = teaching::generate(SEED);
    let wavelengths = cube.info().wavelengths_nm.clone().unwrap();
    // Every fourth band: the scene is resampled.
    let grid: Vec<f64> = wavelengths.into_iter().step_by(4).collect();
    let model = network().beginning(TEACHING_CLASSES.len(), None).unwrap();
    let coordinator = Arc::new(Mutex::new(Coordinator::new(definition(&model, grid), model)));
    let folder = tempfile::tempdir().unwrap();
    let same: Vec<u8> = (1..=TEACHING_CLASSES.len() as u8).collect();
    let tabs: Vec<_> = [1u64, 2]
        .map(|seed| {
            let (coordinator, folder) = (coordinator.clone(), folder.path().join(seed.to_string()));
            // The second knows two classes less.
            let classes = same.iter().map(|&class| if seed == 2 && class > 8 { 0 } else { class }).collect();
            std::thread::spawn(move || tab(coordinator, folder, seed, classes))
        })
        .into_iter()
        .map(|tab| tab.join().unwrap())
        .collect();
    let coordinator = coordinator.lock().unwrap();
    assert_eq!((coordinator.phase, coordinator.round()), (Phase::Finished, 2));
    assert!(coordinator.rounds.iter().all(|round| round.updates.len() == 2 && round.evaluation.len() == 2));
    assert_eq!(coordinator.last_evaluation.len(), 2);
    for (index, tab) in tabs.iter().enumerate() {
        assert!(matches!(tab.last(), Event::JobFinished), "{:?}", tab.last());
        let end = tab.end();
        assert_eq!(end.model, Some(coordinator.model));
        let (global, alone) = (end.global.as_ref().unwrap(), end.alone.as_ref());
        assert_eq!(alone.is_some(), index == 0);
        for map in [Some(global), alone].into_iter().flatten() {
            let accuracy = map.accuracy.as_ref().unwrap();
            assert!(accuracy.pixels() > 1000 && map.map.labels.iter().all(|&class| class > 0), "{}", accuracy.overall);
        }
        assert!(alone.is_none_or(|alone| global.map.labels != alone.map.labels));
        let progress = tab.progress();
        for phase in [LocalPhase::Preparing, LocalPhase::Evaluating, LocalPhase::Training, LocalPhase::Mapping] {
            assert!(progress.iter().any(|progress| progress.local.phase == phase), "{phase:?}");
        }
        let ledger = &progress.last().unwrap().ledger;
        assert!(ledger.of(Traffic::Statistics).up > 0 && ledger.of(Traffic::Metrics).up > 0);
        // One byte a weight and a little more, twice.
        let values = network().shape(TEACHING_CLASSES.len(), None).unwrap().parameter_count() as u64;
        assert!((2 * values..3 * values).contains(&ledger.of(Traffic::Update).up), "{values}: {ledger:?}");
        let rounds = tab.rounds();
        assert_eq!((rounds.rounds.len(), rounds.own.len()), (2, 2));
        assert!(rounds.layers.len() > 10 && rounds.own[&2].len() == rounds.layers.len());
    }
    let metrics = |tab: usize| coordinator.rounds[1].evaluation.values().nth(tab).unwrap().overall_accuracy.unwrap();
    assert!(metrics(0) > 0.0 && metrics(0) <= 1.0);
}

#[test]
fn a_scene_that_does_not_fit_is_told_so() {
    let model = network().beginning(TEACHING_CLASSES.len(), None).unwrap();
    let mut coordinator =
        Coordinator::new(definition(&model, vec![500.0, 510.0, 520.0, 530.0, 540.0, 12_000.0]), model);
    coordinator.definition.quorum.min_clients = 1;
    let coordinator = Arc::new(Mutex::new(coordinator));
    let folder = tempfile::tempdir().unwrap();
    let outcome = tab(coordinator, folder.path().to_owned(), 1, vec![1; 10]);
    let Event::Failed(failure) = outcome.last() else { panic!("{:?}", outcome.last()) };
    assert!(failure.message.contains("12000 nm"), "{}", failure.message);
}

/// A neighbour that is made up trains like everybody else, but leaves nothing in the user's browser and maps nothing.
#[test]
fn a_simulated_neighbour_trains_and_leaves_nothing_behind() {
    let (cube, _) = teaching::generate(SEED);
    let grid: Vec<f64> = cube.info().wavelengths_nm.clone().unwrap().into_iter().step_by(4).collect();
    let model = network().beginning(TEACHING_CLASSES.len(), None).unwrap();
    let mut coordinator = Coordinator::new(definition(&model, grid), model);
    (coordinator.definition.quorum.min_clients, coordinator.definition.rounds) = (1, 1);
    let coordinator = Arc::new(Mutex::new(coordinator));
    let folder = tempfile::tempdir().unwrap();
    let classes = (1..=TEACHING_CLASSES.len() as u8).collect();
    let outcome = taking_part(coordinator.clone(), folder.path().to_owned(), (1, classes), true, None);
    assert!(matches!(outcome.last(), Event::JobFinished), "{:?}", outcome.last());
    assert!(outcome.end().global.is_none() && outcome.end().alone.is_none());
    assert_eq!(outcome.rounds().own.len(), 1);
    let coordinator = coordinator.lock().unwrap();
    assert_eq!((coordinator.phase, coordinator.last_evaluation.len()), (Phase::Finished, 1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a place that was kept");
}

/// Encoders without a head as a GGUF file; other seeds give other files.
fn encoders(seed: u64) -> Vec<u8> {
    let shape = network().shape(TEACHING_CLASSES.len(), None).unwrap();
    let fresh = HyperSigma::fresh(&shape, seed, &burn::tensor::Device::flex()).unwrap();
    let values = burn::tensor::read_sync(fresh.values()).unwrap();
    let kept = values.iter().filter(|tensor| tensor.name.contains("_encoder."));
    let file = safetensors::serialize(kept.map(|tensor| (tensor.name.as_str(), tensor)), None).unwrap();
    let source: SharedSource = Rc::new(MemorySource::new("encoders.safetensors", file));
    let options = ConversionOptions { quantization: Quantization::Q8_0, ..ConversionOptions::default() };
    let mut conversion = Conversion::new(Checkpoint::open(&[source], None).unwrap(), &options).unwrap();
    let mut bytes = Vec::new();
    while conversion.step(&mut bytes).unwrap().is_some() {}
    bytes
}

/// The backbone stays where it is: what is sent are adapters and head.
#[test]
fn adapters_of_loaded_weights_are_trained_together() {
    let (cube, _) = teaching::generate(SEED);
    let grid: Vec<f64> = cube.info().wavelengths_nm.clone().unwrap().into_iter().step_by(4).collect();
    let classes = TEACHING_CLASSES.len();
    let lora = Tuning::Lora(Lora { rank: 2, ..Lora::default() });
    let network = SharedNetwork { config: TrainConfig { tuning: lora, ..network().config }, ..network() };
    let file = encoders(1);
    let backbone = Pretrained::open(Rc::new(MemorySource::new("encoders.gguf", file.clone()))).unwrap();
    let Ok(begun) = FederatedModel::beginning(&network, classes, Some(&backbone)) else { panic!("no beginning") };
    assert!(FederatedModel::beginning(&network, classes, None).is_err(), "adapters of nothing");
    let mut definition = definition(&begun.bytes, grid);
    definition.model.settings = serde_json::to_value(&network).unwrap();
    definition.model.backbone = begun.backbone;
    definition.quorum.min_clients = 1;
    let take_part = |weights| {
        let coordinator = Arc::new(Mutex::new(Coordinator::new(definition.clone(), begun.bytes.clone().into_vec())));
        let folder = tempfile::tempdir().unwrap();
        let same = (1..=classes as u8).collect();
        let outcome = taking_part(coordinator.clone(), folder.path().to_owned(), (1, same), false, weights);
        (outcome, coordinator)
    };
    for (weights, reason) in [(None, "no weights are loaded"), (Some(encoders(2)), "encoders.gguf")] {
        let (outcome, _) = take_part(weights);
        let Event::Failed(failure) = outcome.last() else { panic!("{:?}", outcome.last()) };
        assert!(failure.message.contains(reason), "{}", failure.message);
    }

    let (outcome, coordinator) = take_part(Some(file));
    assert!(matches!(outcome.last(), Event::JobFinished), "{:?}", outcome.last());
    assert_eq!((coordinator.lock().unwrap().phase, outcome.rounds().own.len()), (Phase::Finished, 2));
    assert!(outcome.rounds().layers.iter().any(|layer| layer.ends_with("attn.qkv.lora_B.weight")));
    assert!(!outcome.rounds().layers.iter().any(|layer| layer.ends_with("attn.qkv.weight")));
    let all = network.shape(classes, Some(&backbone)).unwrap().parameter_count() as u64;
    let sent = outcome.progress().last().unwrap().ledger.of(Traffic::Update).up;
    // The whole network would be a byte a weight and a little more.
    assert!(sent < 2 * all, "{sent} bytes in two rounds for {all} weights");
    let (global, alone) = (outcome.end().global.as_ref().unwrap(), outcome.end().alone.as_ref().unwrap());
    assert!(global.accuracy.as_ref().unwrap().pixels() > 1000 && global.map.labels != alone.map.labels);
    let saved = TrainedModel::from_bytes(&global.model).unwrap();
    assert_eq!(saved.missing_base().unwrap().sha256, backbone.sha256().unwrap());
}
