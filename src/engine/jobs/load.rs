//! Load weights: convert, download, copy or verify them, and make them the current ones.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use sha2::{Digest, Sha256};

use super::super::clock::{now_s, sleep_ms};
use super::super::message::{
    DeviceChoice, Event, FitPurpose, LoadWeights, RequestId, WeightsFrom, WeightsLoaded, WeightsPhase, WeightsProgress,
};
use super::super::session::{Refusal, Session};
use super::super::weights::{Current, Shelf, aim, describe, is_gguf, work};
use super::{BUSY, Stop, conclude, listen};
use crate::scene::SharedSource;
use crate::shelf::{
    Arrived, CatalogueEntry, Download, Incoming, Patience, ShelfError, Step, WeightsSummary, file_name,
};
use crate::train::{TrainConfig, TrainedModel};
use crate::weights::{Checkpoint, Conversion, ConversionOptions, LoadReport, Pretrained};

/// Bytes that are copied or hashed at once.
const PIECE: u64 = 1 << 20;
/// Seconds between two events.
const EVERY_S: f64 = 0.1;
/// Classes for the first estimate of what fits.
const CLASSES: usize = 16;

impl From<ShelfError> for Stop {
    fn from(error: ShelfError) -> Self {
        Stop::Refused(error.into())
    }
}

pub(in super::super) async fn load(
    session: &Session,
    id: RequestId,
    request: LoadWeights,
    files: &[SharedSource],
) -> Result<(), Refusal> {
    let Some(_running) = session.control.start() else { return Err(BUSY.into()) };
    let end = run(session, id, &request, files).await;
    conclude(session, id, end)
}

async fn run(session: &Session, id: RequestId, request: &LoadWeights, files: &[SharedSource]) -> Result<(), Stop> {
    let shelf = session.shelf().await;
    let mut job = Job { session, shelf: &shelf, id, meter: Meter::new() };
    let found = match &request.from {
        WeightsFrom::Files => job.files(request, files).await?,
        WeightsFrom::Url { url, sha256 } => {
            let name = file_name(url);
            let download = Download::new(&shelf.cache, url, &name, sha256.clone(), PATIENCE).await?;
            job.download(download, name, Some(url)).await?
        }
        WeightsFrom::Catalogue(name) => {
            let entry = shelf.shipped(name).await?;
            match shelf.cache.open(&entry.sha256).await {
                Ok(_) => job.cached(&entry.sha256).await?,
                Err(_) => job.shipped(&entry).await?,
            }
        }
        WeightsFrom::Cached(entry) => job.cached(entry).await?,
    };
    let chosen = session.chosen().await?;
    if chosen.info.active == DeviceChoice::Webgpu {
        session.trust_frozen().await?;
    }
    let Found { name, summary, report, source, sha256, stored, notice } = found;
    let pretrained = Rc::new(
        match &sha256 {
            Some(hash) => Pretrained::open_verified(source, hash.clone()),
            None => Pretrained::open(source),
        }
        .map_err(ShelfError::from)?,
    );
    let mut config = TrainConfig::default();
    config.adopt(&pretrained);
    let known = pretrained.description();
    let network = aim(&known.network, known.origin, &config, CLASSES);
    let work = work(network, summary.quantization, FitPurpose::Map, &config);
    let fit = session.fit_at(&session.place().await?, &work).await;
    let model = TrainedModel::of_weights(pretrained.clone()).ok().map(|model| Box::new(model.info()));
    let loaded = WeightsLoaded { id: sha256, name, summary, report: Box::new(report), stored, notice, fit, model };
    session.state.borrow_mut().weights = Some(Rc::new(Current { pretrained, loaded: loaded.clone() }));
    session.post(id, Event::WeightsLoaded(Box::new(loaded)));
    Ok(())
}

/// Shorter in native tests, where waiting is sleeping.
const PATIENCE: Patience = Patience { attempts: 7, first_ms: if cfg!(target_arch = "wasm32") { 500 } else { 1 } };

/// Weights that are at hand.
struct Found {
    name: String,
    summary: WeightsSummary,
    report: LoadReport,
    source: SharedSource,
    sha256: Option<String>,
    stored: bool,
    notice: Option<String>,
}

struct Job<'a> {
    session: &'a Session,
    shelf: &'a Shelf,
    id: RequestId,
    meter: Meter,
}

impl Job<'_> {
    async fn files(&mut self, request: &LoadWeights, files: &[SharedSource]) -> Result<Found, Stop> {
        let Some(file) = is_gguf(files) else { return self.convert(request, files).await };
        let (summary, report) = describe(file)?;
        let name = file.name().to_owned();
        if !request.keep {
            let notice =
                "these weights are read where they lie: leave the file there, and choose it again after a reload";
            let (source, notice) = (file.clone(), Some(notice.to_owned()));
            return Ok(Found { name, summary, report, source, sha256: None, stored: false, notice });
        }
        let mut incoming = self.shelf.cache.begin(&name, Some(file.len())).await?;
        match self.copy(file, &mut incoming).await {
            Ok(()) => self.arrive(incoming, name, None).await,
            Err(stop) => {
                incoming.discard().await;
                Err(stop)
            }
        }
    }

    async fn copy(&mut self, file: &SharedSource, incoming: &mut Incoming) -> Result<(), Stop> {
        while incoming.len() < file.len() {
            self.tell(WeightsPhase::Copying, incoming.len(), Some(file.len())).await?;
            let mut bytes = vec![0; (file.len() - incoming.len()).min(PIECE) as usize];
            file.read_at(incoming.len(), &mut bytes).map_err(ShelfError::from)?;
            incoming.append(&bytes).await?;
        }
        Ok(())
    }

    async fn convert(&mut self, request: &LoadWeights, files: &[SharedSource]) -> Result<Found, Stop> {
        let LoadWeights { quantization, complete, .. } = *request;
        let options = ConversionOptions { quantization, complete, ..Default::default() };
        let checkpoint = Checkpoint::open(files, None).map_err(ShelfError::from)?;
        let mut conversion = Conversion::new(checkpoint, &options).map_err(ShelfError::from)?;
        let names: Vec<&str> = files.iter().map(|file| file.name()).collect();
        let stem = names.first().map_or("weights", |name| name.rsplit_once('.').map_or(*name, |(stem, _)| stem));
        let name = match (names.len(), &conversion.description().size) {
            (2, Some(size)) => format!("hypersigma-{size}-{}.gguf", quantization.name()),
            _ => format!("{stem}-{}.gguf", quantization.name()),
        };
        let mut incoming = self.shelf.cache.begin(&name, Some(conversion.report().bytes)).await?;
        let written = self.write(&mut conversion, &mut incoming).await;
        if let Err(stop) = written {
            incoming.discard().await;
            return Err(stop);
        }
        self.arrive(incoming, name, Some(conversion.report().clone())).await
    }

    async fn write(&mut self, conversion: &mut Conversion, incoming: &mut Incoming) -> Result<(), Stop> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let progress = conversion.step(&mut bytes).map_err(ShelfError::from)?;
            incoming.append(&bytes).await?;
            let Some(progress) = progress else { return Ok(()) };
            self.tell(WeightsPhase::Converting, progress.done, Some(progress.total)).await?;
        }
    }

    async fn shipped(&mut self, entry: &CatalogueEntry) -> Result<Found, Stop> {
        let download = Download::of_catalogue(&self.shelf.cache, entry, PATIENCE).await?;
        self.download(download, file_name(&entry.url), None).await
    }

    /// `from` is the address, if it is to be written down as the source.
    async fn download(&mut self, mut download: Download, name: String, from: Option<&str>) -> Result<Found, Stop> {
        let received = self.receive(&mut download).await;
        match received {
            Ok(()) => {}
            // What is here is of use for the next attempt.
            Err(stop @ Stop::Refused(_)) if download.is_broken() => return Err(stop),
            Err(stop) => {
                download.discard(&self.shelf.cache).await;
                return Err(stop);
            }
        }
        let url = download.url().to_owned();
        let arrived = download.finish(&self.shelf.cache).await?;
        let found = self.keep(arrived, name, None, from).await;
        self.shelf.cache.forget_resume(&url).await;
        found
    }

    async fn receive(&mut self, download: &mut Download) -> Result<(), Stop> {
        loop {
            let step = download.step(&self.shelf.cache, &*self.shelf.network);
            let step = until_cancelled(self.session, step).await.ok_or(Stop::Cancelled)??;
            let (done, total) = download.progress();
            match step {
                Step::Done => return Ok(()),
                Step::Verifying => self.tell(WeightsPhase::Verifying, done, total).await?,
                Step::Receiving => self.tell(WeightsPhase::Downloading, done, total).await?,
                Step::Wait { milliseconds, .. } => {
                    self.post(WeightsPhase::Reconnecting, done, total);
                    let waiting = sleep_ms(i32::try_from(milliseconds).unwrap_or(i32::MAX));
                    until_cancelled(self.session, waiting).await.ok_or(Stop::Cancelled)?;
                }
            }
        }
    }

    /// Opens an entry and hashes it: what is damaged is deleted.
    async fn cached(&mut self, entry: &str) -> Result<Found, Stop> {
        let (kept, source) = self.shelf.cache.open(entry).await?;
        let mut hasher = Sha256::new();
        let mut done = 0;
        while done < source.len() {
            self.tell(WeightsPhase::Verifying, done, Some(source.len())).await?;
            let mut bytes = vec![0; (source.len() - done).min(PIECE) as usize];
            source.read_at(done, &mut bytes).map_err(ShelfError::from)?;
            hasher.update(&bytes);
            done += bytes.len() as u64;
        }
        let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found != entry {
            self.shelf.cache.delete(entry).await?;
            let (name, expected) = (kept.weights.name, entry.to_owned());
            return Err(ShelfError::Damaged { name, expected, found }.into());
        }
        let (summary, name, report) = (kept.weights.summary, kept.weights.name, kept.report);
        Ok(Found { name, summary, report, source, sha256: Some(found), stored: true, notice: None })
    }

    async fn arrive(&mut self, incoming: Incoming, name: String, report: Option<LoadReport>) -> Result<Found, Stop> {
        let arrived = incoming.finish().await?;
        self.keep(arrived, name, report, None).await
    }

    /// Looks at what has arrived and makes an entry of it; what is no GGUF file is not kept.
    async fn keep(
        &mut self,
        arrived: Arrived,
        name: String,
        report: Option<LoadReport>,
        from: Option<&str>,
    ) -> Result<Found, Stop> {
        let (mut summary, own) = match describe(&arrived.source) {
            Ok(described) => described,
            Err(error) => {
                self.shelf.cache.remove_arrived(&arrived).await;
                return Err(error.into());
            }
        };
        summary.source = from.map(str::to_owned).or(summary.source);
        let report = report.unwrap_or(own);
        let stored = self.shelf.cache.commit(&arrived, &name, &summary, &report).await?;
        let Arrived { source, sha256, notice, .. } = arrived;
        Ok(Found { name, summary, report, source, sha256: Some(sha256), stored, notice })
    }

    /// Says how far it is, and hears whether it is to stop.
    async fn tell(&mut self, phase: WeightsPhase, done: u64, total: Option<u64>) -> Result<(), Stop> {
        if self.meter.is_due(phase) {
            self.post(phase, done, total);
        }
        // Letting messages in costs milliseconds in a browser.
        if self.meter.breathes() { listen(self.session).await } else { Ok(()) }
    }

    fn post(&mut self, phase: WeightsPhase, done: u64, total: Option<u64>) {
        let (elapsed_s, remaining_s) = self.meter.at(phase, done, total);
        let progress = WeightsProgress { phase, done, total, elapsed_s, remaining_s };
        self.session.post(self.id, Event::WeightsProgress(progress));
    }
}

/// Time of a phase.
struct Meter {
    phase: Option<WeightsPhase>,
    started_s: f64,
    /// Bytes that were there when the phase began.
    before: u64,
    posted_s: f64,
    breathed_s: f64,
}

impl Meter {
    fn new() -> Self {
        Self { phase: None, started_s: now_s(), before: 0, posted_s: f64::MIN, breathed_s: f64::MIN }
    }

    fn is_due(&mut self, phase: WeightsPhase) -> bool {
        self.phase != Some(phase) || now_s() - self.posted_s > EVERY_S
    }

    fn breathes(&mut self) -> bool {
        const LONGEST_S: f64 = 0.03;
        let due = now_s() - self.breathed_s > LONGEST_S;
        if due {
            self.breathed_s = now_s();
        }
        due
    }

    /// Seconds that the phase has taken, and that it will take at its mean speed.
    fn at(&mut self, phase: WeightsPhase, done: u64, total: Option<u64>) -> (f64, Option<f64>) {
        let now = now_s();
        if self.phase != Some(phase) {
            (self.phase, self.started_s, self.before) = (Some(phase), now, done);
        }
        self.posted_s = now;
        let elapsed = now - self.started_s;
        let gained = done.saturating_sub(self.before) as f64;
        let left = total.map(|total| total.saturating_sub(done) as f64);
        (elapsed, left.filter(|_| gained > 0.0 && elapsed > 0.5).map(|left| left * elapsed / gained))
    }
}

/// Waits for `act`, or until the job is cancelled (`None`): a connection may be silent for long.
async fn until_cancelled<T>(session: &Session, act: impl Future<Output = T>) -> Option<T> {
    const LOOK_MS: i32 = 100;
    let watch = async {
        while !session.control.is_cancelled() {
            sleep_ms(LOOK_MS).await;
        }
    };
    let (mut act, mut watch) = (pin!(act), pin!(watch));
    std::future::poll_fn(|context| match act.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => watch.as_mut().poll(context).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_promised_only_when_something_came() {
        let mut meter = Meter::new();
        assert!(meter.is_due(WeightsPhase::Downloading));
        assert_eq!(meter.at(WeightsPhase::Downloading, 50, Some(100)).1, None);
        meter.started_s -= 2.0;
        let (elapsed, left) = meter.at(WeightsPhase::Downloading, 60, Some(100));
        assert!(elapsed >= 2.0 && left.is_some_and(|left| (7.9..9.0).contains(&left)), "{elapsed} {left:?}");
        assert!(!meter.is_due(WeightsPhase::Downloading) && meter.is_due(WeightsPhase::Verifying));
        assert_eq!(meter.at(WeightsPhase::Verifying, 0, None).1, None);
    }
}
