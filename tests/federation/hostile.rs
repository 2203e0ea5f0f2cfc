//! Clients that want to take all there is: members, memory, disk, connections.

use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use super::lab::{CHUNK, Federation, Lab, finish, model, small_model, without_statistics};
use super::process::{ADMIN, Connection, Coordinator, ask, peak_memory, raw, wait_for};

const MIB: u64 = 1 << 20;

/// A federation in its first round, whose updates may have several chunks.
fn training(coordinator: &Coordinator, clients: u64) -> (Federation, Vec<Lab>) {
    let federation = Federation::create(coordinator, &model(&[("w", &[1024, 1024])]), |definition| {
        without_statistics(definition);
        definition["encoding"] = "float32".into();
        definition["quorum"] = json!({"min_clients": clients, "min_fraction": 1.0, "max_clients": 1000});
    });
    let labs = (0..clients).map(|number| federation.join(coordinator.address, number)).collect();
    wait_for("training", || (federation.state(coordinator.address)["phase"] == "training").then_some(()));
    (federation, labs)
}

/// A request whose body does not come to its end.
fn unfinished(coordinator: &Coordinator, lab: &Lab, index: usize, length: usize, sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(coordinator.address).unwrap();
    let (path, token) = (lab.federation.path(&format!("/rounds/1/update/chunks/{index}")), &lab.token);
    write!(
        stream,
        "PUT /api/v1{path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&vec![b'x'; sent]).unwrap();
    stream
}

#[test]
fn a_hundred_thousand_joins() {
    const ATTEMPTS: usize = 100_000;
    const MEMBERS: u64 = 1000;
    let coordinator = Coordinator::open();
    let address = coordinator.address;
    let federation = Federation::create(&coordinator, &small_model(), |definition| {
        definition["start"] = "manual".into();
        definition["quorum"]["max_clients"] = MEMBERS.into();
    });
    let idle = peak_memory(coordinator.pid());
    let started = Instant::now();
    let joined: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Connection::open(address);
                    let path = federation.path("/clients");
                    let mut joined = 0;
                    for _ in 0..ATTEMPTS / 8 {
                        let answer = connection.ask("POST", &path, &federation.invite, br#"{"version": 1}"#).unwrap();
                        match answer.reason().as_str() {
                            "joined" => joined += 1,
                            reason => assert_eq!(reason, "federation_full"),
                        }
                    }
                    joined
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let took = started.elapsed();
    assert_eq!(joined, MEMBERS);
    // Who is there is counted a few times a second.
    wait_for("the count", || (federation.state(address)["clients"] == MEMBERS).then_some(()));
    if let (Some(idle), Some(peak)) = (idle, peak_memory(coordinator.pid())) {
        println!("{ATTEMPTS} attempts to join in {took:.1?}: {} KiB above idle", (peak - idle) / 1024);
        assert!(peak - idle < 32 * MIB, "{} bytes", peak - idle);
    }
}

#[test]
fn many_bodies_at_once_take_bounded_memory() {
    let coordinator = Coordinator::open();
    let (federation, labs) = training(&coordinator, 100);
    let Some(idle) = peak_memory(coordinator.pid()) else {
        println!("SKIP there is no /proc/self/status here, so memory is not measured");
        return;
    };
    let (address, chunk) = (coordinator.address, &vec![7u8; CHUNK]);
    std::thread::scope(|scope| {
        for (lab, index) in labs.iter().flat_map(|lab| (0..3).map(move |index| (lab, index))) {
            scope.spawn(move || {
                let path = format!("/rounds/1/update/chunks/{index}");
                let answer = wait_for("its turn", || {
                    let answer = lab.ask(address, "PUT", &path, chunk).ok()?;
                    (answer.reason() != "busy").then_some(answer)
                });
                assert_eq!(answer.reason(), "stored");
            });
        }
    });
    let above = peak_memory(coordinator.pid()).unwrap() - idle;
    println!("300 bodies of 1 MiB at once: {} KiB above idle", above / 1024);
    assert!(above < 150 * MIB, "{above} bytes");
    assert_eq!(federation.state(coordinator.address)["phase"], "training");
}

#[test]
fn one_client_does_not_take_all_the_room() {
    let coordinator = Coordinator::start(&["--request-rate", "100000", "--body-timeout", "60"]);
    let (_, labs) = training(&coordinator, 2);
    // More bodies than there is room for, none of which comes to its end.
    let held: Vec<TcpStream> = (0..80).map(|index| unfinished(&coordinator, &labs[0], index % 4, 1000, 1)).collect();
    // It would be told "busy" if there were no room.
    let stored = labs[1].ask(coordinator.address, "PUT", "/rounds/1/update/chunks/0", &[0; 1000]).unwrap();
    assert_eq!(stored.reason(), "stored");
    drop(held);
}

#[test]
fn what_is_refused_leaves_nothing_on_the_disk() {
    let coordinator = Coordinator::open();
    let address = coordinator.address;
    let (federation, labs) = training(&coordinator, 2);
    let lab = &labs[0];
    let path = federation.path("/rounds/1/update");
    let bytes = lab.train(address, 1, &federation.model).unwrap().bytes;
    let put = |index: usize, bytes: &[u8]| {
        lab.ask(address, "PUT", &format!("/rounds/1/update/chunks/{index}"), bytes).unwrap().reason()
    };
    let last = |bytes: &[u8]| finish(address, &lab.token, &path, bytes, &json!({"samples": 1})).unwrap().reason();
    for _ in 0..10 {
        assert_eq!(put(0, &bytes[..CHUNK]), "stored");
        assert_eq!(last(&bytes), "chunks_missing");
    }
    // A chunk of the wrong length is no longer said to be there.
    assert_eq!(put(1, b"short"), "stored");
    assert_eq!(last(&bytes), "chunks_missing");
    let there = lab.ask(address, "GET", "/rounds/1/update/chunks", b"").unwrap().json();
    assert_eq!(there["received"], json!([0]));
    // Whole contents that are no updates.
    let mut wrong = bytes.clone();
    *wrong.last_mut().unwrap() = 0x7f;
    let at = wrong.len() - 2;
    wrong[at] = 0xc0;
    for _ in 0..3 {
        assert_eq!(
            lab.upload(address, "/rounds/1/update", &wrong, &json!({"samples": 1})).unwrap().reason(),
            "not_finite"
        );
    }
    let files = |folder: &str| {
        fn count(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
        }
        count(&coordinator.data().join(folder))
    };
    assert_eq!((files("scratch"), files("blobs"), files("uploads")), (0, 1, 0), "the model only");
    assert_eq!(lab.upload(address, "/rounds/1/update", &bytes, &json!({"samples": 1})).unwrap().reason(), "accepted");
    assert_eq!((files("scratch"), files("blobs"), files("uploads")), (0, 2, 0));
    // A federation that ends early needs no single update any more.
    assert_eq!(coordinator.admin("POST", &federation.path("/finish"), &json!({})).reason(), "done");
    assert_eq!((files("scratch"), files("blobs"), files("uploads")), (0, 1, 0));
}

#[test]
fn answers_that_nobody_takes_end() {
    let coordinator = Coordinator::start(&["--head-timeout", "1", "--max-connections", "20"]);
    // Larger than what the system keeps of a connection.
    std::fs::write(coordinator.folder.path().join("page/large.bin"), vec![0; 64 << 20]).unwrap();
    let held: Vec<TcpStream> = (0..30)
        .map(|_| {
            let mut stream = TcpStream::connect(coordinator.address).unwrap();
            stream.write_all(b"GET /large.bin HTTP/1.1\r\nhost: test\r\naccept-encoding: identity\r\n\r\n").unwrap();
            stream
        })
        .collect();
    let answer = wait_for("an answer", || raw(coordinator.address, "GET", "/healthz", &[], b"").ok());
    assert_eq!(answer.status, 200);
    drop(held);
}

#[test]
fn nobody_makes_the_log_grow() {
    let coordinator = Coordinator::open();
    let address = coordinator.address;
    let (federation, labs) = training(&coordinator, 2);
    let report = |accuracy: f64| {
        let body = json!({"samples": 5, "overall_accuracy": accuracy}).to_string();
        labs[0].ask(address, "PUT", "/rounds/1/evaluation", body.as_bytes()).unwrap().reason()
    };
    assert_eq!(report(0.5), "accepted");
    assert_eq!(report(0.5), "duplicate");
    for turn in 0..50 {
        assert_eq!(report(f64::from(turn) / 1000.0), "already_submitted");
    }
    let events = |text: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix("sigmascope_events_total "))?.parse().ok()
    };
    let text = String::from_utf8(raw(address, "GET", "/metrics", &[], b"").unwrap().body).unwrap();
    // Created, model, two members, opened, one report.
    assert_eq!(events(&text), Some(6));
    let view: Value = ask(address, "GET", &federation.path("/rounds/1"), ADMIN, b"").unwrap().json();
    assert_eq!(view["evaluation"]["overall_accuracy"]["mean"], 0.5);
}
