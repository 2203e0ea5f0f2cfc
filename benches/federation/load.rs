//! Many light clients at once.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sigmascope::federation::protocol::{Binding, CHUNK_BYTES, Definition, Encoder, Hash, Layout, UpdatePlan};
use sigmascope::scene::MemorySource;
use sigmascope::scope::Scope;
use tokio::net::TcpStream;
use tokio::sync::Barrier;

const ADMIN: &str = "a-token-that-only-the-bench-knows";
const ROUNDS: u32 = 3;
const SHAPES: [(&str, &[usize]); 3] = [("a.weight", &[256, 512]), ("b.bias", &[512]), ("b.weight", &[512, 256])];

pub fn run(clients: &[usize]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for &clients in clients {
        let line = runtime.block_on(case(clients)).expect("the coordinator answers");
        println!("{line}");
    }
}

/// A coordinator process with generous limits.
struct Coordinator {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Coordinator {
    fn start(clients: usize) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("index.html"), "<!doctype html>")?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_coordinator"))
            .arg("--dir")
            .arg(folder.path())
            .arg("--data")
            .arg(folder.path().join("data"))
            .args(["--port", &address.port().to_string(), "--max-connections", &(clients + 100).to_string()])
            .args([
                "--request-rate",
                "100000",
                "--join-rate",
                "100000",
                "--head-timeout",
                "600",
                "--body-timeout",
                "600",
            ])
            .env("SIGMASCOPE_ADMIN_TOKEN", ADMIN)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            io::BufRead::read_line(&mut io::BufReader::new(output), &mut line)?;
        }
        Ok(Self { child, address, _folder: folder })
    }

    /// Largest resident memory so far, in bytes; 0 where the system does not tell.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A connection that is kept open.
struct Http {
    stream: TcpStream,
    /// What has been read and not been asked for yet.
    read: Vec<u8>,
}

impl Http {
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    async fn ask(&mut self, method: &str, path: &str, token: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.send(head.as_bytes()).await?;
        self.send(body).await?;
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.receive().await?;
        };
        let head = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let whole = end + length.unwrap_or(0usize);
        while self.read.len() < whole {
            self.receive().await?;
        }
        let rest = self.read.split_off(whole);
        let mut answer = std::mem::replace(&mut self.read, rest);
        Ok(answer.split_off(end))
    }

    async fn json(&mut self, method: &str, path: &str, token: &str, body: &[u8]) -> io::Result<Value> {
        Ok(serde_json::from_slice(&self.ask(method, path, token, body).await?)?)
    }

    async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn receive(&mut self) -> io::Result<()> {
        loop {
            self.stream.readable().await?;
            let mut piece = [0; 16 << 10];
            match self.stream.try_read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.read.extend_from_slice(&piece[..read]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What all clients share.
struct Shared {
    address: SocketAddr,
    federation: String,
    invite: String,
    definition: Definition,
    layout: Layout,
    /// Between everything that all do at the same moment.
    together: Barrier,
    told: Mutex<Told>,
}

/// Milliseconds, one number for each time.
#[derive(Default)]
struct Told {
    joins: Vec<f64>,
    polls: Vec<f64>,
    models: Vec<f64>,
    /// From the first chunk to the answer that the update counts.
    updates: Vec<f64>,
    /// From the common beginning to the last accepted update, a round each.
    rounds: Vec<f64>,
    update_bytes: usize,
    asked_again: usize,
}

fn other(what: impl std::fmt::Display) -> io::Error {
    io::Error::other(what.to_string())
}

async fn client(shared: Arc<Shared>, number: u64) -> io::Result<()> {
    let mut told = Told::default();
    let mut http = Http::connect(shared.address).await?;
    let root = format!("/api/v1/federations/{}", shared.federation);
    shared.together.wait().await;
    let started = Instant::now();
    let joined = http.json("POST", &format!("{root}/clients"), &shared.invite, br#"{"version":1}"#).await?;
    told.joins.push(milliseconds(started));
    let text = |field: &str| joined[field].as_str().map(str::to_owned).ok_or_else(|| other(&joined));
    let (name, token) = (text("client")?, text("client_token")?);
    // All have joined; the host starts.
    shared.together.wait().await;
    let plan = UpdatePlan::new(&shared.definition, &shared.layout).map_err(other)?;
    for round in 1..=ROUNDS {
        let model = loop {
            let started = Instant::now();
            let state = http.json("GET", &format!("{root}/state"), &token, b"").await?;
            told.polls.push(milliseconds(started));
            if state["phase"] == "training" && state["round"] == round {
                break state["model"].as_str().unwrap_or_default().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let started = Instant::now();
        let bytes = http.ask("GET", &format!("{root}/blobs/{model}"), &token, b"").await?;
        told.models.push(milliseconds(started));
        let model: Hash = model.parse().map_err(other)?;
        if Hash::of(&bytes) != model {
            return Err(other("the model is another one"));
        }
        let binding = Binding {
            federation: shared.federation.parse().map_err(other)?,
            client: name.parse().map_err(other)?,
            round,
            model,
        };
        let update = update(&plan, &binding, number)?;
        told.update_bytes = update.len();
        shared.together.wait().await;
        let started = Instant::now();
        let path = format!("{root}/rounds/{round}/update");
        for (index, chunk) in update.chunks(CHUNK_BYTES as usize).enumerate() {
            told.asked_again += until(&mut http, &format!("{path}/chunks/{index}"), &token, chunk, "stored").await?;
        }
        let last = json!({"sha256": Hash::of(&update).to_string(), "bytes": update.len(), "samples": 100 + number});
        told.asked_again += until(&mut http, &path, &token, last.to_string().as_bytes(), "accepted").await?;
        told.updates.push(milliseconds(started));
        shared.together.wait().await;
        if number == 0 {
            told.rounds.push(milliseconds(started));
        }
    }
    let mut all = shared.told.lock().map_err(other)?;
    all.joins.extend(told.joins);
    all.polls.extend(told.polls);
    all.models.extend(told.models);
    all.updates.extend(told.updates);
    all.rounds.extend(told.rounds);
    all.update_bytes = told.update_bytes;
    all.asked_again += told.asked_again;
    Ok(())
}

/// Puts a body until it is answered with this; how often it was asked to come again.
async fn until(http: &mut Http, path: &str, token: &str, body: &[u8], wanted: &str) -> io::Result<usize> {
    for again in 0.. {
        let answer = http.json("PUT", path, token, body).await?;
        match answer["retry_after_ms"].as_u64() {
            _ if answer["reason"] == wanted => return Ok(again),
            Some(wait) => tokio::time::sleep(Duration::from_millis(wait)).await,
            None => return Err(other(&answer)),
        }
    }
    Ok(0)
}

fn update(plan: &UpdatePlan, binding: &Binding, number: u64) -> io::Result<Vec<u8>> {
    let changes: Vec<Vec<f32>> = plan
        .tensors()
        .iter()
        .map(|(_, shape)| super::noise(number + u64::from(binding.round), shape.iter().product(), 0.01))
        .collect();
    let slices: Vec<&[f32]> = changes.iter().map(Vec::as_slice).collect();
    let scope = Scope::of(&changes[0]).ok_or_else(|| other("numbers"))?;
    let encoded = Encoder::default().encode(plan, binding, &slices, &vec![scope; plan.layers().count()]);
    Ok(encoded.map_err(other)?.bytes)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn quantile(numbers: &mut [f64], share: f64) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    let at = ((numbers.len() as f64 * share).ceil() as usize).clamp(1, numbers.len().max(1));
    numbers.get(at - 1).copied().unwrap_or(f64::NAN)
}

async fn case(clients: usize) -> io::Result<Value> {
    let coordinator = Coordinator::start(clients)?;
    let idle = coordinator.peak();
    let model = super::model(&SHAPES);
    let definition = super::definition(&model, "int8", clients, ROUNDS);
    let mut host = Http::connect(coordinator.address).await?;
    let created = host.json("POST", "/api/v1/federations", ADMIN, definition.to_string().as_bytes()).await?;
    let text = |field: &str| created[field].as_str().map(str::to_owned).ok_or_else(|| other(&created));
    let (federation, invite) = (text("federation")?, text("invite_token")?);
    let root = format!("/api/v1/federations/{federation}");
    for (index, chunk) in model.chunks(CHUNK_BYTES as usize).enumerate() {
        host.ask("PUT", &format!("{root}/model/chunks/{index}"), ADMIN, chunk).await?;
    }
    let last = json!({"sha256": Hash::of(&model).to_string(), "bytes": model.len()});
    host.ask("PUT", &format!("{root}/model"), ADMIN, last.to_string().as_bytes()).await?;
    let layout = Layout::read(&MemorySource::new("model", model.clone()), 1 << 20).map_err(other)?;
    let shared = Arc::new(Shared {
        address: coordinator.address,
        federation,
        invite,
        definition: serde_json::from_value(definition)?,
        layout,
        together: Barrier::new(clients + 1),
        told: Mutex::default(),
    });
    let tasks: Vec<_> = (0..clients as u64)
        .map(|number| {
            let shared = shared.clone();
            tokio::spawn(async move {
                if let Err(error) = client(shared, number).await {
                    // The others would wait for it for ever.
                    eprintln!("client {number}: {error}");
                    std::process::exit(1);
                }
            })
        })
        .collect();
    shared.together.wait().await;
    let joining = Instant::now();
    shared.together.wait().await;
    let joined = milliseconds(joining);
    let started = host.json("POST", &format!("{root}/start"), ADMIN, b"").await?;
    if started["reason"] != "done" {
        return Err(other(&started));
    }
    for _ in 0..ROUNDS {
        shared.together.wait().await;
        shared.together.wait().await;
    }
    for task in tasks {
        task.await?;
    }
    loop {
        let state = host.json("GET", &format!("{root}/state"), ADMIN, b"").await?;
        if state["phase"] == "finished" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let metrics = String::from_utf8_lossy(&host.ask("GET", "/metrics", ADMIN, b"").await?).into_owned();
    let aggregation = metrics.lines().find_map(|line| line.strip_prefix("sigmascope_aggregation_seconds_total "));
    let aggregation = aggregation.and_then(|seconds| seconds.parse::<f64>().ok()).unwrap_or(f64::NAN);
    let mut told = shared.told.lock().map_err(other)?;
    let sending: f64 = told.rounds.iter().sum::<f64>() / 1000.0;
    let updates = (clients * ROUNDS as usize) as f64;
    Ok(json!({
        "case": "load",
        "clients": clients,
        "rounds": ROUNDS,
        "model_bytes": model.len(),
        "update_bytes": told.update_bytes,
        "joins_per_s": clients as f64 / joined * 1000.0,
        "updates_per_s": updates / sending,
        "megabytes_per_s": updates * told.update_bytes as f64 / sending / 1e6,
        "update_p50_ms": quantile(&mut told.updates, 0.5),
        "update_p99_ms": quantile(&mut told.updates, 0.99),
        "join_p99_ms": quantile(&mut told.joins, 0.99),
        "poll_p99_ms": quantile(&mut told.polls, 0.99),
        "model_p99_ms": quantile(&mut told.models, 0.99),
        "asked_again": told.asked_again,
        "aggregation_s": aggregation / f64::from(ROUNDS),
        "idle_bytes": idle,
        "peak_bytes": coordinator.peak(),
    }))
}
