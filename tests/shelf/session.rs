//! A session that is asked as the page asks it.

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;

use serde_json::json;
use sigmascope::engine::message::{
    Command, Event, Fit, FitPurpose, FitQuestion, FitVerdict, FitWeights, LoadWeights, Reply, Request, WeightsFrom,
    WeightsInspected, WeightsLoaded, WeightsPhase, WeightsShelf,
};
use sigmascope::engine::{Outbox, Session, Shelf};
use sigmascope::scene::SharedSource;
use sigmascope::shelf::{Offline, Store};
use sigmascope::train::TrainConfig;
use sigmascope::weights::{Checkpoint, Conversion, ConversionOptions, Origin, Quantization, Status};
use tempfile::TempDir;

use super::http::{Answer, Server};
use super::{block_on, bytes, cache, folder, gguf, names, pair, sha256};

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

struct Lab {
    session: Rc<Session>,
    letters: Rc<Letters>,
    store: Rc<dyn Store>,
    dir: TempDir,
}

impl Lab {
    fn new(server: Option<&Server>, limit: Option<u64>) -> Self {
        let (dir, store) = folder(limit);
        Self::on(dir, store, server)
    }

    fn on(dir: TempDir, store: Rc<dyn Store>, server: Option<&Server>) -> Self {
        let letters = Rc::new(Letters::default());
        let network: Rc<dyn sigmascope::shelf::Network> = match server {
            Some(server) => Rc::new(server.network()),
            None => Rc::new(Offline("there is no connection".to_owned())),
        };
        let shelf = Shelf { cache: cache(&store), network };
        let session = Rc::new(Session::with_shelf(letters.clone(), shelf));
        Self { session, letters, store, dir }
    }

    /// The page is reloaded.
    fn reload(self, server: Option<&Server>) -> Self {
        Self::on(self.dir, self.store, server)
    }

    fn ask(&self, command: Command, files: &[SharedSource]) -> Vec<Event> {
        // The way from the page, too.
        let packed = postcard::to_stdvec(&Request { id: 1, command }).unwrap();
        let request = postcard::from_bytes(&packed).unwrap();
        block_on(self.session.clone().handle(request, files.to_vec()));
        self.letters.0.take()
    }

    fn load(&self, from: WeightsFrom, files: &[SharedSource]) -> Result<(WeightsLoaded, Vec<WeightsPhase>), String> {
        self.load_as(LoadWeights::new(from), files)
    }

    fn load_as(&self, load: LoadWeights, files: &[SharedSource]) -> Result<(WeightsLoaded, Vec<WeightsPhase>), String> {
        let events = self.ask(Command::LoadWeights(load), files);
        let mut phases = Vec::new();
        let mut loaded = None;
        let mut finished = false;
        for event in events {
            assert!(!finished, "the end is the end");
            match event {
                Event::WeightsProgress(progress) => {
                    assert!(progress.total.is_none_or(|total| progress.done <= total));
                    if phases.last() != Some(&progress.phase) {
                        phases.push(progress.phase);
                    }
                }
                Event::WeightsLoaded(event) => loaded = Some(*event),
                Event::JobFinished => finished = true,
                Event::Failed(failure) => return Err(failure.message),
                other => panic!("{other:?}"),
            }
        }
        assert!(finished);
        Ok((loaded.unwrap(), phases))
    }

    fn shelf(&self) -> WeightsShelf {
        shelf(self.ask(Command::ListWeights, &[]))
    }

    fn inspect(&self, url: Option<String>, files: &[SharedSource]) -> Result<WeightsInspected, String> {
        let command = Command::InspectWeights {
            url,
            quantization: Quantization::Q4_0,
            complete: false,
            config: Box::new(TrainConfig::default()),
            classes: 5,
            purpose: FitPurpose::Map,
        };
        match self.ask(command, files).into_iter().next() {
            Some(Event::WeightsInspected(inspected)) => Ok(*inspected),
            Some(Event::Failed(failure)) => Err(failure.message),
            other => panic!("{other:?}"),
        }
    }
}

fn shelf(events: Vec<Event>) -> WeightsShelf {
    match events.into_iter().next() {
        Some(Event::WeightsShelf(shelf)) => *shelf,
        other => panic!("{other:?}"),
    }
}

#[test]
fn official_checkpoints_are_converted_kept_and_loaded_again() {
    let lab = Lab::new(None, None);
    let (loaded, phases) = lab.load(WeightsFrom::Files, &pair()).unwrap();
    assert_eq!(phases, [WeightsPhase::Converting]);
    assert!(loaded.stored && loaded.notice.is_none());
    assert_eq!(loaded.summary.origin, Origin::Pretraining);
    assert_eq!((loaded.summary.size.as_deref(), loaded.summary.quantization), (Some("nano"), Quantization::Q8_0));
    assert_eq!(loaded.name, "hypersigma-nano-q8_0.gguf");
    assert_eq!(loaded.summary.source.as_deref(), Some("spat-vit-nano.safetensors, spec-vit-nano.safetensors"));
    // The report of the conversion, with the hashes of what was converted.
    assert_eq!(loaded.report.inputs.len(), 2);
    assert!(loaded.report.inputs.iter().all(|input| input.sha256.is_some()));
    assert!(loaded.report.of(Status::Dropped).count() > 0 && loaded.report.of(Status::Unexpected).count() > 0);
    let shelf = lab.shelf();
    assert_eq!(shelf.cached.len(), 1);
    assert_eq!((&shelf.cached[0].id, &shelf.current), (loaded.id.as_ref().unwrap(), &loaded.id));
    assert!(shelf.notices[0].contains("catalogue") && shelf.catalogue.is_empty(), "{:?}", shelf.notices);

    let lab = lab.reload(None);
    assert_eq!(lab.shelf().current, None);
    let id = loaded.id.clone().unwrap();
    let (again, phases) = lab.load(WeightsFrom::Cached(id), &[]).unwrap();
    assert_eq!(phases, [WeightsPhase::Verifying]);
    assert_eq!((again.report, again.summary, again.stored), (loaded.report, loaded.summary, true));
}

#[test]
fn a_damaged_entry_is_deleted_and_said_so() {
    let lab = Lab::new(None, None);
    let (loaded, _) = lab.load(WeightsFrom::Files, &pair()).unwrap();
    let data = names(&lab.store).into_iter().find(|name| name.ends_with(".gguf")).unwrap();
    let path = lab.dir.path().join("weights").join(data);
    let mut content = fs::read(&path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&path, content).unwrap();
    let message = lab.load(WeightsFrom::Cached(loaded.id.unwrap()), &[]).unwrap_err();
    assert!(message.contains("damaged") && message.contains("load it again"), "{message}");
    assert!(lab.shelf().cached.is_empty() && names(&lab.store).is_empty());
}

#[test]
fn a_local_gguf_is_read_in_place_or_copied() {
    let file = [bytes("mine.gguf", gguf())];
    let lab = Lab::new(None, None);
    let (loaded, phases) = lab.load(WeightsFrom::Files, &file).unwrap();
    assert!(phases.is_empty() && !loaded.stored && loaded.id.is_none() && loaded.notice.is_some());
    assert_eq!(names(&lab.store), Vec::<String>::new());
    let load = LoadWeights { keep: true, ..LoadWeights::new(WeightsFrom::Files) };
    let (loaded, phases) = lab.load_as(load, &file).unwrap();
    assert_eq!((phases, loaded.stored), (vec![WeightsPhase::Copying], true));
    assert_eq!(loaded.id, Some(sha256(&gguf())));
    assert_eq!(loaded.report.of(Status::Unexpected).count(), 0);
}

#[test]
fn inspecting_reads_headers_and_offers_every_quantization() {
    let lab = Lab::new(None, None);
    let ask = |files: &[SharedSource]| -> WeightsInspected { lab.inspect(None, files).unwrap() };
    let inspected = ask(&pair());
    assert!(inspected.converted && inspected.report.quantization == Some(Quantization::Q4_0));
    let sizes: Vec<_> = inspected.choices.iter().map(|choice| (choice.quantization, choice.bytes)).collect();
    assert_eq!(sizes.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), Quantization::ALL);
    assert!(sizes.windows(2).all(|pair| pair[1].1 < pair[0].1), "{sizes:?}");
    let weights: Vec<_> = inspected.choices.iter().map(|choice| choice.fit.needs.weights).collect();
    assert!(weights.windows(2).all(|pair| pair[1] < pair[0]), "{weights:?}");
    let own = ask(&[bytes("mine.gguf", gguf())]);
    assert!(!own.converted && own.choices.len() == 1);
    assert_eq!((own.choices[0].quantization, own.choices[0].bytes), (Quantization::Q8_0, gguf().len() as u64));
    assert_eq!(names(&lab.store), Vec::<String>::new());
}

fn shipped() -> (Server, Vec<u8>) {
    let content = gguf();
    let served = content.clone();
    let entry = |name: &str, hash: String| {
        json!({
            "name": name, "description": "Tiny, for tests", "size": "nano", "quantization": "q8_0", "bytes": content.len(),
            "sha256": hash, "parameters": 1000, "device_bytes": 1000, "license": "MIT", "url": "weights/tiny.gguf",
        })
    };
    let entries = [entry("tiny", sha256(&content)), entry("wrong", sha256(b"another"))];
    let catalogue = json!({ "format": 1, "weights": entries }).to_string();
    let server = Server::start(move |number, request| match request.path.as_str() {
        "weights/catalogue.json" => Answer::whole(catalogue.as_bytes()),
        "weights/tiny.gguf" => {
            let answer = Answer::part(request, &served, "\"one\"");
            if number == 1 { answer.cut(50_000) } else { answer }
        }
        _ => Answer::status(404),
    });
    (server, content)
}

#[test]
fn shipped_weights_are_downloaded_once() {
    let (server, content) = shipped();
    let lab = Lab::new(Some(&server), None);
    let (loaded, phases) = lab.load(WeightsFrom::Catalogue("tiny".into()), &[]).unwrap();
    assert!(phases.contains(&WeightsPhase::Downloading) && phases.contains(&WeightsPhase::Reconnecting), "{phases:?}");
    assert_eq!((loaded.id.as_deref(), loaded.name.as_str()), (Some(sha256(&content).as_str()), "tiny.gguf"));
    assert!(names(&lab.store).iter().all(|name| !name.ends_with(".resume")), "nothing is left to go on with");
    let shelf = lab.shelf();
    assert_eq!((shelf.catalogue.len(), shelf.cached.len(), shelf.notices.len()), (2, 1, 0));
    let before = server.requests().len();
    let (_, phases) = lab.load(WeightsFrom::Catalogue("tiny".into()), &[]).unwrap();
    assert_eq!(phases, [WeightsPhase::Verifying]);
    assert_eq!(server.requests().len(), before + 1, "only the catalogue is read again");

    let message = lab.load(WeightsFrom::Catalogue("wrong".into()), &[]).unwrap_err();
    assert!(message.contains("not the file that was promised"), "{message}");
    let message = lab.load(WeightsFrom::Catalogue("none".into()), &[]).unwrap_err();
    assert!(message.contains("none"), "{message}");
    assert_eq!(lab.shelf().current, loaded.id, "what failed changed nothing");
    assert_eq!(lab.shelf().cached.len(), 1);
}

#[test]
fn an_address_is_downloaded_and_checked() {
    let (server, content) = shipped();
    let lab = Lab::new(Some(&server), None);
    let url = server.url("weights/tiny.gguf");
    let load = |url: String, sha256| lab.load(WeightsFrom::Url { url, sha256 }, &[]);
    let (loaded, _) = load(url.clone(), None).unwrap();
    assert_eq!((loaded.id, loaded.summary.source), (Some(sha256(&content)), Some(url.clone())));
    assert!(load(url, Some(sha256(b"another"))).unwrap_err().contains("not the file that was promised"));
    assert!(load(server.url("nothing.gguf"), None).unwrap_err().contains("404"));
    assert_eq!(names(&lab.store).len(), 2, "one entry: {:?}", names(&lab.store));
}

#[test]
fn an_address_is_looked_at_before_it_is_downloaded() {
    let content = gguf();
    let local = Lab::new(None, None).inspect(None, &[bytes("a.gguf", content.clone())]).unwrap();
    for ranges in [true, false] {
        let served = content.clone();
        let server = Server::start(move |_, request| match request.path.as_str() {
            "a.gguf" if ranges => Answer::part(request, &served, "\"one\""),
            "a.gguf" => Answer::whole(&served),
            "page" => Answer::whole(b"<html>").header("content-type", "text/html"),
            "other" => Answer::whole(b"PK and so on"),
            "nothing" => Answer::whole(b""),
            "secret" => Answer::status(403),
            _ => Answer::status(404),
        });
        let lab = Lab::new(Some(&server), None);
        assert_eq!(lab.inspect(Some(server.url("a.gguf")), &[]).unwrap(), local, "{ranges}");
        let asked: Vec<_> = server.requests().iter().map(|request| request.range()).collect();
        assert_eq!(asked, [Some((0, 128 << 10))], "only the header is asked for");
        assert_eq!(names(&lab.store), Vec::<String>::new());
        for (path, word) in [
            ("page", "web page"),
            ("other", "no GGUF"),
            ("nothing", "no GGUF"),
            ("secret", "login"),
            ("missing", "404"),
        ] {
            let message = lab.inspect(Some(server.url(path)), &[]).unwrap_err();
            assert!(message.contains(word), "{path}: {message}");
        }
    }
    let message = Lab::new(None, None).inspect(Some("a.gguf".into()), &[]).unwrap_err();
    assert!(message.contains("cannot be reached"), "{message}");
}

#[test]
fn a_long_header_is_read_to_its_end() {
    // A licence in full.
    let options = ConversionOptions { license: Some("word ".repeat(60_000)), ..Default::default() };
    let mut conversion = Conversion::new(Checkpoint::open(&pair(), None).unwrap(), &options).unwrap();
    let mut content = Vec::new();
    while conversion.step(&mut content).unwrap().is_some() {}
    let served = content.clone();
    let server = Server::start(move |_, request| Answer::part(request, &served, "\"one\""));
    let lab = Lab::new(Some(&server), None);
    let inspected = lab.inspect(Some(server.url("a.gguf")), &[]).unwrap();
    assert_eq!(inspected.choices[0].bytes, content.len() as u64);
    let asked: Vec<_> = server.requests().iter().filter_map(|request| request.range()).collect();
    assert_eq!(asked, [(0, 128 << 10), (0, 1 << 20)]);
}

#[test]
fn gguf_of_something_else_is_not_kept() {
    let llama = fs::read("tests/fixtures/weights/llama.gguf").unwrap();
    let mut cut = gguf();
    cut.truncate(cut.len() - 1000);
    for (content, word) in [(llama, "llama"), (cut, "cut short")] {
        let server = Server::start(move |_, request| Answer::part(request, &content, "\"one\""));
        let lab = Lab::new(Some(&server), None);
        let message = lab.load(WeightsFrom::Url { url: server.url("a.gguf"), sha256: None }, &[]).unwrap_err();
        assert!(message.contains(word), "{message}");
        assert_eq!(names(&lab.store), Vec::<String>::new());
    }
}

#[test]
fn without_room_weights_are_held_in_memory() {
    let lab = Lab::new(None, Some(50_000));
    let (loaded, _) = lab.load(WeightsFrom::Files, &pair()).unwrap();
    assert!(!loaded.stored && loaded.id.is_some());
    assert!(loaded.notice.as_ref().is_some_and(|notice| notice.contains("memory")), "{:?}", loaded.notice);
    let shelf = lab.shelf();
    assert!(shelf.cached.is_empty() && shelf.quota.is_some_and(|quota| quota.total_bytes == 50_000));
}

#[test]
fn weights_are_dropped_deleted_and_cleared() {
    let lab = Lab::new(None, None);
    let (loaded, _) = lab.load(WeightsFrom::Files, &pair()).unwrap();
    let id = loaded.id.unwrap();
    let dropped = lab.ask(Command::DropWeights, &[]);
    assert!(matches!(dropped[..], [Event::WeightsDropped(_)]), "{dropped:?}");
    assert_eq!((lab.shelf().current, lab.shelf().cached.len()), (None, 1));
    lab.load(WeightsFrom::Cached(id.clone()), &[]).unwrap();
    let left = shelf(lab.ask(Command::DeleteWeights { id: id.clone() }, &[]));
    assert!(left.cached.is_empty() && left.current.is_none() && left.bytes_used == 0);
    assert!(lab.load(WeightsFrom::Cached(id), &[]).unwrap_err().contains("not kept"));
    lab.load(WeightsFrom::Files, &pair()).unwrap();
    assert!(shelf(lab.ask(Command::ClearWeights, &[])).cached.is_empty());
    assert_eq!(names(&lab.store), Vec::<String>::new());
}

#[test]
fn fit_is_answered_for_sizes_and_for_what_is_loaded() {
    let lab = Lab::new(None, None);
    let fit = |weights: FitWeights| -> Result<Fit, String> {
        let config = TrainConfig { tile: 128, ..TrainConfig::default() };
        let question = FitQuestion { weights, purpose: FitPurpose::Map, config, classes: 9 };
        match lab.ask(Command::AskFit(Box::new(question)), &[]).into_iter().next() {
            Some(Event::Fit(fit)) => Ok(*fit),
            Some(Event::Failed(failure)) => Err(failure.message),
            other => panic!("{other:?}"),
        }
    };
    let size = |size: &str| FitWeights::Size { size: size.into(), quantization: Quantization::Q4_0, complete: false };
    let [base, huge] = [fit(size("base")).unwrap(), fit(size("huge")).unwrap()];
    assert!(base.needs.weights < huge.needs.weights && huge.needs.weights < 1 << 30, "{base:?} {huge:?}");
    assert_eq!(base.verdict, FitVerdict::Fits);
    assert!(fit(size("giant")).unwrap_err().contains("giant"));
    assert!(fit(FitWeights::Current).unwrap_err().contains("load some"));
    let (loaded, _) = lab.load(WeightsFrom::Files, &pair()).unwrap();
    let [current, cached] =
        [FitWeights::Current, FitWeights::Cached(loaded.id.unwrap())].map(|from| fit(from).unwrap());
    assert_eq!(current, cached);
    assert!(current.needs.weights < base.needs.weights);
}

#[test]
fn pairs_that_do_not_belong_together_leave_nothing() {
    let lab = Lab::new(None, None);
    let [spatial, _] = pair();
    let message = lab.load(WeightsFrom::Files, &[spatial.clone(), spatial]).unwrap_err();
    assert!(message.contains("no pair"), "{message}");
    let message = lab.load(WeightsFrom::Files, &[]).unwrap_err();
    assert!(!message.is_empty());
    assert_eq!(names(&lab.store), Vec::<String>::new());
}
