//! SIGKILL at any moment: the same round goes on, and the final model is the one of an undisturbed run, bit for bit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::lab::{Federation, Lab, run_all, small_model};
use super::process::{Coordinator, wait_for};

/// Rounds after round 0, with a server optimiser that carries moments from one to the next.
fn federation(coordinator: &Coordinator, rounds: u32) -> Federation {
    Federation::create(coordinator, &small_model(), |definition| {
        definition["rounds"] = rounds.into();
        definition["algorithm"]["server"] =
            json!({"fed_adam": {"rate": 0.01, "beta1": 0.9, "beta2": 0.99, "tau": 0.001}});
    })
}

fn labs(coordinator: &Coordinator, federation: &Federation) -> Vec<Lab> {
    (0..3).map(|number| federation.join(coordinator.address, number)).collect()
}

fn undisturbed(rounds: u32) -> String {
    let coordinator = Coordinator::open();
    let federation = federation(&coordinator, rounds);
    run_all(coordinator.address, labs(&coordinator, &federation));
    federation.state(coordinator.address)["model"].to_string()
}

#[test]
fn random_kills_change_no_bit() {
    const ROUNDS: u32 = 25;
    let expected = undisturbed(ROUNDS);
    let mut coordinator = Coordinator::open();
    let federation = federation(&coordinator, ROUNDS);
    let labs = labs(&coordinator, &federation);
    let address = coordinator.address;
    // Nobody goes beyond this round before the kill that falls into it, so a machine of any speed sees them all.
    let allowed = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = labs
        .into_iter()
        .map(|mut lab| {
            let allowed = allowed.clone();
            std::thread::spawn(move || {
                wait_for("the lab's end", || {
                    let round = lab.state(address).ok()?["round"].as_u64()?;
                    let phase = (round <= allowed.load(Ordering::SeqCst)).then(|| lab.step(address));
                    matches!(phase, Some(Ok(phase)) if phase == "finished").then_some(())
                });
            })
        })
        .collect();
    let mut random = 0x1234_5678_u64;
    for round in 0..=u64::from(ROUNDS) {
        allowed.store(round, Ordering::SeqCst);
        wait_for("the round of the kill", || {
            (federation.state(address)["round"].as_u64() >= Some(round)).then_some(())
        });
        // At some point of it: uploading, aggregating, or already in the next one.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(random >> 33 & 127));
        coordinator.kill();
        coordinator.spawn();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let state = federation.state(address);
    assert_eq!(state["phase"], "finished");
    assert_eq!(state["model"].to_string(), expected);
}

#[test]
fn a_kill_in_every_phase_resumes_the_same_round() {
    const ROUNDS: u32 = 4;
    let expected = undisturbed(ROUNDS);
    let mut coordinator = Coordinator::open();
    let federation = federation(&coordinator, ROUNDS);
    let address = coordinator.address;
    let mut labs = labs(&coordinator, &federation);
    let mut killed = Vec::new();
    let mut restart = |coordinator: &mut Coordinator, phase: &str| {
        let before = federation.state(address);
        coordinator.kill();
        coordinator.spawn();
        let after = federation.state(address);
        if before["phase"] != "aggregating" && before["phase"] != "gathering" {
            for field in ["phase", "round", "model", "accepted", "projection", "clients"] {
                assert_eq!(before[field], after[field], "{field} after a kill in {phase}");
            }
        }
        killed.push(phase.to_owned());
    };
    restart(&mut coordinator, "gathering");
    loop {
        let state = federation.state(address);
        let phase = state["phase"].as_str().unwrap().to_owned();
        if phase == "finished" {
            break;
        }
        for lab in &mut labs {
            let step = lab.step(address).unwrap();
            restart(&mut coordinator, &step);
            // Sent again after the crash, as a client does that has not seen the answer: it is counted once.
            if let Some((round, encoded)) = &lab.pending {
                let path = format!("/rounds/{round}/update");
                let samples = json!({"samples": lab.samples()});
                let again = lab.upload(address, &path, &encoded.bytes, &samples).unwrap();
                // Chunks of what is accepted are not wanted; the last message is told that it is a duplicate.
                assert!(
                    matches!(again.reason().as_str(), "already_submitted" | "duplicate" | "late" | "finished"),
                    "{}",
                    again.json()
                );
                let told =
                    super::lab::finish(address, &lab.token, &federation.path(&path), &encoded.bytes, &samples).unwrap();
                assert!(matches!(told.reason().as_str(), "duplicate" | "finished"), "{}", told.json());
            }
        }
        coordinator.admin("POST", &federation.path("/pause"), &json!({}));
        restart(&mut coordinator, "paused");
        coordinator.admin("POST", &federation.path("/resume"), &json!({}));
        wait_for("aggregated", || (federation.state(address)["phase"] != "aggregating").then_some(()));
    }
    restart(&mut coordinator, "finished");
    for phase in ["gathering", "statistics", "training", "paused", "finished"] {
        assert!(killed.iter().any(|killed| killed == phase), "{phase} {killed:?}");
    }
    assert_eq!(federation.state(address)["model"].to_string(), expected);
}

#[test]
fn an_interrupted_upload_goes_on_after_a_kill() {
    let mut coordinator = Coordinator::open();
    let model = super::lab::model(&[("w", &[1024, 1024])]);
    let federation = Federation::create(&coordinator, &model, |definition| {
        super::lab::without_statistics(definition);
        definition["encoding"] = "float32".into();
        definition["quorum"]["min_clients"] = 1.into();
    });
    let address = coordinator.address;
    let mut lab = federation.join(address, 0);
    wait_for("training", || (federation.state(address)["phase"] == "training").then_some(()));
    let bytes = lab.train(address, 1, &model).unwrap().bytes;
    let chunks: Vec<&[u8]> = bytes.chunks(super::lab::CHUNK).collect();
    assert!(chunks.len() > 3);
    for index in [2, 0] {
        let put = lab.ask(address, "PUT", &format!("/rounds/1/update/chunks/{index}"), chunks[index]).unwrap();
        assert_eq!(put.reason(), "stored");
    }
    coordinator.kill();
    coordinator.spawn();
    let there = lab.ask(address, "GET", "/rounds/1/update/chunks", b"").unwrap().json();
    assert_eq!(there["received"], json!([0, 2]));
    let finish = |lab: &Lab| {
        let path = federation.path("/rounds/1/update");
        super::lab::finish(address, &lab.token, &path, &bytes, &json!({"samples": 5})).unwrap()
    };
    assert_eq!(finish(&lab).reason(), "chunks_missing");
    for index in (0..chunks.len()).filter(|index| ![0, 2].contains(index)) {
        lab.ask(address, "PUT", &format!("/rounds/1/update/chunks/{index}"), chunks[index]).unwrap();
    }
    assert_eq!(finish(&lab).reason(), "accepted");
    wait_for("round 2", || (federation.state(address)["round"] == 2).then_some(()));
    assert_eq!(lab.step(address).unwrap(), "training");
}

#[test]
fn kills_while_aggregating_give_the_same_model() {
    // Long enough to be seen: twelve million numbers are sorted in threes.
    let model = super::lab::model(&[("w", &[2048, 2048])]);
    // The model, and how many of the kills found it aggregating.
    let run = |kills: usize| {
        let mut coordinator = Coordinator::open();
        let federation = Federation::create(&coordinator, &model, |definition| {
            super::lab::without_statistics(definition);
            definition["rounds"] = 1.into();
            definition["algorithm"] =
                json!({"robust": "median", "server": {"fed_avg_m": {"rate": 1.0, "momentum": 0.9}}});
        });
        let address = coordinator.address;
        let mut labs = labs(&coordinator, &federation);
        wait_for("training", || (federation.state(address)["phase"] == "training").then_some(()));
        labs.iter_mut().for_each(|lab| drop(lab.step(address).unwrap()));
        let mut hits = 0;
        for _ in 0..kills {
            hits += usize::from(federation.state(address)["phase"] == "aggregating");
            coordinator.kill();
            coordinator.spawn();
        }
        let end = wait_for("the end", || {
            let state = federation.state(address);
            (state["phase"] == "finished").then_some(state)
        });
        let rounds = coordinator.admin("GET", &federation.path("/history"), &json!({})).json();
        assert_eq!(rounds[0]["updates"].as_array().unwrap().len(), 3, "each counted once");
        (end["model"].to_string(), hits)
    };
    let (expected, _) = run(0);
    for _ in 0..10 {
        let (model, hits) = run(3);
        assert_eq!(model, expected);
        if hits == 3 {
            return;
        }
    }
    println!("SKIP kills while aggregating: this machine is done before it can be killed");
}
