//! Downloads: in pieces, resumed, checked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sigmascope::shelf::{
    Arrived, Cache, CatalogueEntry, Download, Network, NetworkError, Offline, Patience, ShelfError, Step,
};
use sigmascope::weights::Quantization;

use super::http::{Answer, Server};
use super::{block_on, cache, folder, names, read, sha256};

const PATIENCE: Patience = Patience { attempts: 4, first_ms: 0 };

/// 20 MB that look like GGUF at the beginning: more than two pieces.
fn content() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..20_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    bytes[..4].copy_from_slice(b"GGUF");
    bytes
}

/// Runs a download to its end; counts how often it waited.
async fn run(
    cache: &Cache,
    network: &dyn Network,
    url: &str,
    hash: Option<String>,
) -> (Result<Arrived, ShelfError>, usize) {
    let mut waits = 0;
    let mut download = match Download::new(cache, url, "x.gguf", hash, PATIENCE).await {
        Ok(download) => download,
        Err(error) => return (Err(error), waits),
    };
    loop {
        match download.step(cache, network).await {
            Ok(Step::Done) => return (download.finish(cache).await, waits),
            Ok(Step::Wait { .. }) => waits += 1,
            Ok(_) => {
                let (done, total) = download.progress();
                assert!(total.is_none_or(|total| done <= total), "{done} of {total:?}");
            }
            Err(error) => return (Err(error), waits),
        }
    }
}

#[test]
fn a_file_comes_in_pieces() {
    let content = content();
    let (_dir, store) = folder(None);
    let cache = cache(&store);
    let served = content.clone();
    let server = Server::start(move |_, request| Answer::part(request, &served, "\"one\""));
    let url = server.url("a.gguf");
    let (arrived, waits) = block_on(run(&cache, &server.network(), &url, Some(sha256(&content))));
    let arrived = arrived.unwrap();
    assert_eq!((waits, arrived.sha256.clone()), (0, sha256(&content)));
    assert!(read(&arrived.source) == content && arrived.stored.is_some());
    let requests = server.requests();
    let ranges: Vec<_> = requests.iter().filter_map(|request| request.range()).collect();
    assert_eq!(ranges, [(0, 8 << 20), (8 << 20, 16 << 20), (16 << 20, content.len())]);
    let conditions: Vec<_> = requests.iter().map(|request| request.header("if-range")).collect();
    assert_eq!(conditions, [None, Some("\"one\""), Some("\"one\"")]);
}

#[test]
fn a_broken_connection_goes_on_from_the_last_byte() {
    let content = content();
    let (_dir, store) = folder(None);
    let cache = cache(&store);
    let served = content.clone();
    let server = Server::start(move |number, request| {
        let answer = Answer::part(request, &served, "\"one\"");
        if number < 5 { answer.cut(1_000_000) } else { answer }
    });
    let (arrived, waits) = block_on(run(&cache, &server.network(), &server.url("a.gguf"), None));
    assert!(read(&arrived.unwrap().source) == content);
    assert_eq!(waits, 5);
    let starts: Vec<_> = server.requests().iter().map(|request| request.range().unwrap().0).collect();
    assert_eq!(starts[..6], [0, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000]);
}

#[test]
fn an_interrupted_download_goes_on_in_another_session() {
    let content = content();
    let (_dir, store) = folder(None);
    let served = content.clone();
    let broken = Arc::new(AtomicUsize::new(1));
    let state = broken.clone();
    let server = Server::start(move |number, request| match (state.load(Ordering::SeqCst), number) {
        (1, 0) => Answer::part(request, &served, "\"one\"").cut(3_000_000),
        (1, _) => Answer::status(503),
        _ => Answer::part(request, &served, "\"one\""),
    });
    let url = server.url("a.gguf");
    let (arrived, waits) = block_on(run(&cache(&store), &server.network(), &url, None));
    let error = arrived.err().unwrap();
    assert!(matches!(error, ShelfError::Broken { done: 3_000_000, .. }), "{error}");
    assert!(error.to_string().contains("go on") && waits == 3, "{error}");

    // The page is reloaded; listing keeps what is of use.
    let later = cache(&store);
    let listing = block_on(later.list()).unwrap();
    assert!(listing.entries.is_empty());
    assert_eq!(listing.bytes_used, 3_000_000);
    broken.store(0, Ordering::SeqCst);
    let before = server.requests().len();
    let (arrived, _) = block_on(run(&later, &server.network(), &url, Some(sha256(&content))));
    assert!(read(&arrived.unwrap().source) == content);
    assert_eq!(server.requests()[before].range().unwrap().0, 3_000_000);
}

#[test]
fn a_file_that_changes_is_fetched_anew() {
    let (old, new) = (content(), content().into_iter().rev().collect::<Vec<u8>>());
    let new = [b"GGUF".as_slice(), &new[4..]].concat();
    // Servers with If-Range answer with the whole new file, others with a part of it.
    for knows_if_range in [true, false] {
        let (_dir, store) = folder(None);
        let cache = cache(&store);
        let (first, second) = (old.clone(), new.clone());
        let server = Server::start(move |number, request| {
            let mut request = request.clone();
            if !knows_if_range {
                request.headers.retain(|(name, _)| name != "if-range");
            }
            match number {
                0 => Answer::part(&request, &first, "\"old\"").cut(5_000_000),
                _ => Answer::part(&request, &second, "\"new\""),
            }
        });
        let (arrived, _) = block_on(run(&cache, &server.network(), &server.url("a.gguf"), None));
        assert!(read(&arrived.unwrap().source) == new, "{knows_if_range}");
    }
}

#[test]
fn a_server_without_ranges_streams() {
    let content = content();
    let (_dir, store) = folder(None);
    let cache = cache(&store);
    let served = content.clone();
    let server = Server::start(move |number, _| {
        let answer = Answer::whole(&served);
        if number == 0 { answer.cut(9_000_000) } else { answer }
    });
    let (arrived, waits) = block_on(run(&cache, &server.network(), &server.url("a.gguf"), Some(sha256(&content))));
    assert!(read(&arrived.unwrap().source) == content);
    assert_eq!((waits, server.requests().len()), (1, 2));

    // One that always breaks off is not asked for ever.
    let served = content.clone();
    let server = Server::start(move |_, _| Answer::whole(&served).cut(9_000_000));
    let (arrived, _) = block_on(run(&cache, &server.network(), &server.url("b.gguf"), None));
    assert!(matches!(arrived.err().unwrap(), ShelfError::Broken { .. }));
    assert!(server.requests().len() <= 5);
}

#[test]
fn another_file_than_was_promised_is_not_kept() {
    let (_dir, store) = folder(None);
    let cache = cache(&store);
    let served = content();
    let server = Server::start(move |_, request| Answer::part(request, &served, "\"one\""));
    let promised = sha256(b"something else");
    let (arrived, _) = block_on(run(&cache, &server.network(), &server.url("a.gguf"), Some(promised.clone())));
    let error = arrived.err().unwrap();
    assert!(matches!(&error, ShelfError::Hash { expected, .. } if *expected == promised), "{error}");
    assert_eq!(names(&store), Vec::<String>::new());
}

#[test]
fn the_catalogue_knows_the_size() {
    let (_dir, store) = folder(None);
    let cache = cache(&store);
    let served = content();
    let server = Server::start(move |_, request| Answer::part(request, &served, "\"one\""));
    let entry = CatalogueEntry {
        name: "base".into(),
        description: "Base".into(),
        size: "base".into(),
        quantization: Quantization::Q8_0,
        bytes: 20_000_001,
        sha256: sha256(&content()),
        parameters: 1,
        device_bytes: 1,
        license: "MIT".into(),
        url: "a.gguf".into(),
        card: None,
    };
    let mut download = block_on(Download::of_catalogue(&cache, &entry, PATIENCE)).unwrap();
    let error = loop {
        match block_on(download.step(&cache, &server.network())) {
            Ok(step) => assert_ne!(step, Step::Done),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ShelfError::Size { expected: 20_000_001, found: 20_000_000, .. }), "{error}");
    block_on(download.discard(&cache));
    assert_eq!(names(&store), Vec::<String>::new());
}

#[test]
fn what_servers_say_is_told_with_a_remedy() {
    let refusal = |answer: Answer| {
        let (_dir, store) = folder(None);
        let cache = cache(&store);
        let server = Server::start(move |_, _| answer.clone());
        block_on(run(&cache, &server.network(), &server.url("a.gguf"), None)).0.err().unwrap()
    };
    let page = "<!DOCTYPE html><title>Log in</title>".repeat(10);
    type Expected = fn(&ShelfError) -> bool;
    let cases: [(Answer, Expected, &str); 8] = [
        (Answer::status(404), |error| matches!(error, ShelfError::NotFound { status: 404, .. }), "check the address"),
        (Answer::status(403), |error| matches!(error, ShelfError::Refused { status: 403, .. }), "drop it here"),
        (Answer::status(503), |error| matches!(error, ShelfError::Broken { .. }), "go on"),
        (
            Answer::whole(page.as_bytes()).header("content-type", "text/html; charset=utf-8"),
            |error| matches!(error, ShelfError::WebPage { .. }),
            "login",
        ),
        (Answer::whole(page.as_bytes()), |error| matches!(error, ShelfError::WebPage { .. }), "login"),
        (Answer::whole(b"PK\x03\x04 a zip file"), |error| matches!(error, ShelfError::NotGguf { .. }), "drop it here"),
        (Answer::whole(b"GG"), |error| matches!(error, ShelfError::NotGguf { .. }), "drop it here"),
        (Answer::whole(b""), |error| matches!(error, ShelfError::NotGguf { .. }), "drop it here"),
    ];
    for (answer, expected, remedy) in cases {
        let error = refusal(answer.clone());
        assert!(expected(&error), "{answer:?}: {error}");
        assert!(error.to_string().contains(remedy), "{error}");
    }
    let (_dir, store) = folder(None);
    let offline = Offline("there is no connection".into());
    let error = block_on(run(&cache(&store), &offline, "a.gguf", None)).0.err().unwrap();
    assert!(matches!(error, ShelfError::Unreachable { .. }) && error.to_string().contains("no connection"), "{error}");
    let _: NetworkError = NetworkError { reason: String::new() };
}

/// The server sends the file's end in one piece but hides how long it is, as those of other origins do.
#[test]
fn a_hidden_length_does_no_harm() {
    for len in [20_000_000usize, 16 << 20] {
        let content = content()[..len].to_vec();
        let (_dir, store) = folder(None);
        let served = content.clone();
        let asked = Arc::new(Mutex::new(0));
        let server = Server::start(move |_, request| {
            *asked.lock().unwrap() += 1;
            let mut answer = Answer::part(request, &served, "\"one\"");
            answer.headers.clear();
            answer
        });
        let (arrived, _) = block_on(run(&cache(&store), &server.network(), &server.url("a.gguf"), None));
        assert!(read(&arrived.unwrap().source) == content, "{len}");
    }
}

#[test]
fn a_full_store_moves_to_memory_in_the_middle() {
    let content = content();
    let served = content.clone();
    // The length is hidden, so that nobody knows beforehand that there is no room.
    let server = Server::start(move |_, request| {
        let mut answer = Answer::part(request, &served, "\"one\"");
        answer.headers.clear();
        answer
    });
    let (_dir, store) = folder(Some(12_000_000));
    let (arrived, _) = block_on(run(&cache(&store), &server.network(), &server.url("a.gguf"), Some(sha256(&content))));
    let arrived = arrived.unwrap();
    assert!(read(&arrived.source) == content);
    assert!(arrived.stored.is_none() && arrived.notice.as_ref().is_some_and(|notice| notice.contains("memory")));
    let left = names(&store);
    assert!(left.iter().all(|name| !name.ends_with(".gguf")), "{left:?}");

    // Too much for memory as well.
    let (_dir, store) = folder(Some(12_000_000));
    let small = cache(&store).with_memory(15_000_000);
    let (arrived, _) = block_on(run(&small, &server.network(), &server.url("a.gguf"), None));
    let error = arrived.err().unwrap();
    assert!(matches!(error, ShelfError::NoRoom { .. }) && error.to_string().contains("delete"), "{error}");
}
