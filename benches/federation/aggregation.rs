//! How fast updates become a model, beside a plain sum of the same files: the least that any aggregation has to do.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use sigmascope::coordinator::aggregate::{Contribution, Job, aggregate};
use sigmascope::federation::protocol::{
    Binding, ClientId, Definition, Encoder, FederationId, Hash, Layout, Robust, UpdatePlan,
};
use sigmascope::scene::MemorySource;
use sigmascope::scope::Scope;

const CLIENTS: u8 = 20;
const REPETITIONS: usize = 3;
const SHAPES: [(&str, &[usize]); 3] = [("a.weight", &[1024, 1024]), ("b.bias", &[1024]), ("b.weight", &[1024, 1024])];

pub fn run() {
    for (encoding, robust) in
        [("float32", Robust::Mean), ("float16", Robust::Mean), ("int8", Robust::Mean), ("int8", Robust::Median)]
    {
        case(encoding, robust);
    }
}

fn case(encoding: &str, robust: Robust) {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    let model = super::model(&SHAPES);
    fs::write(place("model"), &model).expect("a file");
    let json = super::definition(&model, encoding, CLIENTS.into(), 1);
    let mut definition: Definition = serde_json::from_value(json).expect("a definition");
    definition.algorithm.robust = robust;
    let layout = Layout::read(&MemorySource::new("model", model.clone()), 1 << 20).expect("a model");
    let plan = UpdatePlan::new(&definition, &layout).expect("a plan");
    let (federation, hash) = (FederationId([1; 8]), Hash::of(&model));
    let updates: Vec<Contribution> = (0..CLIENTS)
        .map(|number| {
            let client = ClientId([number; 8]);
            let changes: Vec<Vec<f32>> = plan
                .tensors()
                .iter()
                .map(|(_, shape)| super::noise(u64::from(number) + 9, shape.iter().product(), 0.01))
                .collect();
            let slices: Vec<&[f32]> = changes.iter().map(Vec::as_slice).collect();
            let scope = Scope::of(&changes[0]).expect("numbers");
            let scopes = vec![scope; plan.layers().count()];
            let binding = Binding { federation, client, round: 1, model: hash };
            let encoded = Encoder::default().encode(&plan, &binding, &slices, &scopes).expect("an update");
            let path = place(&format!("update-{number}"));
            fs::write(&path, encoded.bytes).expect("a file");
            Contribution { client, path, samples: 100 + u64::from(number), norm: 1.0 }
        })
        .collect();
    let paths: Vec<_> = updates.iter().map(|update| update.path.clone()).collect();
    let bytes: u64 = paths.iter().map(|path| path.metadata().map_or(0, |metadata| metadata.len())).sum();
    let job = Job {
        federation,
        definition: &definition,
        round: 1,
        model: (hash, place("model")),
        optimizer: None,
        updates,
        model_out: place("model-out"),
        optimizer_out: place("optimizer-out"),
    };
    let aggregated = best(|| drop(aggregate(&job).expect("a model")));
    let added = best(|| paths.iter().for_each(|path| drop(add(path, encoding))));
    let rate = |seconds: f64| bytes as f64 / seconds / 1e6;
    let line = serde_json::json!({
        "case": "aggregation",
        "encoding": encoding,
        "rule": robust,
        "clients": CLIENTS,
        "parameters": plan.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum::<usize>(),
        "update_bytes": bytes,
        "aggregate_mb_per_s": rate(aggregated),
        "plain_sum_mb_per_s": rate(added),
        "times_as_long": aggregated / added,
    });
    println!("{line}");
}

fn best(work: impl Fn()) -> f64 {
    let time = |_| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64()
    };
    (0..REPETITIONS).map(time).fold(f64::INFINITY, f64::min)
}

/// The sum of all numbers of a file, place by place, in pieces that fit a cache.
fn add(path: &Path, encoding: &str) -> Vec<f32> {
    let mut file = File::open(path).expect("a file");
    let (mut bytes, mut sums) = (vec![0u8; 1 << 16], vec![0f32; 1 << 16]);
    loop {
        let read = file.read(&mut bytes).expect("readable");
        let bytes = &bytes[..read];
        match encoding {
            _ if read == 0 => return std::hint::black_box(sums),
            "int8" => sums.iter_mut().zip(bytes).for_each(|(sum, &byte)| *sum += f32::from(byte as i8)),
            "float16" => {
                let values = bytes.chunks_exact(2).map(|two| half::f16::from_le_bytes([two[0], two[1]]));
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value.to_f32());
            }
            _ => {
                let values = bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
    }
}
