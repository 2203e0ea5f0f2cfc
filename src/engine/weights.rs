//! What the session does about weights, short of loading them: the shelf, headers, fit, letting go.

use std::rc::Rc;

use super::fit::{Place, Work};
use super::memory;
use super::message::{
    DeviceChoice, Event, Fit, FitPurpose, FitQuestion, FitVerdict, FitWeights, RequestId, WeightsChoice,
    WeightsDropped, WeightsInspected, WeightsLoaded, WeightsShelf,
};
use super::session::{Refusal, Session};
use crate::model::{Config, Task};
use crate::scene::SharedSource;
use crate::shelf::{
    CATALOGUE_URL, Cache, CatalogueEntry, CatalogueError, Get, Network, ShelfError, WeightsSummary, file_name, look,
    read_catalogue,
};
use crate::train::TrainConfig;
use crate::weights::gguf::GgufFile;
use crate::weights::{
    Checkpoint, Conversion, ConversionOptions, LoadReport, Origin, Pretrained, Quantization, Size, Target, TensorFile,
};

/// Where weights are kept and come from.
pub struct Shelf {
    pub cache: Cache,
    pub network: Rc<dyn Network>,
}

/// The weights that training starts from.
pub struct Current {
    pub pretrained: Rc<Pretrained>,
    pub loaded: WeightsLoaded,
}

/// What is to be inspected.
pub enum Inspect<'a> {
    Files(&'a [SharedSource]),
    /// A GGUF file on the network.
    Address(&'a str),
}

/// A catalogue is small.
const CATALOGUE_MAX: usize = 1 << 20;
/// Where a question does not say it.
const TILE: [usize; 2] = [128, 128];

impl Shelf {
    /// The origin's private file system, or memory where there is none.
    #[cfg(target_arch = "wasm32")]
    pub async fn open() -> Self {
        use super::browser::{Fetch, PrivateFolder, now_ms};
        let store = PrivateFolder::open("weights").await.map(|folder| Rc::new(folder) as Rc<dyn crate::shelf::Store>);
        Self { cache: Cache::new(store, now_ms), network: Rc::new(Fetch) }
    }

    /// Natively only tests and the command line drive a session; they bring what they need.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn open() -> Self {
        let none = "this session keeps no weights and fetches none".to_owned();
        Self { cache: Cache::new(Err(none.clone()), || 0), network: Rc::new(crate::shelf::Offline(none)) }
    }

    /// The shipped weights.
    ///
    /// # Errors
    /// [`ShelfError`] when the catalogue cannot be had or read.
    pub async fn catalogue(&self) -> Result<Vec<CatalogueEntry>, ShelfError> {
        let unread = |reason: String| ShelfError::Catalogue(CatalogueError::Malformed(reason));
        let request = Get { url: CATALOGUE_URL.to_owned(), range: None, if_range: None };
        let mut answer = self.network.get(&request).await.map_err(|error| unread(error.to_string()))?;
        if answer.status != 200 {
            return Err(unread(format!("the server answers {}", answer.status)));
        }
        let mut json = Vec::new();
        while let Some(bytes) = answer.body.next().await.map_err(|error| unread(error.to_string()))? {
            json.extend_from_slice(&bytes);
            if json.len() > CATALOGUE_MAX {
                return Err(unread("it is too long".to_owned()));
            }
        }
        let json = String::from_utf8(json).map_err(|_| unread("it is no text".to_owned()))?;
        Ok(read_catalogue(&json)?)
    }

    /// An entry of the catalogue.
    ///
    /// # Errors
    /// [`CatalogueError::Unknown`] when it is not there.
    pub async fn shipped(&self, name: &str) -> Result<CatalogueEntry, ShelfError> {
        let entry = self.catalogue().await?.into_iter().find(|entry| entry.name == name);
        entry.ok_or_else(|| CatalogueError::Unknown { name: name.to_owned() }.into())
    }
}

impl Session {
    pub(super) async fn list_weights(&self, id: RequestId) -> Result<(), Refusal> {
        let shelf = self.shelf().await;
        let listing = shelf.cache.list().await?;
        let mut notices = listing.notices;
        let catalogue = shelf.catalogue().await.unwrap_or_else(|error| {
            notices.push(error.to_string());
            Vec::new()
        });
        let current = self.state.borrow().weights.as_ref().and_then(|current| current.loaded.id.clone());
        let cached = listing.entries.into_iter().map(|entry| entry.weights).collect();
        let (bytes_used, quota) = (listing.bytes_used, listing.quota);
        let shelf = WeightsShelf { cached, bytes_used, quota, catalogue, current, notices };
        self.post(id, Event::WeightsShelf(Box::new(shelf)));
        Ok(())
    }

    pub(super) async fn inspect_weights(
        &self,
        id: RequestId,
        from: Inspect<'_>,
        (quantization, complete): (Quantization, bool),
        (config, classes, purpose): (&TrainConfig, usize, FitPurpose),
    ) -> Result<(), Refusal> {
        let place = self.place().await?;
        let (described, files) = match from {
            Inspect::Address(url) => (Some(self.look(url).await?), &[][..]),
            Inspect::Files(files) => (is_gguf(files).map(describe).transpose()?, files),
        };
        let open = |quantization| -> Result<LoadReport, ShelfError> {
            let options = ConversionOptions { quantization, complete, ..Default::default() };
            Ok(Conversion::new(Checkpoint::open(files, None)?, &options)?.report().clone())
        };
        let converted = described.is_none();
        let (report, stored_as) = match described {
            Some((summary, report)) => (report.clone(), vec![(summary.quantization, report)]),
            None => {
                let each = Quantization::ALL.map(|quantization| Ok((quantization, open(quantization)?)));
                (open(quantization)?, each.into_iter().collect::<Result<Vec<_>, ShelfError>>()?)
            }
        };
        let mut choices = Vec::new();
        for (quantization, report) in stored_as {
            let network = aim(&report.network, report.origin, config, classes);
            let work = work(network, quantization, purpose, config);
            choices.push(WeightsChoice { quantization, bytes: report.bytes, fit: self.fit_at(&place, &work).await });
        }
        let inspected = WeightsInspected { report, converted, choices };
        self.post(id, Event::WeightsInspected(Box::new(inspected)));
        Ok(())
    }

    /// Reads the header of the GGUF file at an address.
    async fn look(&self, url: &str) -> Result<(WeightsSummary, LoadReport), ShelfError> {
        let shelf = self.shelf().await;
        let ((summary, report), total) = look(&*shelf.network, url, &file_name(url), describe).await?;
        let bytes = total.unwrap_or(0);
        Ok((WeightsSummary { bytes, ..summary }, LoadReport { bytes, ..report }))
    }

    pub(super) fn drop_weights(&self, id: RequestId) -> Result<(), Refusal> {
        self.refuse_while_running("stop it before letting go of the weights")?;
        let device = self.state.borrow().chosen.as_ref().map(|chosen| chosen.device.clone());
        let before = memory::measure(device.as_ref());
        self.state.borrow_mut().weights = None;
        if let Some(device) = &device {
            memory::release(device);
        }
        let after = memory::measure(device.as_ref());
        self.post(id, Event::WeightsDropped(WeightsDropped { before, after }));
        Ok(())
    }

    /// Removes an entry, or all with `None`. The current weights are let go of first.
    pub(super) async fn delete_weights(&self, id: RequestId, entry: Option<&str>) -> Result<(), Refusal> {
        let current = self.state.borrow().weights.as_ref().and_then(|current| current.loaded.id.clone());
        if current.is_some() && entry.is_none_or(|entry| current.as_deref() == Some(entry)) {
            self.refuse_while_running("stop it before deleting the weights that it uses")?;
            self.state.borrow_mut().weights = None;
        }
        let shelf = self.shelf().await;
        match entry {
            Some(entry) => shelf.cache.delete(entry).await?,
            None => shelf.cache.clear().await?,
        }
        self.list_weights(id).await
    }

    pub(super) async fn answer_fit(&self, id: RequestId, question: &FitQuestion) -> Result<(), Refusal> {
        let FitQuestion { weights, purpose, config, classes } = question;
        let (network, quantization) = match weights {
            FitWeights::Current => {
                let current = self.state.borrow().weights.clone();
                let current = current.ok_or("no weights are loaded; load some first")?;
                let description = current.pretrained.description();
                (aim(&description.network, description.origin, config, *classes), current.loaded.summary.quantization)
            }
            FitWeights::Cached(entry) => {
                let entry = self.shelf().await.cache.entry(entry).await?;
                let network = aim(&entry.report.network, entry.weights.summary.origin, config, *classes);
                (network, entry.weights.summary.quantization)
            }
            FitWeights::Catalogue(name) => {
                let entry = self.shelf().await.shipped(name).await?;
                (of_size(&entry.size, config, *classes)?, entry.quantization)
            }
            FitWeights::Size { size, quantization, complete: _ } => (of_size(size, config, *classes)?, *quantization),
        };
        let place = self.place().await?;
        let fit = self.fit_at(&place, &work(network, quantization, *purpose, config)).await;
        self.post(id, Event::Fit(Box::new(fit)));
        Ok(())
    }

    pub(super) fn answer_memory(&self, id: RequestId) {
        let device = self.state.borrow().chosen.as_ref().map(|chosen| chosen.device.clone());
        self.post(id, Event::Memory(memory::measure(device.as_ref())));
    }

    /// The chosen device and what it allows.
    pub(super) async fn place(&self) -> Result<Place, Refusal> {
        let chosen = self.chosen().await?;
        let known = if chosen.info.active == DeviceChoice::Webgpu { self.gpu_limits() } else { None };
        let limits = known.unwrap_or_else(|| memory::limits(&chosen.device));
        Ok(Place { active: chosen.info.active, limits, granted: None })
    }

    /// Whether it fits; where only a trial can tell, a GPU is asked for the bytes.
    pub(super) async fn fit_at(&self, place: &Place, work: &Work) -> Fit {
        let fit = place.fit(work);
        if fit.verdict != FitVerdict::Uncertain {
            return fit;
        }
        let granted = self.try_allocation(fit.needs.total()).await;
        Place { granted, ..place.clone() }.fit(work)
    }

    fn refuse_while_running(&self, what: &str) -> Result<(), Refusal> {
        if self.control.is_running() { Err(format!("a job is running; {what}").into()) } else { Ok(()) }
    }
}

/// The one file, if it is GGUF.
pub fn is_gguf(files: &[SharedSource]) -> Option<&SharedSource> {
    let [file] = files else { return None };
    let mut magic = [0; 4];
    (file.read_at(0, &mut magic).is_ok() && magic == *b"GGUF").then_some(file)
}

/// What a GGUF file is, and what becomes of its tensors; reads its header only.
pub fn describe(source: &SharedSource) -> Result<(WeightsSummary, LoadReport), ShelfError> {
    let file = GgufFile::open(source.clone())?;
    let parameters = file.tensors().iter().map(|tensor| tensor.len() as u64).sum();
    let pretrained = Pretrained::open(source.clone())?;
    let description = pretrained.description();
    let network = match description.origin {
        Origin::FineTuning => description.network.clone(),
        Origin::Pretraining => {
            let known = &description.network;
            let or = |value: usize, other: usize| if value > 0 { value } else { other };
            let tile = [or(known.rows, TILE[0]), or(known.cols, TILE[1])];
            let target = Target::default();
            let (patch, components) = (or(known.patch, target.patch), or(known.components, target.components));
            Target { tile, patch, components, ..target }.network(source.name(), description)?
        }
    };
    let report = LoadReport { bytes: source.len(), ..pretrained.report(&network)? };
    let files: Vec<&str> = description.sources.iter().map(|(name, _)| name.as_str()).collect();
    let summary = WeightsSummary {
        title: description.title(),
        size: description.size.clone(),
        quantization: description.quantization,
        origin: description.origin,
        bytes: source.len(),
        parameters,
        complete: description.network.complete,
        classes: if description.origin == Origin::FineTuning { description.network.classes } else { 0 },
        license: description.license.clone(),
        source: description.source_url.clone().or_else(|| (!files.is_empty()).then(|| files.join(", "))),
    };
    Ok((summary, report))
}

/// The network with the encoders of `known` that a training with `config` makes; a fine-tuned one stays as it is.
pub fn aim(known: &Config, origin: Origin, config: &TrainConfig, classes: usize) -> Config {
    if origin == Origin::FineTuning {
        return known.clone();
    }
    let patch = config.patch.unwrap_or(if known.patch > 0 { known.patch } else { config.patch() });
    let (rows, cols) = (config.tile, config.tile);
    let components = config.components;
    Config { task: Task::Segmentation, rows, cols, patch, components, classes: classes.max(1), ..known.clone() }
}

/// The same for a size without a file.
fn of_size(size: &str, config: &TrainConfig, classes: usize) -> Result<Config, Refusal> {
    let known = Size::named(size).ok_or_else(|| Refusal::from(format!("no size is called {size}")))?;
    let patch = config.patch();
    let (task, tile, components) = (Task::Segmentation, [config.tile; 2], config.components);
    let shape = Config { patch, ..Config::base(task, tile, components, classes.max(1)) };
    Ok(known.with(&shape))
}

/// What is asked of a network.
pub fn work(network: Config, quantization: Quantization, purpose: FitPurpose, config: &TrainConfig) -> Work {
    let (tuning, average) = (config.tuning.clone(), config.weight_average > 0.0);
    Work { network, quantization, purpose, tuning, average, checkpointing: config.checkpointing }
}
