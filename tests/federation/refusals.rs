//! What is not counted, and how it is told.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lab::{Federation, Lab, definition, finish, small_model, without_statistics};
use super::process::{ADMIN, Coordinator, answer, ask, raw, wait_for};

/// A federation in its first round, with three clients.
fn training(coordinator: &Coordinator, change: impl FnOnce(&mut Value)) -> (Federation, Vec<Lab>) {
    let federation = Federation::create(coordinator, &small_model(), |definition| {
        without_statistics(definition);
        definition["encoding"] = "float32".into();
        change(definition);
    });
    let labs = (0..3).map(|number| federation.join(coordinator.address, number)).collect();
    wait_for("training", || (federation.state(coordinator.address)["phase"] == "training").then_some(()));
    (federation, labs)
}

#[test]
fn updates_that_cannot_count_are_refused_and_the_right_one_still_counts() {
    let coordinator = Coordinator::open();
    let address = coordinator.address;
    let (federation, mut labs) = training(&coordinator, |definition| definition["limits"]["max_norm"] = 5.0.into());
    let lab = &labs[0];
    let good = lab.train(address, 1, &federation.model).unwrap().bytes;
    let send = |bytes: &[u8]| {
        let answer = lab.upload(address, "/rounds/1/update", bytes, &json!({"samples": 10})).unwrap();
        (answer.status, answer.reason())
    };
    let with_last = |value: f32| {
        let mut bytes = good.clone();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    assert_eq!(send(&with_last(f32::NAN)), (422, "not_finite".into()));
    assert_eq!(send(&with_last(f32::INFINITY)), (422, "not_finite".into()));
    assert_eq!(send(&with_last(1e6)), (422, "value_too_large".into()));
    assert_eq!(send(&with_last(50.0)), (422, "norm_too_large".into()));
    assert_eq!(send(b"no tensors at all"), (422, "tensors_malformed".into()));
    assert_eq!(send(&good[..good.len() - 4]), (422, "tensors_malformed".into()));
    let other = labs[1].train(address, 1, &federation.model).unwrap().bytes;
    assert_eq!(send(&other), (409, "replayed".into()), "another client's update");
    let mut renamed = good.clone();
    let at = renamed.windows(9).position(|window| window == b"head.bias").unwrap();
    renamed[at..at + 9].copy_from_slice(b"head.bios");
    assert_eq!(send(&renamed), (422, "shape_mismatch".into()));

    let path = federation.path("/rounds/1/update");
    let last = |body: Value| {
        let answer = ask(address, "PUT", &path, &lab.token, body.to_string().as_bytes()).unwrap();
        (answer.status, answer.reason())
    };
    let hash = sigmascope::federation::protocol::Hash::of(&good).to_string();
    let whole = json!({"sha256": hash, "bytes": good.len(), "samples": 10});
    let but = |field: &str, value: Value| {
        let mut body = whole.clone();
        body[field] = value;
        body
    };
    assert_eq!(last(whole.clone()), (409, "chunks_missing".into()));
    assert_eq!(last(but("samples", 0.into())), (422, "samples_out_of_range".into()));
    assert_eq!(last(but("samples", 1001.into())), (422, "samples_out_of_range".into()));
    assert_eq!(last(but("metrics", json!({"samples": 1, "kappa": 7.0}))), (422, "metrics_invalid".into()));
    assert_eq!(last(but("bytes", (1u64 << 40).into())), (413, "upload_too_large".into()));
    assert_eq!(last(but("sha256", "xyz".into())), (400, "malformed".into()));
    assert_eq!(last(but("more", 1.into())), (400, "malformed".into()));
    let chunk = |index: u64, bytes: &[u8]| {
        let path = federation.path(&format!("/rounds/1/update/chunks/{index}"));
        let answer = ask(address, "PUT", &path, &lab.token, bytes).unwrap();
        (answer.status, answer.reason())
    };
    assert_eq!(chunk(1000, b"x"), (413, "upload_too_large".into()));
    assert_eq!(chunk(0, &vec![0; (1 << 20) + 1]), (413, "body_too_large".into()));
    assert_eq!(chunk(0, &vec![0; good.len()]), (200, "stored".into()));
    assert_eq!(last(whole.clone()), (422, "hash_mismatch".into()));
    assert_eq!(last(whole), (409, "chunks_missing".into()), "wrong chunks are forgotten");

    assert_eq!(federation.state(address)["accepted"], 0);
    assert_eq!(send(&good), (201, "accepted".into()));
    assert_eq!(chunk(0, &good), (409, "already_submitted".into()));
    let again = finish(address, &lab.token, &path, &good, &json!({"samples": 10})).unwrap();
    assert_eq!((again.status, again.reason().as_str()), (200, "duplicate"));
    let another = finish(address, &lab.token, &path, &other, &json!({"samples": 10})).unwrap();
    assert_eq!((another.status, another.reason().as_str()), (409, "already_submitted"));
    let early = lab.upload(address, "/rounds/2/update", &good, &json!({"samples": 10})).unwrap();
    assert_eq!((early.status, early.reason().as_str()), (409, "round_not_open"));
    assert_eq!(federation.state(address)["accepted"], 1);

    // The next round: the former update does not count again.
    labs[1..].iter_mut().for_each(|lab| drop(lab.step(address).unwrap()));
    wait_for("round 2", || {
        (federation.state(address)["round"] == 2 && federation.state(address)["phase"] == "training").then_some(())
    });
    let lab = &labs[0];
    let replayed = lab.upload(address, "/rounds/2/update", &good, &json!({"samples": 10})).unwrap();
    assert_eq!((replayed.status, replayed.reason().as_str()), (409, "replayed"));
    let told = finish(address, &lab.token, &path, &good, &json!({"samples": 10})).unwrap();
    assert_eq!((told.status, told.reason().as_str()), (200, "duplicate"), "it was counted in its own round");
    assert_eq!(federation.state(address)["accepted"], 0);
}

#[test]
fn everything_is_asked_for_its_token() {
    let coordinator = Coordinator::open();
    let address = coordinator.address;
    let (federation, labs) = training(&coordinator, |_| {});
    let elsewhere = Federation::create(&coordinator, &small_model(), |_| {});
    let get = |path: &str, token: &str| {
        let answer = ask(address, "GET", path, token, b"").unwrap();
        (answer.status, answer.reason())
    };
    let state = federation.path("/state");
    assert_eq!(get(&state, ""), (401, "token_missing".into()));
    assert_eq!(get(&state, "short"), (401, "token_wrong".into()));
    assert_eq!(get(&state, &elsewhere.invite), (401, "token_wrong".into()));
    assert_eq!(get(&elsewhere.path("/state"), &labs[0].token), (401, "token_wrong".into()));
    let mut forged = labs[0].token.clone();
    forged.pop();
    assert_eq!(get(&state, &forged), (401, "token_wrong".into()));
    assert_eq!(get("/nothing", ADMIN), (404, "path_unknown".into()));
    assert_eq!(get("/federations/0123456789abcdef", ADMIN), (404, "federation_unknown".into()));
    assert_eq!(get("/federations/0123456789abcdef", &federation.invite), (401, "token_wrong".into()));
    assert_eq!(get("/federations", &labs[0].token), (401, "token_wrong".into()));
    assert_eq!(get(&federation.path("/rounds/1"), &labs[0].token).0, 200);
    assert_eq!(get(&federation.path("/rounds/9"), &labs[0].token), (404, "round_unknown".into()));
    let unknown = federation.path(&format!("/blobs/{}", "ab".repeat(32)));
    assert_eq!(get(&unknown, &labs[0].token), (404, "blob_unknown".into()));
    for (method, path, token) in [
        ("POST", "/pause", &labs[0].token),
        ("POST", "/invite", &federation.invite),
        ("PUT", "/model", &labs[0].token),
        ("PUT", "/rounds/1/update", &federation.invite),
        ("PUT", "/rounds/1/update/chunks/0", &ADMIN.to_owned()),
        ("POST", "/clients", &labs[0].token),
    ] {
        let answer = ask(address, method, &federation.path(path), token, b"{}").unwrap();
        assert_eq!((answer.status, answer.reason().as_str()), (403, "token_not_allowed"), "{method} {path}");
    }
    let method = ask(address, "DELETE", &state, ADMIN, b"").unwrap();
    assert_eq!((method.status, method.reason().as_str()), (405, "method_not_allowed"));
    // An update is nobody else's to fetch.
    let bytes = labs[0].train(address, 1, &federation.model).unwrap().bytes;
    assert_eq!(
        labs[0].upload(address, "/rounds/1/update", &bytes, &json!({"samples": 1})).unwrap().reason(),
        "accepted"
    );
    let hash = sigmascope::federation::protocol::Hash::of(&bytes);
    assert_eq!(get(&federation.path(&format!("/blobs/{hash}")), &labs[1].token), (404, "blob_unknown".into()));
}

#[test]
fn definitions_and_models_are_checked() {
    let coordinator = Coordinator::open();
    let model = small_model();
    let create = |change: &dyn Fn(&mut Value)| {
        let answer = coordinator.admin("POST", "/federations", &definition(&model, change));
        (answer.status, answer.reason())
    };
    assert_eq!(create(&|definition| definition["rounds"] = 0.into()), (422, "definition_invalid".into()));
    assert_eq!(create(&|definition| definition["version"] = 2.into()), (400, "version_unknown".into()));
    assert_eq!(create(&|definition| definition["roudns"] = 0.into()), (400, "malformed".into()));
    let created = coordinator.admin("POST", "/federations", &definition(&model, |_| {})).json();
    let id = created["federation"].as_str().unwrap();
    let path = format!("/federations/{id}/model");
    let upload =
        |bytes: &[u8]| super::lab::upload(coordinator.address, ADMIN, &path, bytes, &json!({})).unwrap().reason();
    let mut other = model.clone();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(upload(&other), "hash_mismatch");
    assert_eq!(coordinator.admin("POST", &format!("/federations/{id}/start"), &json!({})).reason(), "model_missing");
    let join = |version: u32| {
        let (token, body) = (created["invite_token"].as_str().unwrap(), json!({"version": version}).to_string());
        ask(coordinator.address, "POST", &format!("/federations/{id}/clients"), token, body.as_bytes())
            .unwrap()
            .reason()
    };
    assert_eq!(join(2), "version_unknown");
    assert_eq!(upload(&model), "accepted");
    let finished = finish(coordinator.address, ADMIN, &path, &model, &json!({})).unwrap();
    assert_eq!(finished.reason(), "duplicate");
    assert_eq!(coordinator.admin("POST", &format!("/federations/{id}/start"), &json!({})).reason(), "too_few_clients");

    let broken = super::lab::model(&[("w", &[4, 4])]);
    let mut not_finite = broken.clone();
    let at = not_finite.len() - 4;
    not_finite[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    let created = coordinator.admin("POST", "/federations", &definition(&not_finite, |_| {})).json();
    let path = format!("/federations/{}/model", created["federation"].as_str().unwrap());
    let stored = super::lab::upload(coordinator.address, ADMIN, &path, &not_finite, &json!({})).unwrap();
    assert_eq!((stored.status, stored.reason().as_str()), (422, "not_finite"));
}

#[test]
fn endless_and_slow_requests_end() {
    let coordinator = Coordinator::start(&["--head-timeout", "1", "--body-timeout", "1", "--max-connections", "50"]);
    let address = coordinator.address;
    let (federation, labs) = training(&coordinator, |_| {});
    let path = format!("/api/v1{}", federation.path("/rounds/1/update/chunks/0"));
    let token = format!("authorization: Bearer {}", labs[0].token);
    // A gigabyte is refused before any of it is read.
    let huge = raw(address, "PUT", &path, &[&token, "content-length: 1073741824"], b"").unwrap();
    assert_eq!((huge.status, huge.reason().as_str()), (413, "body_too_large"));
    // One that never says how long it is is cut off.
    let mut body = Vec::new();
    for _ in 0..20 {
        body.extend(format!("{:x}\r\n", 1 << 17).as_bytes());
        body.extend(vec![b'x'; 1 << 17]);
        body.extend(b"\r\n");
    }
    let endless = raw(address, "PUT", &path, &[&token, "transfer-encoding: chunked"], &body);
    // The refusal may be overtaken by the reset of the connection.
    if let Ok(endless) = endless {
        assert_eq!((endless.status, endless.reason().as_str()), (413, "body_too_large"));
    }
    // A body that does not come.
    let slow = raw(address, "PUT", &path, &[&token, "content-length: 100"], b"only this").unwrap();
    assert_eq!((slow.status, slow.reason().as_str()), (408, "too_slow"));
    // Heads that do not come: more of them than there are places, and then somebody who means it.
    let lorises: Vec<TcpStream> = (0..80)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: te").unwrap();
            stream
        })
        .collect();
    let state = wait_for("an answer", || ask(address, "GET", &federation.path("/state"), ADMIN, b"").ok());
    assert_eq!(state.status, 200);
    let first = answer(lorises.into_iter().next().unwrap());
    assert!(first.is_err() || first.is_ok_and(|answer| answer.status == 408), "the connection was closed");
    assert_eq!(federation.state(address)["accepted"], 0);
}

#[test]
fn nobody_asks_too_often() {
    let coordinator = Coordinator::start(&["--request-rate", "2", "--join-rate", "3"]);
    let federation = Federation::create(&coordinator, &small_model(), |_| {});
    let address = coordinator.address;
    let lab = federation.join(address, 0);
    let started = Instant::now();
    let statuses: Vec<u16> = (0..40).map(|_| lab.ask(address, "GET", "/state", b"").unwrap().status).collect();
    let passed = statuses.iter().filter(|&&status| status == 200).count();
    // Ten seconds' worth at once, and what the rate adds while they are asked, however long that takes.
    let most = |rate: f64, started: Instant| (rate * (10.0 + started.elapsed().as_secs_f64())) as usize + 1;
    assert!((20..=most(2.0, started)).contains(&passed), "{statuses:?}");
    let refused = wait_for("a refusal", || {
        let answer = lab.ask(address, "GET", "/state", b"").unwrap();
        (answer.status == 429).then_some(answer)
    });
    assert_eq!(refused.reason(), "too_many_requests");
    let wait = refused.json()["retry_after_ms"].as_u64().unwrap();
    assert!((1..=500).contains(&wait), "{wait}");
    std::thread::sleep(Duration::from_millis(wait + 50));
    assert_eq!(lab.ask(address, "GET", "/state", b"").unwrap().status, 200);
    let join = || ask(address, "POST", &federation.path("/clients"), &federation.invite, br#"{"version": 1}"#).unwrap();
    let started = Instant::now();
    let joined = (0..100).filter(|_| join().status == 201).count();
    assert!((20..=most(3.0, started)).contains(&joined), "{joined} of 100 joined at once");
}

#[test]
fn pages_of_other_origins_need_leave() {
    let coordinator = Coordinator::start(&["--origin", "https://lab.example,https://other.example"]);
    let federation = Federation::create(&coordinator, &small_model(), |_| {});
    let path = format!("/api/v1{}", federation.path("/state"));
    let token = format!("authorization: Bearer {ADMIN}");
    let from = |method: &str, origin: &str| {
        raw(coordinator.address, method, &path, &[&token, &format!("origin: {origin}")], b"").unwrap()
    };
    assert_eq!(from("GET", "http://test").status, 200, "its own page");
    let allowed = from("GET", "https://other.example");
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, "https://other.example"));
    let preflight = from("OPTIONS", "https://lab.example");
    assert_eq!(
        (preflight.status, preflight.header("access-control-allow-headers").contains("authorization")),
        (204, true)
    );
    for method in ["GET", "OPTIONS"] {
        let refused = from(method, "https://evil.example");
        assert_eq!((refused.status, refused.reason().as_str()), (403, "origin_not_allowed"));
        assert_eq!(refused.header("access-control-allow-origin"), "");
    }
}
