//! The coordinator under load, as JSON lines: `cargo bench --profile dev --bench federation [load [CLIENTS…]] [aggregation]`.
//! Without the rest of the program it is built with `--no-default-features --features coordinator`.
//!
//! `load`: a coordinator process and so many light clients at once (10, 100, 1000), each on a connection of its own. Between the
//! rounds everybody waits until all have their update, then all send it at the same moment.
//! `aggregation`: updates become a model, beside a plain sum of the same files.

mod aggregation;
mod load;

fn main() {
    // Cargo adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    if wanted("aggregation") {
        aggregation::run();
    }
    if wanted("load") {
        let given: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
        load::run(if given.is_empty() { &[10, 100, 1000] } else { &given });
    }
}

/// Numbers that look like weights.
fn noise(seed: u64, len: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..len).map(|_| (next() + next() + next()) * scale).collect()
}

/// A model file with tensors of these sizes.
fn model(shapes: &[(&str, &[usize])]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (index, (name, shape)) in shapes.iter().enumerate() {
        let start = data.len();
        noise(index as u64 + 1, shape.iter().product(), 0.1).iter().for_each(|value| data.extend(value.to_le_bytes()));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*name).into(), entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// A federation for so many clients that all have to answer.
fn definition(model: &[u8], encoding: &str, clients: usize, rounds: u32) -> serde_json::Value {
    serde_json::json!({
        "version": 1,
        "title": "Bench",
        "model": {
            "name": "bench",
            "weights": {"sha256": sigmascope::federation::protocol::Hash::of(model).to_string(), "bytes": model.len()},
        },
        "trainable": "all",
        "input": {"wavelengths_nm": [450.0, 550.0]},
        "classes": [{"name": "one"}],
        "algorithm": {},
        "local": {"epochs": 1},
        "encoding": encoding,
        "quorum": {"min_clients": clients, "min_fraction": 1.0, "max_clients": clients},
        "deadlines": {"statistics_s": 1e6, "round_s": 1e6, "presence_s": 1e6},
        "rounds": rounds,
        "limits": {"max_samples": 1_000_000},
    })
}
