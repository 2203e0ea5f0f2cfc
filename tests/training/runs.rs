//! Runs: they learn, repeat, resume, stop, and refuse what cannot be learned.

use burn::tensor::{Device, read_sync};
use sigmascope::labels::{LabelledPixel, Split};
use sigmascope::train::{L2, TrainConfig, TrainError, Trainer, TrainingData};

use crate::fields::{CLASSES, COMPONENTS, Fields, config, data, map, overall, trained, trainer, trainer_on};

#[test]
fn learns_far_above_chance_and_validates_on_the_way() {
    let (scene, config) = (Fields::new(42, 40), config());
    let mut trainer = trainer(&scene, &config);
    let (losses, _) = trained(&mut trainer, config.epochs);
    assert!(trainer.finished());
    assert_eq!(losses.len(), config.epochs);
    assert!(losses[39] < 0.5 * losses[0], "{} → {}", losses[0], losses[39]);
    let validated: Vec<usize> =
        trainer.history().iter().filter(|report| report.validation.is_some()).map(|report| report.epoch).collect();
    assert_eq!(validated, [10, 20, 30, 40]);
    let last = trainer.history()[39].validation.unwrap();
    assert!(last.accuracy > 0.7 && last.loss.is_finite(), "{last:?}");
    // Four classes: chance is a quarter.
    let accuracy = overall(&map(&trainer, &scene, &config), &scene.split(10, 5).test);
    assert!(accuracy > 0.8, "{accuracy}");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let scene = Fields::new(30, 26);
    let run = |seed| trained(&mut trainer(&scene, &TrainConfig { seed, ..config() }), 4);
    let first = run(3);
    assert!(first == run(3));
    let other = run(4);
    assert_ne!(first.0, other.0);
    assert!(first.1 != other.1);
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    let scene = Fields::new(60, 33);
    let config = TrainConfig { tile: 32, epochs: 8, validate_every: 2, keep_best: true, ..config() };
    let mut whole = trainer(&scene, &config);
    assert!(whole.steps().1 > 1, "the scene has several tiles");
    let expected = trained(&mut whole, 8);

    let mut first = trainer(&scene, &config);
    trained(&mut first, 3);
    let bytes = read_sync(first.checkpoint()).unwrap();
    drop(first);
    let mut second = trainer(&scene, &config);
    second.resume(&bytes).unwrap();
    assert_eq!(second.epochs(), (3, 8));
    assert!(trained(&mut second, 5) == expected);
    assert_eq!(second.history(), whole.history());
    assert_eq!(second.best().0, whole.best().0);
}

#[test]
fn a_checkpoint_of_other_labels_or_broken_bytes_is_refused() {
    let (scene, config) = (Fields::new(30, 26), TrainConfig { epochs: 2, ..config() });
    let mut run = trainer(&scene, &config);
    trained(&mut run, 1);
    let bytes = read_sync(run.checkpoint()).unwrap();
    let resume = |bytes: &[u8], train| {
        let mut run = trainer_on(&scene, &config, &scene.split(train, 5));
        run.resume(bytes).err().map(|error| error.to_string())
    };
    let mut other = trainer(&scene, &TrainConfig { seed: 99, ..config.clone() });
    assert!(other.resume(&bytes).unwrap_err().to_string().contains("settings"));
    assert_eq!(resume(&bytes, 10), None);
    assert!(resume(&bytes, 9).unwrap().contains("other labels"));
    assert!(resume(&bytes[..bytes.len() / 2], 10).unwrap().contains("broken"));
    assert!(resume(&[9, 9, 9], 10).unwrap().contains("version"));
    assert!(resume(&[], 10).unwrap().contains("broken"));
}

#[test]
fn early_stopping_keeps_the_best_weights() {
    let scene = Fields::new(30, 26);
    // A rate that rises for ever spoils what was learned early.
    let config =
        TrainConfig { epochs: 60, validate_every: 1, patience: 4, learning_rate: 2e-2, warmup_epochs: 60, ..config() };
    let mut trainer = trainer(&scene, &config);
    while read_sync(trainer.epoch()).unwrap().is_some() {}
    let history = trainer.history();
    assert!(trainer.finished());
    let (best, _) = trainer.best();
    let score = |epoch: usize| history[epoch - 1].validation.unwrap();
    for report in history {
        let (this, kept) = (report.validation.unwrap(), score(best));
        assert!(this.accuracy <= kept.accuracy);
        assert!(this.accuracy < kept.accuracy || this.loss >= kept.loss);
    }
    if history.len() < 60 {
        assert_eq!(history.len(), best + 4);
    }
}

#[test]
fn stopping_leaves_the_newest_weights_to_map_with() {
    let scene = Fields::new(30, 26);
    let mut trainer = trainer(&scene, &config());
    trained(&mut trainer, 2);
    trainer.stop();
    assert!(trainer.finished());
    assert_eq!(read_sync(trainer.epoch()).unwrap(), None);
    assert_eq!(trainer.best().0, 2);
}

#[test]
fn a_regulariser_pulls_the_weights() {
    let scene = Fields::new(30, 26);
    let config = TrainConfig { weight_average: 0.0, clip_norm: 0.0, ..config() };
    let mut plain = trainer(&scene, &config);
    let mut pulled = trainer(&scene, &config);
    pulled.add_regularizer(Box::new(L2 { strength: 1e3 }));
    let norm = |weights: &[f32]| weights.iter().map(|value| value * value).sum::<f32>();
    let (plain, pulled) = (trained(&mut plain, 5).1, trained(&mut pulled, 5).1);
    assert!(norm(&pulled) < norm(&plain), "{} {}", norm(&pulled), norm(&plain));
}

#[test]
fn impossible_runs_are_refused_with_a_reason() {
    let (scene, config) = (Fields::new(30, 26), config());
    let plan = |train: Vec<LabelledPixel>| {
        let split = Split { train, ..Split::default() };
        TrainingData::new(&scene, COMPONENTS, CLASSES, &split, &config).err()
    };
    let pixel = |index, class| LabelledPixel { index, class };
    assert_eq!(plan(vec![pixel(0, 1), pixel(4, 2)]), None);
    assert_eq!(plan(vec![]), Some(TrainError::TooFewClasses { present: 0 }));
    assert_eq!(plan(vec![pixel(0, 1), pixel(4, 1)]), Some(TrainError::TooFewClasses { present: 1 }));
    assert_eq!(plan(vec![pixel(780, 1)]), Some(TrainError::PixelOutside { index: 780, rows: 30, cols: 26 }));
    assert_eq!(plan(vec![pixel(1, 5)]), Some(TrainError::ClassOutside { class: 5, classes: 4 }));
    let broken = TrainConfig { learning_rate: -1.0, ..config.clone() };
    let result = Trainer::new(broken, data(&scene, &config, &scene.split(10, 5)), &Device::flex());
    assert!(matches!(result, Err(TrainError::Config(_))));
    let mut planned = TrainingData::new(&scene, COMPONENTS, CLASSES, &scene.split(10, 5), &config).unwrap();
    assert!(matches!(planned.read_all(&Fields::new(26, 30)), Err(TrainError::OtherScene { .. })));
}

/// The same run on the GPU: nothing on the way reads the device at once, and the numbers agree.
#[test]
fn a_gpu_takes_the_same_steps() {
    let Some(device) = crate::gpu::device() else { return };
    let (scene, config) = (Fields::new(14, 13), TrainConfig { tile: 16, epochs: 3, validate_every: 3, ..config() });
    let run = |device: &Device| {
        let mut trainer = Trainer::new(config.clone(), data(&scene, &config, &scene.split(4, 2)), device).unwrap();
        let (losses, _) = trained(&mut trainer, 3);
        (losses, trainer.history()[2].validation.unwrap())
    };
    let (cpu, gpu) = (run(&Device::flex()), run(&device));
    for (cpu, gpu) in cpu.0.iter().zip(&gpu.0) {
        assert!((cpu - gpu).abs() < 2e-3 * cpu.abs(), "{cpu} {gpu}");
    }
    assert!((cpu.1.loss - gpu.1.loss).abs() < 1e-2 * cpu.1.loss, "{:?} {:?}", cpu.1, gpu.1);
}
