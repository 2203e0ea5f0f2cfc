//! What an operator sees, and what nobody sees.

use serde_json::json;

use super::lab::{Federation, Lab, run_all, small_model};
use super::process::{ADMIN, Coordinator, is_in_files, raw, wait_for};

#[test]
fn no_token_is_kept_or_logged() {
    let mut coordinator = Coordinator::open();
    let federation = Federation::create(&coordinator, &small_model(), |definition| definition["rounds"] = 1.into());
    let labs: Vec<Lab> = (0..3).map(|number| federation.join(coordinator.address, number)).collect();
    let mut secrets: Vec<String> = labs.iter().map(|lab| lab.token.splitn(3, '_').nth(2).unwrap().to_owned()).collect();
    secrets.extend([ADMIN.to_owned(), federation.invite.strip_prefix("ssi_").unwrap().to_owned()]);
    let clients: Vec<String> = labs.iter().map(|lab| lab.client.clone()).collect();
    run_all(coordinator.address, labs);
    // A request with a token where none belongs.
    let path = format!("/api/v1/federations?token={ADMIN}");
    assert_eq!(raw(coordinator.address, "GET", &path, &[], b"").unwrap().status, 401);
    coordinator.terminate();
    let log = coordinator.log();
    assert!(secrets.iter().all(|secret| secret.len() >= 20));
    for secret in &secrets {
        assert!(!log.contains(secret), "a token is in the log");
        assert!(!is_in_files(&coordinator.data(), secret), "a token is in the data folder");
    }
    assert!(!log.contains("127.0.0.1"), "no address is logged");
    // The audit names every event, as JSON, by clients' random names.
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let audit: Vec<_> = lines.iter().filter(|line| line["target"] == "audit").collect();
    for client in clients {
        let of_client = audit.iter().filter(|line| line["client"] == client.as_str()).count();
        assert_eq!(of_client, 3, "joined, statistics accepted, update accepted");
    }
    for message in
        ["created", "model stored", "statistics opened", "projection", "round opened", "aggregated", "finished"]
    {
        assert!(audit.iter().any(|line| line["message"] == message), "{message}");
    }
}

#[test]
fn metrics_and_health() {
    let mut coordinator = Coordinator::open();
    let address = coordinator.address;
    let get = |path: &str| raw(address, "GET", path, &[], b"").unwrap();
    assert_eq!((get("/healthz").status, get("/readyz").status), (200, 200));
    let federation = Federation::create(&coordinator, &small_model(), |definition| definition["rounds"] = 1.into());
    run_all(address, (0..3).map(|number| federation.join(address, number)).collect());
    let text = wait_for("two aggregations", || {
        let text = String::from_utf8(get("/metrics").body).unwrap();
        text.contains("\nsigmascope_aggregations_total 2\n").then_some(text)
    });
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("{name} in {text}")).rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert_eq!(value("sigmascope_answers_total{reason=\"joined\"}"), 3.0);
    // The model, three statistics, three updates.
    assert_eq!(value("sigmascope_answers_total{reason=\"accepted\"}"), 7.0);
    assert_eq!(value("sigmascope_federations{phase=\"finished\"}"), 1.0);
    assert_eq!(value("sigmascope_aggregation_failures_total"), 0.0);
    assert!(value("sigmascope_received_bytes_total") > 10_000.0 && value("sigmascope_connections") >= 1.0);
    assert!(!text.contains(&federation.id));
    // The page is still there.
    assert_eq!(get("/").status, 200);
    // A disk that cannot be written is said.
    std::fs::remove_dir_all(coordinator.data().join("scratch")).unwrap();
    assert_eq!(get("/readyz").status, 503);
    let refused = coordinator.admin("POST", &federation.path("/pause"), &json!({}));
    assert_eq!(refused.reason(), "finished");
    coordinator.kill();
}

#[test]
fn one_data_folder_has_one_coordinator() {
    let coordinator = Coordinator::open();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_coordinator"))
        .args(["--port", "0", "--dir"])
        .arg(coordinator.folder.path().join("page"))
        .arg("--data")
        .arg(coordinator.data())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("in use by another coordinator"), "{said}");
}

#[test]
fn an_admin_token_is_made_where_none_is_given() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<!doctype html>").unwrap();
    let start = || {
        std::process::Command::new(env!("CARGO_BIN_EXE_coordinator"))
            .args(["--port", "0", "--dir"])
            .arg(folder.path())
            .arg("--data")
            .arg(folder.path().join("data"))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let file = folder.path().join("data/admin-token");
    let mut child = start();
    let token = wait_for("a token", || std::fs::read_to_string(&file).ok().filter(|token| token.ends_with('\n')));
    use std::io::{BufRead, BufReader};
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.next().unwrap().unwrap();
    let address = address.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    assert!(lines.next().unwrap().unwrap().contains("admin-token"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let listed = super::process::ask(address, "GET", "/federations", token.trim(), b"").unwrap();
    assert_eq!((listed.status, listed.json()), (200, json!([])));
    child.kill().unwrap();
    child.wait().unwrap();
    // The token stays the same when the file has been taken away.
    std::fs::remove_file(&file).unwrap();
    let mut child = start();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    assert_eq!(super::process::ask(address, "GET", "/federations", token.trim(), b"").unwrap().status, 200);
    assert!(!file.exists());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn without_a_data_folder_there_is_only_the_page() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<!doctype html>").unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_coordinator"))
        .args(["--port", "0", "--dir"])
        .arg(folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::{BufRead, BufReader};
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    let answer = super::process::ask(address, "GET", "/federations", ADMIN, b"").unwrap();
    assert_eq!((answer.status, answer.reason().as_str()), (404, "federations_off"));
    assert_eq!(raw(address, "GET", "/readyz", &[], b"").unwrap().status, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}
