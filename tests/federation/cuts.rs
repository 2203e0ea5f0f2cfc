//! Connections that break at every point of an upload.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::json;

use super::lab::{CHUNK, Federation, Lab, finish, model, without_statistics};
use super::process::{Coordinator, wait_for};

/// A federation in its first round with one client, whose update has three chunks.
fn training(coordinator: &Coordinator) -> (Federation, Lab, Vec<u8>) {
    let model = model(&[("w", &[512, 1024]), ("b", &[1000])]);
    let federation = Federation::create(coordinator, &model, |definition| {
        without_statistics(definition);
        definition["encoding"] = "float32".into();
        definition["rounds"] = 1.into();
        definition["quorum"]["min_clients"] = 2.into();
        definition["start"] = "manual".into();
    });
    let lab = federation.join(coordinator.address, 0);
    // Never answers, so that the round stays open until the test has looked at it.
    federation.join(coordinator.address, 1);
    assert_eq!(coordinator.admin("POST", &federation.path("/start"), &json!({})).reason(), "done");
    let bytes = lab.train(coordinator.address, 1, &model).unwrap().bytes;
    assert_eq!(bytes.len().div_ceil(CHUNK), 3);
    (federation, lab, bytes)
}

/// Sends the head of a request and the first bytes of its body, and goes.
fn cut(coordinator: &Coordinator, lab: &Lab, path: &str, body: &[u8], sent: usize) {
    cut_after(coordinator, lab, path, body, sent, Duration::ZERO);
}

fn cut_after(coordinator: &Coordinator, lab: &Lab, path: &str, body: &[u8], sent: usize, wait: Duration) {
    let mut stream = TcpStream::connect(coordinator.address).unwrap();
    let (path, token) = (lab.federation.path(path), &lab.token);
    let length = body.len();
    write!(
        stream,
        "PUT /api/v1{path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&body[..sent]).unwrap();
    std::thread::sleep(wait);
    stream.shutdown(Shutdown::Both).unwrap();
}

#[test]
fn an_upload_that_breaks_anywhere_goes_on_and_counts_once() {
    let coordinator = Coordinator::open();
    let address = coordinator.address;
    let (federation, lab, bytes) = training(&coordinator);
    let chunks: Vec<&[u8]> = bytes.chunks(CHUNK).collect();
    let received = || lab.ask(address, "GET", "/rounds/1/update/chunks", b"").unwrap().json()["received"].clone();
    for (index, chunk) in chunks.iter().enumerate() {
        let path = format!("/rounds/1/update/chunks/{index}");
        for sent in [0, 1, chunk.len() / 2, chunk.len() - 1] {
            cut(&coordinator, &lab, &path, chunk, sent);
        }
        assert_eq!(received(), json!((0..index).collect::<Vec<_>>()), "no part of a chunk is one");
        assert_eq!(lab.ask(address, "PUT", &path, chunk).unwrap().reason(), "stored");
    }
    // The last message arrives and its answer is lost: the check goes on without anybody who waits for it.
    let last = json!({"sha256": sigmascope::federation::protocol::Hash::of(&bytes).to_string(), "bytes": bytes.len(), "samples": 5});
    let last = last.to_string();
    cut(&coordinator, &lab, "/rounds/1/update", last.as_bytes(), last.len() / 2);
    assert_eq!(federation.state(address)["accepted"], 0);
    // Whoever goes at once may be gone before the message is read; a moment later, the check has begun.
    wait_for("the answer that nobody heard", || {
        cut_after(&coordinator, &lab, "/rounds/1/update", last.as_bytes(), last.len(), Duration::from_millis(20));
        (federation.state(address)["accepted"] == 1).then_some(())
    });
    // One of the attempts before may still be checked: "busy" until then, and never a second count.
    let again = wait_for("the answer to one more attempt", || {
        let path = federation.path("/rounds/1/update");
        let answer = finish(address, &lab.token, &path, &bytes, &json!({"samples": 5})).unwrap();
        (answer.reason() != "busy").then_some(answer)
    });
    assert_eq!((again.status, again.reason().as_str()), (200, "duplicate"));
    assert_eq!(federation.state(address)["accepted"], 1);
}

#[test]
fn the_same_upload_finished_many_times_at_once_counts_once() {
    let coordinator = Coordinator::open();
    let address = coordinator.address;
    let (federation, lab, bytes) = training(&coordinator);
    for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
        lab.ask(address, "PUT", &format!("/rounds/1/update/chunks/{index}"), chunk).unwrap();
    }
    let path = federation.path("/rounds/1/update");
    let reasons: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| finish(address, &lab.token, &path, &bytes, &json!({"samples": 5})).unwrap().reason())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(reasons.iter().filter(|reason| *reason == "accepted").count(), 1, "{reasons:?}");
    assert!(reasons.iter().all(|reason| ["accepted", "duplicate", "busy"].contains(&reason.as_str())), "{reasons:?}");
    assert_eq!(federation.state(address)["accepted"], 1);
}
