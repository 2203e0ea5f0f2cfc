//! Memory and time of training ViT-B on the CPU, everything or LoRA over frozen Q8_0, as JSON lines:
//! `cargo bench --profile dev --bench tuning [part of a case's name]`. The machine needs 8 GB.
//!
//! `step_…`: one whole step, tile 128 × 128, patch 8. `gradients_…`: only the gradients, with patch 4 too, on one tape, on
//! burn's checkpointing tape, and block by block.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData, read_sync};
use sigmascope::labels::{LabelledPixel, Split};
use sigmascope::model::{Config, HyperSigma, Pass, Task, formula};
use sigmascope::preprocess::{PreprocessError, Projected};
use sigmascope::scene::MemorySource;
use sigmascope::train::{Lora, ModelSize, ProjectedScene, Start, TrainConfig, Trainer, TrainingData, Tuning};
use sigmascope::weights::{Checkpoint, Conversion, ConversionOptions, Pretrained, Quantization};

const SIDE: usize = 128;
const COMPONENTS: usize = 20;
const CLASSES: usize = 9;

/// Counts what all threads hold.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(HELD.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `alloc` above, which is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Noise with labels on a lattice.
struct Scene;

impl ProjectedScene for Scene {
    fn size(&self) -> (usize, usize) {
        (SIDE, SIDE)
    }

    fn read(&self, rows: Range<usize>, cols: Range<usize>) -> Result<Projected, PreprocessError> {
        let (rows, cols) = (rows.len(), cols.len());
        let values = formula::input(COMPONENTS * rows * cols);
        Ok(Projected { values, mask: vec![true; rows * cols], components: COMPONENTS, rows, cols })
    }
}

fn split() -> Split {
    let pixel = |at: usize| LabelledPixel { index: (at * 97 % (SIDE * SIDE)) as u32, class: (at % CLASSES) as u8 + 1 };
    let mut train: Vec<_> = (0..150).map(pixel).collect();
    train.sort();
    Split { train, ..Split::default() }
}

/// Encoders of ViT-B with random weights as a GGUF file.
fn base() -> Rc<Pretrained> {
    let shape = Config::base(Task::Segmentation, [SIDE, SIDE], COMPONENTS, CLASSES);
    let network = HyperSigma::fresh(&shape, 1, &Device::flex()).expect("a preset");
    let values = read_sync(network.values()).expect("the CPU does not fail");
    let pretrained = |name: &str| {
        let fresh = ["sampling_offsets", "fpn", "l1.weight"].iter().any(|part| name.contains(part));
        name.contains("_encoder.") && !fresh
    };
    let kept = values.iter().filter(|tensor| pretrained(&tensor.name)).map(|tensor| (tensor.name.as_str(), tensor));
    let bytes = safetensors::serialize(kept, None).expect("safetensors");
    let source = Rc::new(MemorySource::new("base.safetensors", bytes));
    let options = ConversionOptions { quantization: Quantization::Q8_0, ..ConversionOptions::default() };
    let mut conversion =
        Conversion::new(Checkpoint::open(&[source], None).expect("encoders"), &options).expect("a plan");
    let mut bytes = Vec::new();
    while conversion.step(&mut bytes).expect("memory does not fail").is_some() {}
    Rc::new(Pretrained::open(Rc::new(MemorySource::new("base.gguf", bytes))).expect("what was just written"))
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let pretrained = base();
    let lora = Tuning::Lora(Lora::default());
    for (name, tuning) in [("full", Tuning::Full), ("lora", lora.clone())] {
        for checkpointing in [false, true] {
            let name = format!("step_{name}{}", if checkpointing { "_by_block" } else { "" });
            if name.contains(&wanted) {
                let preset = TrainConfig::preset(ModelSize::Base);
                let config = TrainConfig { tile: SIDE, tuning: tuning.clone(), checkpointing, epochs: 9, ..preset };
                step(&name, config, &pretrained);
            }
        }
    }
    for patch in [8, 4] {
        for method in [Method::Tape, Method::Balanced, Method::ByBlock] {
            let name = format!("gradients_patch_{patch}_{method:?}").to_lowercase();
            if name.contains(&wanted) {
                gradients(&name, patch, method, lora.lora(), &pretrained);
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    Tape,
    Balanced,
    ByBlock,
}

/// Loss and gradients of the adapted network on one tile.
fn gradients(name: &str, patch: usize, method: Method, lora: Option<Lora>, pretrained: &Pretrained) {
    let shape = Config { patch, ..Config::base(Task::Segmentation, [SIDE, SIDE], COMPONENTS, CLASSES) };
    let device = Device::flex().autodiff();
    let device = if method == Method::Balanced { device.gradient_checkpointing() } else { device };
    let mut start = Start::new(Some(pretrained), &shape, lora, 1).expect("a plan");
    let network = HyperSigma::new(&shape, &mut start, &device).expect("a network");
    let x = TensorData::new(formula::input(COMPONENTS * SIDE * SIDE), [1, COMPONENTS, SIDE, SIDE]);
    let x = Tensor::<4>::from_data(x, &device);
    let loss = |logits: Tensor<4>| (logits.clone() * logits).mean();
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let start = Instant::now();
    let pass = &mut Pass::evaluation();
    let gradients = match method {
        Method::ByBlock => network.gradients_by_block(x, pass, loss).1,
        Method::Tape | Method::Balanced => loss(network.forward_with(x, pass)).backward(),
    };
    let (peak, seconds) = (PEAK.load(Relaxed) - before, start.elapsed().as_secs_f64());
    let sum: f32 = read_sync(network.gradients(&gradients)).expect("the CPU does not fail")[0].values.iter().sum();
    println!("{}", serde_json::json!({ "case": name, "peak_mib": mib(peak), "seconds": seconds, "sum": sum }));
}

fn mib(bytes: usize) -> f64 {
    (bytes as f64 / 1048576.0).round()
}

/// One step to create what stays, then one that is measured.
fn step(name: &str, config: TrainConfig, pretrained: &Rc<Pretrained>) {
    let before = HELD.load(Relaxed);
    let mut data = TrainingData::new(&Scene, COMPONENTS, CLASSES, &split(), &config).expect("a plan");
    data.read_all(&Scene).expect("noise is always there");
    let mut trainer = Trainer::starting_from(config, data, &Device::flex(), Some(pretrained)).expect("a trainer");
    let built = HELD.load(Relaxed) - before;
    read_sync(trainer.step()).expect("a step");
    let held = HELD.load(Relaxed) - before;
    PEAK.store(HELD.load(Relaxed), Relaxed);
    let start = Instant::now();
    read_sync(trainer.step()).expect("a step");
    let step_s = start.elapsed().as_secs_f64();
    let peak = PEAK.load(Relaxed) - before;
    let network = trainer.best_network().expect("a network");
    let trained: usize = network.parameters().iter().map(|parameter| parameter.len()).sum();
    let adapters = network.parameters().iter().filter(|parameter| parameter.name.contains("lora_"));
    let adapters: usize = adapters.map(|parameter| parameter.len()).sum();
    let line = serde_json::json!({
        "case": name,
        "parameters": trainer.shape().parameter_count(),
        "trained": trained,
        "adapters": adapters,
        "network_mib": mib(built),
        "between_steps_mib": mib(held),
        "peak_mib": mib(peak),
        "step_s": step_s,
    });
    println!("{line}");
}
