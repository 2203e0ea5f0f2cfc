//! One session: the open scene, the chosen device, the current model, and what to do with each command.

use std::cell::RefCell;
use std::rc::Rc;

use super::clock::breathe;
use super::control::Control;
use super::message::{Command, DeviceChoice, Event, FederatedModel, FitLimits, Reply, Request, RequestId, SceneOpened};
pub(super) use super::refusal::Refusal;
use super::refusal::refuse_scene;
use super::render::Renderer;
use super::weights::{Current, Inspect, Shelf};
use super::{device, jobs};
use crate::federation::client::Transport;
use crate::labels::{self, Imported, LabelMap, SplitFile};
use crate::preprocess::DataScan;
use crate::scene::{self, Cube, OpenOptions, SceneError, SharedSource, Window};
use crate::shelf::Store;
use crate::train::TrainedModel;
use crate::weights::Pretrained;

/// Where places in federations are kept, or why nowhere.
type Places = Result<Rc<dyn Store>, String>;

/// Where replies go: the page, or a test.
pub trait Outbox {
    fn post(&self, reply: Reply);
}

#[derive(Default)]
pub(super) struct State {
    pub cube: Option<Rc<dyn Cube>>,
    pub model: Option<Rc<TrainedModel>>,
    pub chosen: Option<device::Chosen>,
    /// What a training may start from.
    pub weights: Option<Rc<Current>>,
    shelf: Option<Rc<Shelf>>,
    /// Tests bring a coordinator, and a store for places in federations.
    federations: Option<(Rc<dyn Transport>, Places)>,
    renderer: Renderer,
}

pub struct Session {
    outbox: Rc<dyn Outbox>,
    pub(super) state: RefCell<State>,
    pub(super) control: Control,
    #[cfg(target_arch = "wasm32")]
    devices: device::Devices,
}

impl Session {
    pub fn new(outbox: Rc<dyn Outbox>) -> Self {
        Self {
            outbox,
            state: RefCell::default(),
            control: Control::default(),
            #[cfg(target_arch = "wasm32")]
            devices: Default::default(),
        }
    }

    /// The same with a place for weights, for tests.
    pub fn with_shelf(outbox: Rc<dyn Outbox>, shelf: Shelf) -> Self {
        let session = Self::new(outbox);
        session.state.borrow_mut().shelf = Some(Rc::new(shelf));
        session
    }

    /// The same with a coordinator and a store for places in federations, for tests.
    pub fn with_coordinator(outbox: Rc<dyn Outbox>, transport: Rc<dyn Transport>, places: Places) -> Self {
        let session = Self::new(outbox);
        session.state.borrow_mut().federations = Some((transport, places));
        session
    }

    /// The way to a coordinator.
    pub(super) fn coordinator(&self, server: &str) -> Rc<dyn Transport> {
        match &self.state.borrow().federations {
            Some((transport, _)) => transport.clone(),
            None => network_of(server),
        }
    }

    /// Where places in federations are kept.
    pub(super) async fn places(&self) -> Places {
        let given = self.state.borrow().federations.as_ref().map(|(_, places)| places.clone());
        match given {
            Some(places) => places,
            None => private_places().await,
        }
    }

    /// Carries out one request; every request is answered, if only with [`Event::Failed`].
    pub async fn handle(self: Rc<Self>, request: Request, files: Vec<SharedSource>) {
        let Request { id, command } = request;
        if let Err(Refusal(failure)) = self.carry_out(id, command, &files).await {
            self.post(id, Event::Failed(failure));
        }
    }

    pub(super) fn post(&self, id: RequestId, event: Event) {
        self.outbox.post(Reply { id: Some(id), event });
    }

    async fn carry_out(&self, id: RequestId, command: Command, files: &[SharedSource]) -> Result<(), Refusal> {
        match command {
            Command::SelectDevice(choice) => {
                let chosen = self.select_device(choice).await?;
                let info = chosen.info.clone();
                self.state.borrow_mut().chosen = Some(chosen);
                self.post(id, Event::Device(info));
            }
            Command::OpenScene(options) => {
                let cube: Rc<dyn Cube> = scene::open(files, &options).map_err(refuse_scene)?.into();
                let bytes: u64 = files.iter().map(|file| file.len()).sum();
                self.show_scene(id, cube, bytes, None)?;
            }
            Command::OpenTeachingScene { seed } => {
                let (cube, labels) = scene::teaching::generate(seed);
                self.show_scene(id, Rc::new(cube), seed, Some(labels))?;
            }
            Command::Render(render) => {
                let cube = self.cube()?;
                let image = self.state.borrow_mut().renderer.draw(&*cube, &render)?;
                self.post(id, Event::Image(image));
            }
            Command::ReadSpectrum { row, col } => {
                let values = spectrum(&*self.cube()?, row, col)?;
                self.post(id, Event::Spectrum { row, col, values });
            }
            Command::OpenLabels { options, choices } => {
                let cube = self.cube()?;
                let file = scene::open(files, &options).map_err(refuse_scene)?;
                let Imported { map: labels, codes, notes } = labels::import_labels(&*file, &choices)?;
                labels.check_fits(cube.info().rows, cube.info().cols)?;
                let name = file.info().name.clone();
                self.post(id, Event::LabelsOpened { name, labels, codes, notes });
            }
            Command::CountBands => {
                let file = scene::open(files, &OpenOptions::default()).map_err(refuse_scene)?;
                self.post(id, Event::Bands(file.info().bands));
            }
            Command::FindData => {
                let cube = self.cube()?;
                let mut scan = DataScan::new(&*cube)?;
                while scan.read_next()? {
                    // Other requests come in between.
                    breathe().await;
                }
                let mask: Vec<u8> = scan.finish().into_iter().map(u8::from).collect();
                self.post(id, Event::DataFound(mask.into()));
            }
            Command::RandomSplit { labels, train_per_class, val_per_class, seed } => {
                let split = labels::random_split(&labels, train_per_class, val_per_class, seed)?;
                self.post(id, Event::SplitMade(split));
            }
            Command::OpenSplit { labels } => {
                let file = one_file(files)?;
                let bytes = read_whole(file, MAX_SPLIT_BYTES)?;
                let SplitFile { splits, labels, notes } = labels::read_split_file(file.name(), &bytes, &labels)?;
                self.post(id, Event::SplitsOpened { splits, labels, notes });
            }
            Command::Train(job) => jobs::train(self, id, *job).await?,
            Command::Map { by, test } => jobs::map(self, id, by, test).await?,
            Command::Pause => {
                self.control.pause(true);
                self.post(id, Event::Paused);
            }
            Command::Resume => {
                self.control.pause(false);
                self.post(id, Event::Resumed);
            }
            Command::Cancel => self.control.cancel(),
            Command::FinishEarly => self.control.finish_early(),
            Command::SaveModel => {
                let model = self.model()?;
                let bytes = model.to_bytes()?.into();
                let name = format!("{}-{}.safetensors", stem(&model.info().scene), "sigmascope");
                self.post(id, Event::File { name, mime: "application/octet-stream".to_owned(), bytes });
            }
            Command::OpenModel { bytes } => {
                let bytes = match bytes {
                    Some(bytes) => bytes.into_vec(),
                    None => read_whole(one_file(files)?, MAX_MODEL_BYTES)?,
                };
                let model = TrainedModel::from_bytes(&bytes)?;
                let info = model.info();
                self.state.borrow_mut().model = Some(Rc::new(model));
                self.post(id, Event::ModelOpened(Box::new(info)));
            }
            Command::ExportEnvi { labels } => {
                let cube = self.cube()?;
                let name = format!("{}_map", stem(&cube.info().name));
                for (name, bytes) in scene::export::envi_classification(&name, &labels, cube.info().geo.as_ref()) {
                    let mime = "application/octet-stream".to_owned();
                    self.post(id, Event::File { name, mime, bytes: bytes.into() });
                }
            }
            Command::Bench(cases) => jobs::bench(self, id, cases).await?,
            Command::AskCoordinator(ask) => self.ask_coordinator(id, ask).await?,
            Command::MakeFederatedModel { network, classes } => {
                let model = FederatedModel::beginning(&network, classes, self.loaded_weights().as_deref())?;
                self.post(id, Event::FederatedModel(model));
            }
            Command::UploadFederatedModel { place, bytes } => self.upload_model(id, &place, &bytes).await?,
            Command::FetchContent { place, sha256, name } => self.fetch_content(id, &place, sha256, name).await?,
            Command::Federate(job) => jobs::federate(self, id, *job).await?,
            Command::ListWeights => self.list_weights(id).await?,
            Command::InspectWeights { url, quantization, complete, config, classes, purpose } => {
                let from = url.as_deref().map_or(Inspect::Files(files), Inspect::Address);
                self.inspect_weights(id, from, (quantization, complete), (&config, classes, purpose)).await?;
            }
            Command::LoadWeights(load) => jobs::load(self, id, load, files).await?,
            Command::DropWeights => self.drop_weights(id)?,
            Command::DeleteWeights { id: entry } => self.delete_weights(id, Some(&entry)).await?,
            Command::ClearWeights => self.delete_weights(id, None).await?,
            Command::AskFit(question) => self.answer_fit(id, &question).await?,
            Command::AskMemory => self.answer_memory(id),
            Command::DestroyDevice => self.destroy_device()?,
        }
        Ok(())
    }

    fn show_scene(
        &self,
        id: RequestId,
        cube: Rc<dyn Cube>,
        bytes: u64,
        labels: Option<LabelMap>,
    ) -> Result<(), Refusal> {
        if self.control.is_running() {
            return Err("a job is running on the open scene; stop it before opening another".into());
        }
        let info = cube.info().clone();
        let fingerprint = format!("{}|{bytes}|{}x{}x{}", info.name, info.rows, info.cols, info.bands);
        let mut state = self.state.borrow_mut();
        state.cube = Some(cube);
        state.renderer = Renderer::default();
        drop(state);
        self.post(id, Event::SceneOpened(Box::new(SceneOpened { info, fingerprint, labels })));
        Ok(())
    }

    pub(super) fn cube(&self) -> Result<Rc<dyn Cube>, Refusal> {
        self.state.borrow().cube.clone().ok_or_else(|| "no scene is open; open one first".into())
    }

    pub(super) fn model(&self) -> Result<Rc<TrainedModel>, Refusal> {
        self.state.borrow().model.clone().ok_or_else(|| "there is no model yet; train one or open a model file".into())
    }

    /// The current model, joined with the current weights if it is an adapter that was opened without them.
    pub(super) fn whole_model(&self) -> Result<Rc<TrainedModel>, Refusal> {
        let model = self.model()?;
        let Some(base) = self.loaded_weights().filter(|_| model.missing_base().is_some()) else { return Ok(model) };
        let model = Rc::new((*model).clone().with_base(base)?);
        self.state.borrow_mut().model = Some(model.clone());
        Ok(model)
    }

    /// The current weights.
    pub(super) fn loaded_weights(&self) -> Option<Rc<Pretrained>> {
        self.state.borrow().weights.as_ref().map(|current| current.pretrained.clone())
    }

    /// The current weights as a model, if they are a whole network.
    pub(super) fn weights_model(&self) -> Result<Rc<TrainedModel>, Refusal> {
        let weights = self.loaded_weights().ok_or("no weights are loaded; load some first")?;
        Ok(Rc::new(TrainedModel::of_weights(weights)?))
    }

    /// The chosen device, choosing by itself on first use.
    pub(super) async fn chosen(&self) -> Result<device::Chosen, Refusal> {
        let chosen = self.state.borrow().chosen.clone();
        match chosen {
            Some(chosen) => Ok(chosen),
            None => {
                let chosen = self.select_device(DeviceChoice::Auto).await?;
                self.state.borrow_mut().chosen = Some(chosen.clone());
                Ok(chosen)
            }
        }
    }

    /// Where weights are kept and come from; opened on first use.
    pub(super) async fn shelf(&self) -> Rc<Shelf> {
        let shelf = self.state.borrow().shelf.clone();
        match shelf {
            Some(shelf) => shelf,
            None => {
                let shelf = Rc::new(Shelf::open().await);
                self.state.borrow_mut().shelf.get_or_insert(shelf).clone()
            }
        }
    }

    #[cfg(target_arch = "wasm32")]
    async fn select_device(&self, choice: DeviceChoice) -> Result<device::Chosen, Refusal> {
        Ok(self.devices.select(choice).await?)
    }

    /// Natively only tests and the command line drive a session, on the CPU.
    #[cfg(not(target_arch = "wasm32"))]
    async fn select_device(&self, choice: DeviceChoice) -> Result<device::Chosen, Refusal> {
        let (_, reason) = device::decide(choice, None)?;
        Ok(device::cpu(choice, reason))
    }

    /// The limits of the open GPU, where they are known better than by its allocator.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn gpu_limits(&self) -> Option<FitLimits> {
        self.devices.limits()
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn gpu_limits(&self) -> Option<FitLimits> {
        None
    }

    /// Asks the open GPU for so many bytes and gives them back at once; `None` where there is none to ask.
    #[cfg(target_arch = "wasm32")]
    pub(super) async fn try_allocation(&self, bytes: u64) -> Option<bool> {
        self.devices.try_allocation(bytes).await
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) async fn try_allocation(&self, _bytes: u64) -> Option<bool> {
        None
    }

    /// Frozen weights are multiplied by kernels of their own: a GPU is trusted with them once it has computed what the CPU
    /// computes.
    #[cfg(target_arch = "wasm32")]
    pub(super) async fn trust_frozen(&self) -> Result<(), Refusal> {
        Ok(self.devices.trust_frozen().await?)
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) async fn trust_frozen(&self) -> Result<(), Refusal> {
        Ok(())
    }

    #[cfg(target_arch = "wasm32")]
    fn destroy_device(&self) -> Result<(), Refusal> {
        if self.devices.destroy_gpu() { Ok(()) } else { Err("no GPU device is open".into()) }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn destroy_device(&self) -> Result<(), Refusal> {
        Err("no GPU device is open".into())
    }
}

#[cfg(target_arch = "wasm32")]
fn network_of(server: &str) -> Rc<dyn Transport> {
    Rc::new(super::browser::Coordinator::new(server))
}

#[cfg(not(target_arch = "wasm32"))]
fn network_of(_server: &str) -> Rc<dyn Transport> {
    Rc::new(super::federation::Silent("this session has no network".to_owned()))
}

#[cfg(target_arch = "wasm32")]
async fn private_places() -> Places {
    let folder = super::browser::PrivateFolder::open("federations").await;
    let reason = |_| {
        "this browser keeps no files for this page (a private window, or an old browser); after a reload this tab joins anew"
            .to_owned()
    };
    folder.map(|folder| Rc::new(folder) as Rc<dyn Store>).map_err(reason)
}

#[cfg(not(target_arch = "wasm32"))]
async fn private_places() -> Places {
    Err("this session keeps nothing".to_owned())
}

/// Largest split file that is read: ten times the largest published one.
const MAX_SPLIT_BYTES: u64 = 64 << 20;
/// Largest model file that is read whole.
const MAX_MODEL_BYTES: u64 = 1 << 30;

fn one_file(files: &[SharedSource]) -> Result<&SharedSource, Refusal> {
    match files {
        [file] => Ok(file),
        _ => Err(format!("one file is expected here, not {}", files.len()).into()),
    }
}

fn read_whole(file: &SharedSource, limit: u64) -> Result<Vec<u8>, Refusal> {
    if file.len() > limit {
        return Err(format!("{} has {} bytes; at most {limit} are read here", file.name(), file.len()).into());
    }
    let mut bytes = vec![0; file.len() as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// All bands of one pixel; NaN where there is no data.
fn spectrum(cube: &dyn Cube, row: usize, col: usize) -> Result<Vec<f32>, SceneError> {
    let info = cube.info();
    let mut values = vec![0.0; info.bands];
    // An overflowing end would be an empty range; the reader refuses what does not fit.
    let window = Window { rows: row..row.saturating_add(1), cols: col..col.saturating_add(1), bands: 0..info.bands };
    cube.read(&window, &mut values)?;
    let valid = |value: f64| if scene::is_valid(value, info.nodata) { value as f32 } else { f32::NAN };
    Ok(values.into_iter().map(valid).collect())
}

/// A file name without its last extension.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
