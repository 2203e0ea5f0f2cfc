//! Networks that start from the official pre-training's tiny pair have the weights that the official loading gives them, and
//! all else is fresh (`reference/pretrain_layout`).

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use burn::tensor::{Device, read_sync};
use serde_json::Value;
use sigmascope::model::{Config, HyperSigma, Task};
use sigmascope::scene::{FileSource, MemorySource, SharedSource};
use sigmascope::train::Start;
use sigmascope::weights::{Checkpoint, Conversion, ConversionOptions, Pretrained, Quantization};

use crate::official::shared;
use crate::reference::read;

/// The pair as one GGUF file.
fn converted(folder: &Path) -> Pretrained {
    let file = |name: &str| Rc::new(FileSource::open(&folder.join(name)).unwrap()) as SharedSource;
    let pair = [file("tiny-spat-checkpoint-1599.pth"), file("tiny-spec-checkpoint-1599.pth")];
    let options = ConversionOptions { quantization: Quantization::F32, ..ConversionOptions::default() };
    let mut conversion = Conversion::new(Checkpoint::open(&pair, None).unwrap(), &options).unwrap();
    let mut bytes = Vec::new();
    while conversion.step(&mut bytes).unwrap().is_some() {}
    Pretrained::open(Rc::new(MemorySource::new("tiny.gguf", bytes))).unwrap()
}

#[test]
fn networks_start_as_after_the_official_loading() {
    let Some(reference) = shared("networks that start from the pre-training's tiny pair") else { return };
    let folder = reference.join("pretrain_layout");
    let pretrained = converted(&folder);
    for (task, config) in [
        ("seg", Config::tiny(Task::Segmentation, [32, 32], 8, 6)),
        ("cls", Config::tiny(Task::Classification, [9, 9], 8, 5)),
    ] {
        let lists = std::fs::read(folder.join(format!("tiny-{task}-after-loading.json"))).unwrap();
        let lists: Value = serde_json::from_slice(&lists).unwrap();
        let loaded: BTreeSet<&str> = lists["loaded"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let after = read(&folder.join(format!("tiny-{task}-after-loading.safetensors")));

        let device = Device::flex();
        let mut start = Start::new(Some(&pretrained), &config, None, 3).unwrap();
        let network = HyperSigma::new(&config, &mut start, &device).unwrap();
        let fresh = read_sync(HyperSigma::fresh(&config, 3, &device).unwrap().values()).unwrap();
        let mut taken = 0;
        for (found, fresh) in read_sync(network.values()).unwrap().into_iter().zip(fresh) {
            assert_eq!(found.name, fresh.name);
            let official = loaded.contains(found.name.as_str());
            taken += usize::from(official);
            let expected = if official { after[&found.name].floats() } else { fresh.values };
            assert!(found.values == expected, "{task}: {}", found.name);
        }
        // Twelve tensors a block of the pre-training, four spatial and two spectral blocks, table, `l1`.
        assert!(taken > 12 * 6, "{taken}");
    }
}
