//! `sigmascope simulate` on a small scene.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::command::write_scene;

const SETTINGS: &str = "--clients 3 --rounds 2 --local-epochs 2 --labels-per-class 20 --alphas 5 --seeds 2 --methods fedavg,fedavgm \
    --lambdas 0,10 --connectivity --model tiny --set components=6 --set tile=32 --set tile_overlap=8";

fn simulate(folder: &Path, arguments: &[&str]) -> Output {
    let common = ["simulate", "--scene", "cube.npy", "--labels", "labels.npy", "--out", "results"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_sigmascope"));
    command.current_dir(folder).args(common).args(SETTINGS.split_whitespace()).args(arguments).output().unwrap()
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A report without what may differ between two runs.
fn timeless(mut report: Value) -> Value {
    for run in report["runs"].as_array_mut().unwrap() {
        run["seconds"] = Value::Null;
    }
    report
}

#[test]
fn a_simulation_goes_on_where_it_stopped_and_repeats_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    write_scene(folder.path());
    let whole = report(&simulate(folder.path(), &["--json"]));
    let runs = whole["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2 * 2 * 2, "two seeds, two methods, with and without alignment");
    for run in runs {
        let rounds = run["rounds"].as_array().unwrap();
        assert_eq!(rounds.len(), 3, "before the first round, and after each");
        assert!(rounds[2]["loss"].as_f64() < rounds[0]["loss"].as_f64(), "{run}");
        assert!(rounds[2]["divergence"].as_f64().unwrap() > 0.0);
    }
    let rows = whole["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    let gains: Vec<&Value> = rows.iter().filter(|row| !row["gain"].is_null()).collect();
    assert_eq!(gains.len(), 2, "one for each method with alignment");
    assert_eq!(gains[0]["gain"]["points"].as_array().unwrap().len(), 2, "paired by seed");
    let lines = whole["connectivity"].as_array().unwrap();
    assert_eq!(lines.len(), 4, "two seeds, with and without alignment");
    assert_eq!((lines[0]["line"].as_array().unwrap().len(), lines[0]["merged"].as_array().unwrap().len()), (11, 3));
    let curves = fs::read_to_string(folder.path().join("results/curves.svg")).unwrap();
    assert!(curves.contains("FedAvgM+WSA(10,mean_of_scopes)") && curves.contains("overall accuracy"), "{curves}");

    // One result is lost, as if the simulation had been killed before it; only that is done again.
    let lost = folder.path().join("results/run-FedAvg+WSA(10,mean_of_scopes)-alpha5-seed1.json");
    fs::remove_file(&lost).unwrap();
    let again = simulate(folder.path(), &["--json"]);
    assert_eq!(String::from_utf8_lossy(&again.stderr).lines().count(), 1);
    assert!(lost.exists());
    assert_eq!(timeless(report(&again)), timeless(whole));

    // Other settings do not mix with what is there.
    let other = simulate(folder.path(), &["--participation", "0.5"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("other settings"));
    let wrong = simulate(folder.path(), &["--variety", "0.5"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--variety must be 1 to 100, not 0.5"));
}
