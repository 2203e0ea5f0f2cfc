//! Laboratories that take part: their "training" is a fixed function of their number, the round and the model.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sigmascope::federation::protocol::{
    BandStatistics, Binding, Encoded, Encoder, FederationId, Hash, Layout, UpdatePlan, read_f32,
};
use sigmascope::scene::MemorySource;
use sigmascope::scope::Scope;

use super::process::{Answer, Coordinator, ask};

/// 1 MiB: the length of chunks.
pub const CHUNK: usize = 1 << 20;

pub const BANDS: usize = 4;

/// A model file with these tensors and weights that look like some.
pub fn model(shapes: &[(&str, &[usize])]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (index, (name, shape)) in shapes.iter().enumerate() {
        let start = data.len();
        noise(index as u64 + 1, shape.iter().product(), 0.1).iter().for_each(|value| data.extend(value.to_le_bytes()));
        header.insert((*name).into(), json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}));
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

pub fn small_model() -> Vec<u8> {
    model(&[("head.bias", &[10]), ("head.weight", &[10, 64]), ("body.weight", &[64, 48])])
}

pub fn noise(seed: u64, len: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..len).map(|_| (next() + next() + next()) * scale).collect()
}

pub fn definition(model: &[u8], change: impl FnOnce(&mut Value)) -> Value {
    let mut definition = json!({
        "version": 1,
        "title": "Test",
        "model": {"name": "small", "weights": {"sha256": Hash::of(model).to_string(), "bytes": model.len()}},
        "trainable": "all",
        "input": {
            "wavelengths_nm": [450.0, 550.0, 650.0, 850.0],
            "projection": {"method": {"pca": {"components": 2, "whiten": true}}, "scale": true},
        },
        "classes": [{"name": "one"}, {"name": "two"}],
        "algorithm": {"wsa": {"lambda": 0.1}},
        "local": {"epochs": 1},
        "encoding": "int8",
        "quorum": {"min_clients": 3, "min_fraction": 1.0, "max_clients": 50},
        "deadlines": {"statistics_s": 600.0, "round_s": 600.0, "presence_s": 600.0},
        "rounds": 3,
        "start": "at_quorum",
        "limits": {"max_norm": 100.0, "max_samples": 1000},
    });
    change(&mut definition);
    definition
}

pub fn without_statistics(definition: &mut Value) {
    definition["input"].as_object_mut().unwrap().remove("projection");
}

/// A federation that has been created and has its model.
#[derive(Clone)]
pub struct Federation {
    pub id: String,
    pub invite: String,
    pub model: Arc<Vec<u8>>,
}

impl Federation {
    pub fn create(coordinator: &Coordinator, model: &[u8], change: impl FnOnce(&mut Value)) -> Self {
        let created = coordinator.admin("POST", "/federations", &definition(model, change));
        assert_eq!((created.status, created.reason().as_str()), (201, "created"), "{}", created.json());
        let text = |field: &str| created.json()[field].as_str().unwrap().to_owned();
        let federation = Self { id: text("federation"), invite: text("invite_token"), model: Arc::new(model.to_vec()) };
        let stored =
            upload(coordinator.address, super::process::ADMIN, &federation.path("/model"), model, &json!({})).unwrap();
        assert_eq!((stored.status, stored.reason().as_str()), (201, "accepted"), "{}", stored.json());
        federation
    }

    pub fn path(&self, rest: &str) -> String {
        format!("/federations/{}{rest}", self.id)
    }

    pub fn join(&self, address: SocketAddr, number: u64) -> Lab {
        let joined = ask(address, "POST", &self.path("/clients"), &self.invite, br#"{"version": 1}"#).unwrap();
        assert_eq!((joined.status, joined.reason().as_str()), (201, "joined"), "{}", joined.json());
        let text = |field: &str| joined.json()[field].as_str().unwrap().to_owned();
        let (client, token) = (text("client"), text("client_token"));
        Lab { federation: self.clone(), number, client, token, encoder: Encoder::default(), pending: None }
    }

    pub fn state(&self, address: SocketAddr) -> Value {
        ask(address, "GET", &self.path("/state"), super::process::ADMIN, b"").unwrap().json()
    }
}

/// Chunks, then the last message.
pub fn upload(address: SocketAddr, token: &str, path: &str, bytes: &[u8], more: &Value) -> io::Result<Answer> {
    for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
        let answer = ask(address, "PUT", &format!("{path}/chunks/{index}"), token, chunk)?;
        if answer.status != 200 {
            return Ok(answer);
        }
    }
    finish(address, token, path, bytes, more)
}

pub fn finish(address: SocketAddr, token: &str, path: &str, bytes: &[u8], more: &Value) -> io::Result<Answer> {
    let mut body = json!({"sha256": Hash::of(bytes).to_string(), "bytes": bytes.len()});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ask(address, "PUT", path, token, body.to_string().as_bytes())
}

/// A client.
pub struct Lab {
    pub federation: Federation,
    pub number: u64,
    pub client: String,
    pub token: String,
    pub encoder: Encoder,
    /// An update whose answer may have been lost.
    pub pending: Option<(u32, Encoded)>,
}

impl Lab {
    pub fn ask(&self, address: SocketAddr, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        ask(address, method, &self.federation.path(path), &self.token, body)
    }

    pub fn state(&self, address: SocketAddr) -> io::Result<Value> {
        Ok(self.ask(address, "GET", "/state", b"")?.json())
    }

    pub fn samples(&self) -> u64 {
        100 + 37 * self.number
    }

    pub fn binding(&self, round: u32, model: Hash) -> Binding {
        let federation: FederationId = self.federation.id.parse().unwrap();
        Binding { federation, client: self.client.parse().unwrap(), round, model }
    }

    pub fn statistics(&self) -> Vec<u8> {
        let mut statistics = BandStatistics {
            count: 0,
            range: [f64::MAX, f64::MIN],
            sum: vec![0.0; BANDS],
            scatter: vec![0.0; BANDS * BANDS],
        };
        for pixel in noise(500 + self.number, 200 * BANDS, 1.0).chunks_exact(BANDS) {
            let pixel: Vec<f64> =
                pixel.iter().enumerate().map(|(band, &value)| f64::from(value) + 3.0 + band as f64).collect();
            statistics.count += 1;
            for i in 0..BANDS {
                statistics.range = [statistics.range[0].min(pixel[i]), statistics.range[1].max(pixel[i])];
                statistics.sum[i] += pixel[i];
                (0..BANDS).for_each(|j| statistics.scatter[i * BANDS + j] += pixel[i] * pixel[j]);
            }
        }
        statistics.to_bytes(&self.binding(0, Hash([0; 32])))
    }

    /// What training makes of this model.
    pub fn train(&self, address: SocketAddr, round: u32, model: &[u8]) -> io::Result<Encoded> {
        let view = ask(address, "GET", &self.federation.path(""), &self.token, b"")?.json();
        let definition = serde_json::from_value(view["definition"].clone()).map_err(io::Error::other)?;
        let source = MemorySource::new("model", model.to_vec());
        let layout = Layout::read(&source, 1 << 20).map_err(io::Error::other)?;
        let plan = UpdatePlan::new(&definition, &layout).map_err(io::Error::other)?;
        let (mut changes, mut scopes) = (Vec::new(), Vec::new());
        for (index, (name, shape)) in plan.tensors().iter().enumerate() {
            let mut weights = vec![0.0; shape.iter().product()];
            read_f32(&source, layout.tensors[name].at, 0, &mut weights).map_err(io::Error::other)?;
            let step = noise(u64::from(round) * 1000 + self.number * 10 + index as u64, weights.len(), 0.01);
            // Depends on the model, so that a wrong one would show.
            let change: Vec<f32> = weights.iter().zip(&step).map(|(weight, step)| step - 0.1 * weight).collect();
            let trained: Vec<f32> = weights.iter().zip(&change).map(|(weight, change)| weight + change).collect();
            if shape.len() >= 2 {
                scopes.push(Scope::of(&trained).unwrap());
            }
            changes.push(change);
        }
        let slices: Vec<&[f32]> = changes.iter().map(Vec::as_slice).collect();
        self.encoder.encode(&plan, &self.binding(round, Hash::of(model)), &slices, &scopes).map_err(io::Error::other)
    }

    pub fn fetch(&self, address: SocketAddr, hash: &str) -> io::Result<Vec<u8>> {
        let answer = self.ask(address, "GET", &format!("/blobs/{hash}"), b"")?;
        if answer.status == 200 && Hash::of(&answer.body).to_string() == hash {
            Ok(answer.body)
        } else {
            Err(io::Error::other(format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))))
        }
    }

    /// Looks once and does what the phase asks for; the phase.
    pub fn step(&mut self, address: SocketAddr) -> io::Result<String> {
        let state = self.state(address)?;
        let phase = state["phase"].as_str().ok_or_else(|| io::Error::other(state.to_string()))?.to_owned();
        let round = state["round"].as_u64().unwrap() as u32;
        let submitted = state["submitted"].as_bool().unwrap();
        // An update counts if the coordinator says so now, or if its round is over: none of these rounds closes without it.
        if let Some((sent, encoded)) = self.pending.take()
            && (round > sent || submitted || phase == "finished")
        {
            self.encoder.accepted(encoded);
        }
        if submitted {
            return Ok(phase);
        }
        match phase.as_str() {
            "statistics" => {
                let bytes = self.statistics();
                self.upload(address, "/statistics", &bytes, &json!({}))?;
            }
            "training" => {
                let model = self.fetch(address, state["model"].as_str().unwrap())?;
                let encoded = self.train(address, round, &model)?;
                let bytes = encoded.bytes.clone();
                self.pending = Some((round, encoded));
                let metrics = json!({"samples": self.samples(), "metrics": {"samples": 10, "overall_accuracy": 0.5}});
                self.upload(address, &format!("/rounds/{round}/update"), &bytes, &metrics)?;
            }
            _ => {}
        }
        Ok(phase)
    }

    pub fn upload(&self, address: SocketAddr, path: &str, bytes: &[u8], more: &Value) -> io::Result<Answer> {
        upload(address, &self.token, &self.federation.path(path), bytes, more)
    }

    /// Takes part until the end, whatever happens to the coordinator.
    pub fn run(mut self, address: SocketAddr) {
        let started = std::time::Instant::now();
        while !matches!(self.step(address).as_deref(), Ok("finished")) {
            assert!(started.elapsed() < Duration::from_secs(1200), "client {} never came to the end", self.number);
            std::thread::sleep(Duration::from_millis(15));
        }
    }
}

/// Labs that take part until the end, each on its own thread; the final model's hash.
pub fn run_all(coordinator_address: SocketAddr, labs: Vec<Lab>) {
    // Encoders hold plain numbers, so labs move between threads.
    let threads: Vec<_> =
        labs.into_iter().map(|lab| std::thread::spawn(move || lab.run(coordinator_address))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Checks that a safetensors file is read by the usual library.
pub fn is_safetensors(bytes: &[u8]) -> bool {
    safetensors::SafeTensors::deserialize(bytes).is_ok()
}
