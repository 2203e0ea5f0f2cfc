//! Whole federations.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lab::{Federation, Lab, is_safetensors, run_all, small_model, without_statistics};
use super::process::{ADMIN, Coordinator, ask, wait_for};

#[test]
fn three_clients_complete_a_federation() {
    let coordinator = Coordinator::open();
    let federation = Federation::create(&coordinator, &small_model(), |_| {});
    let labs: Vec<Lab> = (0..3).map(|number| federation.join(coordinator.address, number)).collect();
    let watcher = federation.join(coordinator.address, 9);
    assert_eq!(watcher.ask(coordinator.address, "DELETE", "/clients/me", b"").unwrap().reason(), "done");
    assert_eq!(watcher.ask(coordinator.address, "GET", "/state", b"").unwrap().reason(), "token_wrong");
    let member = again(&labs[0]);
    run_all(coordinator.address, labs);
    let state = federation.state(coordinator.address);
    assert_eq!((state["phase"].as_str(), state["round"].as_u64()), (Some("finished"), Some(3)), "{state}");
    let model = member.fetch(coordinator.address, state["model"].as_str().unwrap()).unwrap();
    assert!(is_safetensors(&model) && model.len() == small_model().len() && model != small_model());
    let projection = member.fetch(coordinator.address, state["projection"].as_str().unwrap()).unwrap();
    let projection: Value = serde_json::from_slice(&projection).unwrap();
    assert_eq!((projection["pixels"].as_u64(), projection["divisor"].as_array().unwrap().len()), (Some(600), 2));

    // How good the last model is, is told after the end.
    let evaluation =
        |accuracy: f64, samples: u64| json!({"samples": samples, "overall_accuracy": accuracy}).to_string();
    let told = member.ask(coordinator.address, "PUT", "/rounds/4/evaluation", evaluation(0.75, 10).as_bytes()).unwrap();
    assert_eq!(told.reason(), "accepted", "{}", told.json());
    let history = ask(coordinator.address, "GET", &federation.path("/history"), ADMIN, b"").unwrap().json();
    let rounds = history.as_array().unwrap();
    assert_eq!(rounds.len(), 3);
    for (index, round) in rounds.iter().enumerate() {
        assert_eq!(round["updates"].as_array().unwrap().len(), 3);
        assert_eq!(round["targets"].as_array().unwrap().len(), 2, "two layers have scopes");
        assert_eq!(round["local"]["clients"], 3);
        let next = rounds.get(index + 1).map_or(&state["model"], |next| &next["model"]);
        assert_eq!(&round["result"], next);
        assert!(!round.to_string().contains(&member.client), "who sent what is nobody's business");
    }
    assert_eq!(rounds[2]["result_evaluation"]["overall_accuracy"]["mean"], 0.75);
    // Single updates are gone; models and the projection stay.
    let folder = coordinator.data().join("blobs");
    let files = |folder: std::fs::DirEntry| std::fs::read_dir(folder.path()).unwrap().count();
    let blobs = || -> usize { std::fs::read_dir(&folder).unwrap().map(|folder| files(folder.unwrap())).sum() };
    wait_for("tidiness", || (blobs() == 1 + 3 + 1).then_some(()));
}

/// A second handle on the same client.
fn again(lab: &Lab) -> Lab {
    Lab {
        federation: lab.federation.clone(),
        number: lab.number,
        client: lab.client.clone(),
        token: lab.token.clone(),
        encoder: lab.encoder.clone(),
        pending: None,
    }
}

#[test]
fn the_order_of_arrival_changes_no_bit() {
    let coordinator = Coordinator::open();
    let mut models = Vec::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let federation = Federation::create(&coordinator, &small_model(), |definition| definition["rounds"] = 2.into());
        let mut labs: Vec<Lab> = (0..3).map(|number| federation.join(coordinator.address, number)).collect();
        for phase in ["statistics", "training", "training"] {
            for (turn, &lab) in order.iter().enumerate() {
                let now = wait_for("the phase", || {
                    let state = labs[lab].state(coordinator.address).ok()?;
                    (state["phase"] == phase && state["accepted"] == turn).then_some(state)
                });
                assert_eq!(now["submitted"], false);
                labs[lab].step(coordinator.address).unwrap();
            }
        }
        let state = wait_for("the end", || {
            let state = federation.state(coordinator.address);
            (state["phase"] == "finished").then_some(state)
        });
        models.push((state["model"].to_string(), state["projection"].to_string()));
    }
    models.dedup();
    assert_eq!(models.len(), 1, "{models:?}");
}

#[test]
fn a_departed_client_does_not_block_and_a_returning_one_takes_the_current_round() {
    let coordinator = Coordinator::open();
    let federation = Federation::create(&coordinator, &small_model(), |definition| {
        without_statistics(definition);
        definition["quorum"] = json!({"min_clients": 2, "min_fraction": 0.5, "max_clients": 5});
        definition["deadlines"] = json!({"statistics_s": 60.0, "round_s": 86400.0, "presence_s": 4.0});
        definition["start"] = "manual".into();
        definition["rounds"] = 2.into();
    });
    let address = coordinator.address;
    let mut labs: Vec<Lab> = (0..3).map(|number| federation.join(address, number)).collect();
    assert_eq!(coordinator.admin("POST", &federation.path("/start"), &json!({})).reason(), "done");
    let mut gone = labs.pop().unwrap();
    let first = gone.fetch(address, gone.state(address).unwrap()["model"].as_str().unwrap()).unwrap();
    let late = gone.train(address, 1, &first).unwrap();
    labs.iter_mut().for_each(|lab| drop(lab.step(address).unwrap()));
    // Long before the deadline, which is tomorrow.
    wait_for("round 2", || (federation.state(address)["round"] == 2).then_some(()));
    let answer = gone.upload(address, "/rounds/1/update", &late.bytes, &json!({"samples": 10})).unwrap();
    assert_eq!((answer.status, answer.reason().as_str()), (410, "late"));
    let replayed = gone.upload(address, "/rounds/2/update", &late.bytes, &json!({"samples": 10})).unwrap();
    assert_eq!((replayed.status, replayed.reason().as_str()), (409, "replayed"));
    assert_eq!(gone.step(address).unwrap(), "training");
    assert_eq!(federation.state(address)["accepted"], 1, "it takes the current round");
    labs.iter_mut().for_each(|lab| drop(lab.step(address).unwrap()));
    wait_for("the end", || (federation.state(address)["phase"] == "finished").then_some(()));
    let view = ask(address, "GET", &federation.path("/rounds/2"), ADMIN, b"").unwrap().json();
    assert!(view["updates"].as_array().unwrap().len() >= 2);
}

#[test]
fn a_round_closes_at_its_deadline_with_the_quorum() {
    let coordinator = Coordinator::open();
    let federation = Federation::create(&coordinator, &small_model(), |definition| {
        without_statistics(definition);
        definition["quorum"] = json!({"min_clients": 2, "min_fraction": 0.6, "max_clients": 5});
        definition["deadlines"] = json!({"statistics_s": 60.0, "round_s": 2.0, "presence_s": 600.0});
        definition["start"] = "manual".into();
        definition["rounds"] = 1.into();
    });
    let address = coordinator.address;
    let mut labs: Vec<Lab> = (0..3).map(|number| federation.join(address, number)).collect();
    let started = Instant::now();
    coordinator.admin("POST", &federation.path("/start"), &json!({}));
    labs[0].step(address).unwrap();
    labs[1].step(address).unwrap();
    wait_for("the end", || (federation.state(address)["phase"] == "finished").then_some(()));
    assert!(started.elapsed() > Duration::from_millis(1500), "the third one had its time");
}

#[test]
fn a_host_pauses_resumes_and_finishes() {
    let coordinator = Coordinator::open();
    let federation = Federation::create(&coordinator, &small_model(), without_statistics);
    let address = coordinator.address;
    let mut labs: Vec<Lab> = (0..3).map(|number| federation.join(address, number)).collect();
    wait_for("training", || (federation.state(address)["phase"] == "training").then_some(()));
    labs[0].step(address).unwrap();
    let host = |action: &str| coordinator.admin("POST", &federation.path(action), &json!({})).reason();
    assert_eq!(host("/resume"), "not_paused");
    assert_eq!(host("/pause"), "done");
    assert_eq!(labs[1].step(address).unwrap(), "paused");
    let refused = labs[1].ask(address, "PUT", "/rounds/1/update/chunks/0", b"x").unwrap();
    assert_eq!((refused.status, refused.reason().as_str()), (409, "paused"));
    assert!(refused.json()["retry_after_ms"].is_u64() && !refused.header("retry-after").is_empty());
    assert_eq!(host("/resume"), "done");
    assert_eq!(federation.state(address)["accepted"], 1, "what was accepted is kept");
    // The old invitation is void once there is a new one.
    let renewed = coordinator.admin("POST", &federation.path("/invite"), &json!({})).json();
    let join =
        |token: &str| ask(address, "POST", &federation.path("/clients"), token, br#"{"version": 1}"#).unwrap().reason();
    assert_eq!(join(&federation.invite), "token_wrong");
    assert_eq!(join(renewed["invite_token"].as_str().unwrap()), "joined");
    assert_eq!(host("/finish"), "done");
    assert_eq!(labs[1].step(address).unwrap(), "finished");
    assert_eq!(host("/start"), "finished");
    assert_eq!(join(renewed["invite_token"].as_str().unwrap()), "finished");
}

#[test]
fn a_finished_federation_is_deleted_and_others_stay() {
    let mut coordinator = Coordinator::open();
    let address = coordinator.address;
    let create = || Federation::create(&coordinator, &small_model(), without_statistics);
    let (gone, stays) = (create(), create());
    let labs: Vec<Lab> = (0..3).map(|number| gone.join(address, number)).collect();
    let member = again(&labs[0]);
    let delete = |federation: &Federation, token: &str| {
        let answer = ask(address, "DELETE", &federation.path(""), token, b"").unwrap();
        (answer.status, answer.reason())
    };
    assert_eq!(delete(&gone, ADMIN), (409, "not_finished".into()));
    run_all(address, labs);
    assert_eq!(delete(&gone, &gone.invite), (403, "token_not_allowed".into()));
    assert_eq!(delete(&gone, &member.token), (403, "token_not_allowed".into()));
    let model = gone.state(address)["model"].as_str().unwrap().to_owned();
    assert!(member.fetch(address, &model).is_ok());
    assert_eq!(delete(&gone, ADMIN), (200, "done".into()));
    assert_eq!(delete(&gone, ADMIN), (404, "federation_unknown".into()));
    assert_eq!(member.ask(address, "GET", "/state", b"").unwrap().reason(), "token_wrong");
    assert!(member.fetch(address, &model).is_err());
    let listed = |address| {
        let list = ask(address, "GET", "/federations", ADMIN, b"").unwrap().json();
        list.as_array().unwrap().iter().map(|view| view["federation"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(address), [stays.id.as_str()]);
    // The beginning is that of the other one, too; nothing else is left, nor does anything come back.
    let blobs = || -> usize {
        let folders = std::fs::read_dir(coordinator.data().join("blobs")).unwrap();
        folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
    };
    wait_for("tidiness", || (blobs() == 1).then_some(()));
    assert!(!coordinator.data().join("uploads").join(&gone.id).exists());
    coordinator.kill();
    coordinator.spawn();
    let address = coordinator.address;
    assert_eq!(listed(address), [stays.id.as_str()]);
    let labs: Vec<Lab> = (0..3).map(|number| stays.join(address, number)).collect();
    run_all(address, labs);
    assert_eq!(stays.state(address)["why"], "rounds_done");
}
