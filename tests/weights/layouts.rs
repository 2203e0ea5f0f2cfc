//! The official loading procedure on the layouts of ViT-B, L and H (reference/pretrain_layout): names and shapes only.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;
use sigmascope::model::Task;
use sigmascope::scene::SharedSource;
use sigmascope::weights::{Checkpoint, Conversion, ConversionOptions, LoadReport, Origin, Status, Target};

use super::memory::Virtual;
use super::reference;

fn shapes(json: &Value) -> Vec<(String, Vec<usize>)> {
    let side = |side: &Value| side.as_u64().unwrap() as usize;
    let shape = |shape: &Value| shape.as_array().unwrap().iter().map(side).collect();
    json.as_object().unwrap().iter().map(|(name, value)| (name.clone(), shape(value))).collect()
}

fn convert(layout: &Value, target: Target, complete: bool) -> LoadReport {
    let source = |key: &str| -> SharedSource { Rc::new(Virtual::safetensors(key, &shapes(&layout[key]))) };
    // The order in which files are chosen does not matter.
    let checkpoint = Checkpoint::open(&[source("spec_mae"), source("spat_mae")], None).unwrap();
    assert_eq!(checkpoint.description().origin, Origin::Pretraining);
    assert_eq!(checkpoint.description().size.as_deref(), layout["model_size"].as_str());
    let options = ConversionOptions { target: Some(target), complete, ..Default::default() };
    Conversion::new(checkpoint, &options).unwrap().report().clone()
}

fn names<'a>(report: &'a LoadReport, is: impl Fn(&&'a sigmascope::weights::TensorReport) -> bool) -> BTreeSet<&'a str> {
    report.tensors.iter().filter(is).map(|tensor| tensor.name.as_str()).collect()
}

#[test]
fn every_key_of_the_official_sizes() {
    let Some(reference) = reference("the layouts of the official checkpoints") else { return };
    for size in ["base", "large", "huge"] {
        let text = std::fs::read_to_string(reference.join(format!("pretrain_layout/{size}.json"))).unwrap();
        let layout: Value = serde_json::from_str(&text).unwrap();
        for (key, task) in [("seg", Task::Segmentation), ("cls", Task::Classification)] {
            let expected = &layout[key];
            let number = |field: &str| expected["config"][field].as_u64().unwrap() as usize;
            let target = Target {
                task,
                tile: [number("img_size"); 2],
                patch: number("patch_size"),
                components: number("in_channels"),
                classes: number("classes"),
            };
            let report = convert(&layout, target, true);

            // Every tensor of the checkpoints: loaded, dropped by a rule, or ignored.
            for (encoder, prefix) in [("spat", "spat_encoder."), ("spec", "spec_encoder.")] {
                let mut taken = 0;
                for (name, _) in shapes(&layout[format!("{encoder}_mae")]) {
                    let full = format!("{prefix}{name}");
                    let entry = report.tensors.iter().find(|tensor| tensor.name == full).unwrap();
                    assert_eq!(entry.key.as_ref(), Some(&name));
                    let status = match expected[encoder].get(&name).map(|verdict| verdict[0].as_str().unwrap()) {
                        None => Status::Matched,
                        Some("dropped") => Status::Dropped,
                        Some("ignored") => Status::Unexpected,
                        Some(other) => panic!("{other}"),
                    };
                    assert_eq!(entry.status, status, "{size} {key} {full}: {:?}", entry.reason);
                    taken += u64::from(status == Status::Matched);
                }
                assert_eq!(Some(taken), expected["loaded_counts"][encoder].as_u64());
            }
            // Every tensor of the network, with its shape.
            let network = shapes(&expected["state_dict"]);
            for (name, shape) in &network {
                let entry = report.tensors.iter().find(|tensor| &tensor.name == name);
                assert_eq!(entry.and_then(|entry| entry.expected.as_ref()), Some(shape), "{size} {key} {name}");
            }
            assert_eq!(names(&report, |tensor| tensor.expected.is_some()).len(), network.len());
            let fresh = expected["not_in_checkpoint"].as_array().unwrap();
            let fresh: BTreeSet<&str> = fresh.iter().map(|name| name.as_str().unwrap()).collect();
            assert_eq!(names(&report, |tensor| tensor.starts_fresh()), fresh, "{size} {key}");

            // Without what never influences the result.
            let lean = convert(&layout, target, false);
            let dead = names(&lean, |tensor| {
                tensor.status == Status::LeftOut && tensor.name.starts_with("spec_encoder.blocks.")
            });
            let range = expected["dead_spectral_blocks"].as_str().unwrap();
            let (first, last) = range.split_once("..").unwrap();
            let blocks: BTreeSet<usize> =
                dead.iter().map(|name| name.split('.').nth(2).unwrap().parse().unwrap()).collect();
            assert_eq!(blocks, (first.parse().unwrap()..=last.parse().unwrap()).collect(), "{size} {key}");
            let values: usize =
                lean.of(Status::LeftOut).filter(|tensor| dead.contains(tensor.name.as_str())).map(values).sum();
            // Sampling offsets count there, but no checkpoint has them.
            let offsets: usize = network
                .iter()
                .filter(|(name, _)| name.starts_with("spec_encoder.blocks.") && name.contains("sampling_offsets"))
                .filter(|(name, _)| blocks.contains(&name.split('.').nth(2).unwrap().parse().unwrap()))
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum();
            assert_eq!(Some((values + offsets) as u64), expected["parameters_dead_spectral_blocks"].as_u64());
            let note = format!("{} of {} spectral blocks", blocks.len(), lean.network.depth);
            assert!(lean.notes.iter().any(|sentence| sentence.starts_with(&note)), "{:?}", lean.notes);
            let counted: usize = lean.counts.iter().map(|counts| counts.tensors).sum();
            assert_eq!(counted, lean.tensors.len());
        }
    }
}

fn values(tensor: &sigmascope::weights::TensorReport) -> usize {
    tensor.found.as_ref().map_or(0, |shape| shape.iter().product())
}
