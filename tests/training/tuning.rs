//! Runs that start from weights files: everything trained, or adapters beside frozen weights.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData, read_sync};
use sigmascope::model::{Config, HyperSigma, NamedValues, Task, formula};
use sigmascope::scene::{MemorySource, SharedSource};
use sigmascope::train::{
    ArtifactError, Lora, LoraTargets, ModelSize, TrainConfig, TrainError, TrainedModel, Trainer, TrainingReport, Tuning,
};
use sigmascope::weights::{Checkpoint, Conversion, ConversionOptions, Pretrained, Quantization, Status};

use crate::fields::{CLASSES, COMPONENTS, Fields, classes, config, data, trained, weights};
use crate::files::{info, projection};

fn source(name: &str, bytes: Vec<u8>) -> SharedSource {
    Rc::new(MemorySource::new(name, bytes))
}

pub fn open(name: &str, bytes: &[u8]) -> Rc<Pretrained> {
    Rc::new(Pretrained::open(source(name, bytes.to_vec())).unwrap())
}

/// Encoders as safetensors, as the official pre-training has them: no sampling offsets, no pyramid, nothing of the head.
pub fn encoders(seed: u64) -> Vec<u8> {
    let shape = Config::nano(Task::Segmentation, [32, 32], COMPONENTS, CLASSES);
    let network = HyperSigma::fresh(&shape, seed, &Device::flex()).unwrap();
    let values = read_sync(network.values()).unwrap();
    let lacks = |name: &str| ["sampling_offsets", "fpn", "l1"].iter().any(|part| name.contains(part));
    let kept = values.iter().filter(|tensor| tensor.name.contains("_encoder.") && !lacks(&tensor.name));
    safetensors::serialize(kept.map(|tensor| (tensor.name.as_str(), tensor)), None).unwrap()
}

pub fn gguf(safetensors: Vec<u8>, quantization: Quantization) -> Vec<u8> {
    let checkpoint = Checkpoint::open(&[source("encoders.safetensors", safetensors)], None).unwrap();
    let options = ConversionOptions { quantization, ..ConversionOptions::default() };
    let mut conversion = Conversion::new(checkpoint, &options).unwrap();
    let mut bytes = Vec::new();
    while conversion.step(&mut bytes).unwrap().is_some() {}
    bytes
}

fn nano() -> TrainConfig {
    TrainConfig { size: ModelSize::Nano, epochs: 8, warmup_epochs: 1, keep_best: false, ..config() }
}

fn lora() -> TrainConfig {
    let targets = LoraTargets { fc2: false, ..LoraTargets::default() };
    TrainConfig { tuning: Tuning::Lora(Lora { rank: 4, alpha: 8.0, targets }), checkpointing: true, ..nano() }
}

fn start(config: &TrainConfig, pretrained: &Rc<Pretrained>) -> Trainer {
    let scene = Fields::new(30, 26);
    let data = data(&scene, config, &scene.split(10, 5));
    Trainer::starting_from(config.clone(), data, &Device::flex(), Some(pretrained)).unwrap()
}

/// All parameters of a run's network that no step may change, in the order of a walk.
fn frozen(trainer: &Trainer) -> Vec<Vec<f32>> {
    struct Visitor(HashSet<ParamId>, Vec<Vec<f32>>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if !self.0.contains(&param.id) {
                self.1.push(param.val().into_data().try_to_vec::<f32>().unwrap());
            }
        }
    }
    let network = trainer.best_network().unwrap();
    let mut visitor = Visitor(network.parameters().iter().map(|parameter| parameter.id).collect(), Vec::new());
    network.visit(&mut visitor);
    visitor.1
}

fn named(trainer: &Trainer) -> BTreeMap<String, NamedValues> {
    let values = read_sync(trainer.best_network().unwrap().values()).unwrap();
    values.into_iter().map(|named| (named.name.clone(), named)).collect()
}

fn logits(network: &HyperSigma) -> Vec<f32> {
    let Config { rows, cols, components, .. } = *network.config();
    let shape = [1, components, rows, cols];
    let x = TensorData::new(formula::input(shape.iter().product()), shape);
    network.forward(Tensor::from_data(x, &Device::flex())).into_data().try_to_vec::<f32>().unwrap()
}

fn saved(trainer: &Trainer) -> TrainedModel {
    let report = TrainingReport { split: "lattice".into(), history: trainer.history().to_vec(), best_epoch: 1 };
    read_sync(TrainedModel::new(trainer, projection(), classes(), &info(9), report)).unwrap()
}

#[test]
fn a_gguf_file_and_the_safetensors_it_was_made_of_start_the_same_run() {
    let original = encoders(5);
    let [a, b] = [open("a.safetensors", &original), open("a.gguf", &gguf(original, Quantization::F32))];
    let (mut from_safetensors, mut from_gguf) = (start(&nano(), &a), start(&nano(), &b));
    let shape = from_gguf.shape().clone();
    assert_eq!(&shape, from_safetensors.shape());

    // What the official procedure takes is the file's; all else is that of a fresh network.
    let fresh = HyperSigma::fresh(&shape, nano().seed, &Device::flex()).unwrap();
    let fresh = read_sync(fresh.values()).unwrap();
    let report = b.report(&shape).unwrap();
    let taken: HashSet<_> = report.of(Status::Matched).map(|tensor| tensor.name.clone()).collect();
    let own = named(&from_gguf);
    assert_eq!(own.len(), fresh.len());
    for expected in fresh {
        let same = own[&expected.name].values == expected.values;
        let constant = expected.name.ends_with(".bias") || expected.name.contains("norm");
        assert!(same != taken.contains(&expected.name) || constant, "{}", expected.name);
    }
    assert!(taken.contains("spat_encoder.blocks.3.mlp.fc2.weight") && taken.contains("spec_encoder.pos_embed"));
    assert!(!taken.contains("spat_encoder.pos_embed") && !taken.contains("cls.weight"));

    assert!(trained(&mut from_gguf, 2) == trained(&mut from_safetensors, 2));
}

#[test]
fn lora_learns_and_leaves_the_weights_as_they_are() {
    for quantization in [Quantization::Q8_0, Quantization::Q4_0, Quantization::F32] {
        let base = open("base.gguf", &gguf(encoders(5), quantization));
        let mut trainer = start(&lora(), &base);
        let before = frozen(&trainer);
        let untouched = named(&trainer);
        let (losses, _) = trained(&mut trainer, 8);
        assert!(losses[7] < 0.8 * losses[0], "{losses:?}");
        assert!(frozen(&trainer) == before);

        // Norms and biases of the blocks stay; offsets, which the file lacks, and all outside the blocks are trained.
        assert_eq!(before.len(), (4 + 1) * (4 + 4));
        let after = named(&trainer);
        for name in [
            "spat_encoder.pos_embed",
            "spat_encoder.patch_embed.proj.weight",
            "spec_encoder.spat_map.weight",
            "spat_encoder.blocks.0.attn.sampling_offsets.weight",
            "spat_encoder.blocks.0.attn.qkv.lora_A.weight",
            "spat_encoder.blocks.3.attn.qkv.lora_B.weight",
            "spec_encoder.blocks.0.mlp.fc1.lora_A.weight",
            "fc_spec1.0.weight",
            "cls.bias",
        ] {
            assert!(after[name].values != untouched[name].values, "{name}");
        }
        assert!(after.keys().all(|name| !name.contains("fc2") && !name.contains("norm")));
        assert!(after.keys().all(|name| !name.ends_with("qkv.weight") && !name.ends_with("qkv.bias")));
        assert!(untouched["spat_encoder.blocks.0.attn.qkv.lora_B.weight"].values.iter().all(|value| *value == 0.0));

        // Weights, two moments and the average of what is trained, and little else.
        let values: usize = after.values().map(|tensor| tensor.values.len()).sum();
        let bytes = read_sync(trainer.checkpoint()).unwrap().len();
        assert!((16 * values..17 * values).contains(&bytes), "{bytes} bytes for {values} values");
    }
}

#[test]
fn a_resumed_adapter_run_is_the_same_bit_for_bit() {
    let bytes = gguf(encoders(5), Quantization::Q8_0);
    let base = open("base.gguf", &bytes);
    let mut whole = start(&lora(), &base);
    let expected = trained(&mut whole, 6);

    let mut first = start(&lora(), &base);
    trained(&mut first, 2);
    let checkpoint = read_sync(first.checkpoint()).unwrap();
    let mut second = start(&lora(), &open("renamed.gguf", &bytes));
    second.resume(&checkpoint).unwrap();
    assert!(trained(&mut second, 4) == expected);

    let other = open("base.gguf", &gguf(encoders(6), Quantization::Q8_0));
    let error = start(&lora(), &other).resume(&checkpoint).unwrap_err().to_string();
    assert!(error.contains("other weights"), "{error}");
}

#[test]
fn computing_blocks_again_changes_no_run() {
    let base = open("base.gguf", &gguf(encoders(5), Quantization::F32));
    let run = |tuning: &Tuning, checkpointing| {
        let config = TrainConfig { tuning: tuning.clone(), checkpointing, ..nano() };
        trained(&mut start(&config, &base), 2)
    };
    for tuning in [Tuning::Full, lora().tuning] {
        let (kept, again) = (run(&tuning, false), run(&tuning, true));
        let off = kept.1.iter().zip(&again.1).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= 1e-5, "{off}");
        assert!((kept.0[1] - again.0[1]).abs() <= 1e-5, "{:?} {:?}", kept.0, again.0);
    }
}

#[test]
fn adapters_learn_the_same_on_a_gpu() {
    let Some(gpu) = crate::gpu::device() else { return };
    let scene = Fields::new(14, 13);
    let base = open("base.gguf", &gguf(encoders(5), Quantization::Q8_0));
    let config = TrainConfig { tile: 16, epochs: 3, validate_every: 3, ..lora() };
    let run = |device: &Device| {
        let data = data(&scene, &config, &scene.split(4, 2));
        let mut trainer = Trainer::starting_from(config.clone(), data, device, Some(&base)).unwrap();
        trained(&mut trainer, 3).0
    };
    let (cpu, gpu) = (run(&Device::flex()), run(&gpu));
    assert_eq!(cpu.len(), 3);
    for (cpu, gpu) in cpu.iter().zip(&gpu) {
        assert!((cpu - gpu).abs() < 2e-3 * cpu.abs(), "{cpu} {gpu}");
    }
}

#[test]
fn adapters_are_saved_opened_and_merged() {
    let bytes = gguf(encoders(5), Quantization::Q8_0);
    let base = open("base.gguf", &bytes);
    let mut trainer = start(&lora(), &base);
    trained(&mut trainer, 4);
    let model = saved(&trainer);
    let expected = logits(&trainer.best_network().unwrap());
    assert!(logits(&model.network(&Device::flex()).unwrap()) == expected);
    let info = model.info();
    assert!(info.adapter);
    assert_eq!(info.base.as_ref().map(|base| base.name.as_str()), Some("base.gguf"));
    assert_eq!(info.trained as usize, weights(&trainer).len());
    let takes = base.plan(trainer.shape()).unwrap().takes;
    let taken = |name: &str| takes.iter().any(|take| take.name == name);
    assert_eq!(info.trained as usize, lora().tuning.trained(trainer.shape(), taken));
    assert!(info.trained < info.parameters);

    // The file is nothing without its base, and says which one it wants.
    let file = model.to_bytes().unwrap();
    let opened = TrainedModel::from_bytes(&file).unwrap();
    let hash = base.sha256().unwrap();
    let error = opened.network(&Device::flex()).unwrap_err().to_string();
    assert!(error.contains("base.gguf") && error.contains(&hash), "{error}");
    assert!(matches!(opened.merged(), Err(ArtifactError::BaseMissing(_))));
    assert_eq!(opened.missing_base().map(|base| &base.sha256), Some(&hash));
    let other = open("other.gguf", &gguf(encoders(6), Quantization::Q8_0));
    let error = opened.clone().with_base(other).err().unwrap().to_string();
    assert!(error.contains("base.gguf") && error.contains(&hash) && error.contains("other.gguf"), "{error}");
    let opened = opened.with_base(open("renamed.gguf", &bytes)).unwrap();
    assert!(opened.missing_base().is_none());
    assert!(logits(&opened.network(&Device::flex()).unwrap()) == expected);
    assert!(opened.to_bytes().unwrap() == file);
    let error = Pretrained::open(source("adapter.safetensors", file)).err().unwrap().to_string();
    assert!(error.contains("adapter"), "{error}");

    // Merged, it is a model like any other.
    let merged = opened.merged().unwrap();
    let size = merged.bytes();
    let merged: Vec<u8> = merged.map(Result::unwrap).collect::<Vec<_>>().concat();
    assert_eq!(merged.len() as u64, size);
    let whole = TrainedModel::from_bytes(&merged).unwrap();
    assert_eq!((whole.info().adapter, whole.info().trained), (false, whole.info().parameters));
    let found = logits(&whole.network(&Device::flex()).unwrap());
    let scale = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off <= 1e-5 * scale.max(1.0), "{off} of {scale}");
    assert!(whole.merged().unwrap().map(Result::unwrap).collect::<Vec<_>>().concat() == merged);
    let merged = open("merged.safetensors", &merged);
    assert_eq!(merged.description().classes, classes());
    let mut config = TrainConfig::preset(ModelSize::Base);
    config.adopt(&merged);
    assert_eq!((config.size, config.components, config.input), (ModelSize::Nano, COMPONENTS, nano().input));
    assert_ne!(config.input, TrainConfig::preset(ModelSize::Base).input);
}

#[test]
fn what_does_not_fit_is_refused() {
    let base = open("base.gguf", &gguf(encoders(5), Quantization::Q8_0));
    let scene = Fields::new(30, 26);
    let data = |config: &TrainConfig| data(&scene, config, &scene.split(10, 5));
    let config = lora();
    let without = Trainer::new(config.clone(), data(&config), &Device::flex());
    assert!(matches!(without, Err(TrainError::NothingToAdapt)));
    let rank = TrainConfig { tuning: Tuning::Lora(Lora { rank: 0, ..Lora::default() }), ..nano() };
    let rank = Trainer::starting_from(rank, data(&config), &Device::flex(), Some(&base));
    assert!(rank.err().unwrap().to_string().contains("tuning.lora.rank"));

    // A configuration learns from the weights what it must share with them.
    let mut config = TrainConfig { size: ModelSize::Base, width: Some(99), patch: None, ..nano() };
    config.adopt(&base);
    assert_eq!((config.size, config.width, config.patch), (ModelSize::Nano, None, Some(2)));
    assert_eq!(config.components, COMPONENTS);
}
