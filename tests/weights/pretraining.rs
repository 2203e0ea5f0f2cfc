//! The tiny pair of the pre-training, against what the official loading made of it (reference/pretrain_layout).

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use sigmascope::model::{Config, Task, resize_position_table};
use sigmascope::weights::gguf::GgufFile;
use sigmascope::weights::{
    Checkpoint, Conversion, ConversionOptions, Procedure, Quantization, Status, Target, TensorFile, TensorType, open,
};

use super::{bytes, file, finish, reference, values};

const PAIRS: [[&str; 2]; 4] = [
    ["tiny-spat-checkpoint-1599.pth", "tiny-spec-checkpoint-1599.pth"],
    ["tiny-spec-checkpoint-1599-legacy-format.pth", "tiny-spat-checkpoint-1599.pth"],
    ["tiny-spat-model.safetensors", "tiny-spec-model.safetensors"],
    ["tiny-spat-model.safetensors", "tiny-spec-checkpoint-1599-legacy-format.pth"],
];

const SEGMENTATION: Target = Target { task: Task::Segmentation, tile: [32, 32], patch: 8, components: 8, classes: 6 };
const CLASSIFICATION: Target = Target { task: Task::Classification, tile: [9, 9], patch: 2, components: 8, classes: 5 };

fn exact(target: Target, complete: bool) -> ConversionOptions {
    ConversionOptions { quantization: Quantization::F32, complete, target: Some(target), ..Default::default() }
}

fn pair(folder: &Path, names: &[&str]) -> Checkpoint {
    let sources: Vec<_> = names.iter().map(|name| file(&folder.join(name))).collect();
    Checkpoint::open(&sources, None).unwrap()
}

fn texts(json: &Value) -> BTreeSet<String> {
    json.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_tiny_pair_loads_as_officially() {
    let Some(reference) = reference("the tiny pair of the pre-training") else { return };
    let folder = reference.join("pretrain_layout");
    for (task, target) in [("seg", SEGMENTATION), ("cls", CLASSIFICATION)] {
        let lists = std::fs::read_to_string(folder.join(format!("tiny-{task}-after-loading.json"))).unwrap();
        let lists: Value = serde_json::from_str(&lists).unwrap();
        let after = open(&file(&folder.join(format!("tiny-{task}-after-loading.safetensors")))).unwrap();
        for names in PAIRS {
            let mut conversion = Conversion::new(pair(&folder, &names), &exact(target, true)).unwrap();
            let output = bytes("x.gguf", finish(&mut conversion).unwrap());
            let report = conversion.report().clone();
            let of = |status| report.of(status).map(|tensor| tensor.name.clone()).collect::<BTreeSet<_>>();

            let converted = GgufFile::open(output).unwrap();
            let written: BTreeSet<_> = converted.tensors().iter().map(|tensor| tensor.name.clone()).collect();
            assert_eq!(written, texts(&lists["loaded"]));
            assert_eq!(written, of(Status::Matched));
            for tensor in converted.tensors() {
                let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
                let expected = bits(values(after.as_ref(), &tensor.name));
                assert_eq!(bits(values(&converted, &tensor.name)), expected, "{}", tensor.name);
            }

            assert_eq!(of(Status::Unexpected), texts(&lists["ignored_from_checkpoints"]));
            let dropped = |list: &str, prefix: &str| {
                texts(&lists[list]).into_iter().map(|name| format!("{prefix}{name}")).collect::<Vec<_>>()
            };
            let spatial = dropped("dropped_spat", "spat_encoder.");
            let spectral = dropped("dropped_spec", "spec_encoder.");
            assert_eq!(of(Status::Dropped), spatial.into_iter().chain(spectral).collect());
            let fresh = report.tensors.iter().filter(|tensor| tensor.starts_fresh()).map(|tensor| tensor.name.clone());
            // The reference's tiny classification network collects three spectral features, the real ones four.
            let fresh: BTreeSet<_> = fresh
                .filter(|name| !["q", "k", "v"].iter().any(|part| name.contains(&format!("conv_{part}.3."))))
                .collect();
            assert_eq!(fresh, texts(&lists["kept_from_start"]));
        }
    }
}

#[test]
fn dead_blocks_are_left_out_unless_asked_for() {
    let Some(reference) = reference("the tiny pair of the pre-training") else { return };
    let folder = reference.join("pretrain_layout");
    let mut conversion = Conversion::new(pair(&folder, &PAIRS[0]), &exact(SEGMENTATION, false)).unwrap();
    let lean = GgufFile::open(bytes("x.gguf", finish(&mut conversion).unwrap())).unwrap();
    let names: Vec<_> = lean.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
    assert!(names.contains(&"spat_encoder.blocks.3.mlp.fc2.weight"));
    assert!(names.contains(&"spec_encoder.blocks.1.mlp.fc2.weight"));
    assert!(!names.iter().any(|name| name.starts_with("spec_encoder.blocks.2") || name.contains("encoder.norm")));
    let note = &conversion.report().notes[0];
    assert!(note.starts_with("2 of 4 spectral blocks") && note.contains("left out"), "{note}");

    let description = lean.description().unwrap().unwrap();
    assert_eq!(&description, conversion.description());
    let Config { embed_dim, depth, heads, interval, points, spectral_tokens, .. } = description.network;
    assert_eq!((embed_dim, depth, heads, interval, points, spectral_tokens), (48, 4, 4, 2, 8, 16));
    // Those of the spatial pre-training: 32 pixels, patch 8, 10 channels.
    let Config { rows, cols, patch, components, classes, complete, .. } = description.network;
    assert_eq!((rows, cols, patch, components, classes, complete), (32, 32, 8, 10, 0, false));
    let sums = std::process::Command::new("sha256sum").args(PAIRS[0]).current_dir(&folder).output();
    match sums {
        Ok(sums) => {
            let sums = String::from_utf8(sums.stdout).unwrap();
            let sums = sums.lines().map(|line| line.split_once("  ").unwrap());
            let sums: Vec<_> = sums.map(|(sum, name)| (name.to_owned(), sum.to_owned())).collect();
            assert_eq!(description.sources, sums);
        }
        Err(error) => println!("sha256sum is not here ({error}); the hashes are not compared"),
    }
}

/// `init_weights`: the spatial table for the grid of the tile, the spectral one without its first token.
#[test]
fn position_tables_are_resized() {
    let Some(reference) = reference("the tiny pair of the pre-training") else { return };
    let folder = reference.join("pretrain_layout");
    let target = Target { tile: [56, 40], ..SEGMENTATION };
    let options = ConversionOptions { procedure: Procedure::InitWeights, ..exact(target, false) };
    let mut conversion = Conversion::new(pair(&folder, &PAIRS[1]), &options).unwrap();
    let output = finish(&mut conversion).unwrap();
    let converted = GgufFile::open(bytes("x.gguf", output.clone())).unwrap();

    let spatial = open(&file(&folder.join("tiny-spat-model.safetensors"))).unwrap();
    let table = values(spatial.as_ref(), "pos_embed");
    let resized = resize_position_table(&table, 48, [4, 4], [7, 5]);
    assert_eq!(values(&converted, "spat_encoder.pos_embed"), resized);
    let spectral = open(&file(&folder.join("tiny-spec-model.safetensors"))).unwrap();
    let table = values(spectral.as_ref(), "pos_embed");
    let stretched = resize_position_table(&table[48..], 48, [1, 15], [1, 16]);
    assert_eq!(values(&converted, "spec_encoder.pos_embed"), stretched);

    let report = conversion.report();
    let resized: Vec<_> = report.of(Status::Resized).map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(resized, ["spat_encoder.pos_embed", "spec_encoder.pos_embed"]);
    let reason = report.of(Status::Resized).next().unwrap().reason.clone().unwrap();
    assert_eq!(reason, "4 × 4 tokens to 7 × 5, bicubic");
    let written = report.of(Status::Resized).map(|tensor| tensor.written);
    assert_eq!(written.collect::<Vec<_>>(), [Some(TensorType::F32); 2]);

    // Opened again, the table is for 7 × 5 tokens and stays, or is resized to the grid of another tile.
    let description = converted.description().unwrap().unwrap();
    assert_eq!((description.network.rows, description.network.cols, description.network.patch), (56, 40, 8));
    let again = |options: &ConversionOptions| {
        let checkpoint = Checkpoint::open(&[bytes("x.gguf", output.clone())], None).unwrap();
        let report = Conversion::new(checkpoint, options).unwrap().report().clone();
        report.of(Status::Resized).map(|tensor| tensor.reason.clone().unwrap()).collect::<Vec<_>>()
    };
    assert!(again(&options).is_empty());
    assert!(again(&ConversionOptions { target: None, ..options.clone() }).is_empty());
    let square = ConversionOptions { target: Some(Target { tile: [64, 64], ..target }), ..options };
    assert_eq!(again(&square), ["7 × 5 tokens to 8 × 8, bicubic"]);
}

/// The fine-tuned networks of the reference, both tasks.
#[test]
fn fine_tuned_checkpoints_keep_everything() {
    let Some(reference) = reference("the tiny fine-tuned checkpoints") else { return };
    for (folder, name, task, rows, classes) in [
        ("tiny_seg", "model", Task::Segmentation, 32, 6),
        ("tiny_seg", "odd_model", Task::Segmentation, 45, 6),
        ("tiny_cls", "model", Task::Classification, 9, 5),
    ] {
        let path = reference.join(folder).join(format!("{name}.pth"));
        let options = ConversionOptions { quantization: Quantization::F32, complete: true, ..Default::default() };
        let mut conversion = Conversion::new(Checkpoint::open(&[file(&path)], None).unwrap(), &options).unwrap();
        let converted = GgufFile::open(bytes("x.gguf", finish(&mut conversion).unwrap())).unwrap();
        let original = open(&file(&path.with_extension("safetensors"))).unwrap();
        assert_eq!(converted.tensors().len(), original.tensors().len(), "{folder}/{name}");
        for tensor in original.tensors() {
            assert_eq!(values(&converted, &tensor.name), values(original.as_ref(), &tensor.name), "{}", tensor.name);
        }
        let network = &conversion.report().network;
        assert_eq!((network.task, network.rows, network.cols, network.classes), (task, rows, rows, classes));
        assert!(network.complete);
        // The tiny classification network collects one spectral feature less than the real ones.
        let missing: Vec<_> = conversion.report().of(Status::Missing).map(|tensor| tensor.name.as_str()).collect();
        assert!(
            missing.iter().all(|name| name.starts_with("spec_encoder.conv_") && name.contains(".3.")),
            "{missing:?}"
        );
    }
}
