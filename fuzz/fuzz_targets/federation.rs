//! Everything that a coordinator takes from strangers. The first byte says what the others are: an update in one of the three
//! encodings, band statistics, a model with the updates it allows, or one of the JSON bodies.
#![no_main]

use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use sigmascope::federation::protocol::{
    BandStatistics, Binding, ClientId, Definition, Encoding, FederationId, FinishUpload, Hash, Join, Layout, Metrics,
    Trainable, Update, UpdatePlan,
};
use sigmascope::scene::MemorySource;

const BINDING: Binding =
    Binding { federation: FederationId([1; 8]), client: ClientId([2; 8]), round: 3, model: Hash([4; 32]) };

/// The example of the protocol's document.
fn definition(encoding: Encoding) -> Definition {
    let document = include_str!("../../docs/federation.md");
    let json = document.split("```json definition\n").nth(1).unwrap().split("```").next().unwrap();
    Definition { encoding, trainable: Trainable::All, ..serde_json::from_str(json).unwrap() }
}

fn check(bytes: &[u8], plan: &UpdatePlan) {
    if let Ok(update) = Update::open(Rc::new(MemorySource::new("update", bytes.to_vec())), plan, &BINDING)
        && let Ok(summary) = update.check(Some(1e9))
    {
        assert!(summary.norm.is_finite());
        assert!(update.scopes().unwrap().iter().flatten().all(|value| value.is_finite()));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let model = |bytes: &[u8]| Layout::read(&MemorySource::new("model", bytes.to_vec()), 1 << 16);
    match kind % 8 {
        at @ 0..3 => {
            let header = br#"{"w":{"dtype":"F32","shape":[5,13],"data_offsets":[0,260]},"b":{"dtype":"F32","shape":[3],"data_offsets":[260,272]}}"#;
            let file = [&(header.len() as u64).to_le_bytes(), header.as_slice(), &[0; 272]].concat();
            let encoding = Encoding::ALL[usize::from(at)];
            check(bytes, &UpdatePlan::new(&definition(encoding), &model(&file).unwrap()).unwrap());
        }
        3 => {
            if let Ok(statistics) = BandStatistics::read(&MemorySource::new("statistics", bytes.to_vec()), 3, &BINDING)
            {
                let mut sum = sigmascope::federation::protocol::BandSum::new(3);
                sum.add(&statistics).unwrap();
                assert!(sum.moments().mean.iter().all(|mean| mean.is_finite()));
            }
        }
        4 => {
            if let Ok(layout) = model(bytes)
                && let Ok(plan) = UpdatePlan::new(&definition(Encoding::Int8), &layout)
            {
                assert!(plan.layers().count() <= plan.tensors().len());
                let _ = plan.bytes_max();
            }
        }
        5 => {
            if let Ok(definition) = serde_json::from_slice::<Definition>(bytes) {
                let _ = definition.check();
            }
        }
        6 => {
            if let Ok(metrics) = serde_json::from_slice::<Metrics>(bytes) {
                let _ = metrics.check();
            }
        }
        _ => {
            let _ = (serde_json::from_slice::<FinishUpload>(bytes), serde_json::from_slice::<Join>(bytes));
        }
    }
});
