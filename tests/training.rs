//! Training, mapping and model files on the CPU, on small scenes made here.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use burn::tensor::{Device, read_sync};
use proptest::prelude::*;
use sigmascope::labels::{Accuracy, Class, LabelMap, LabelledPixel, Split, random_split};
use sigmascope::preprocess::{PreprocessError, Projected, Projection, fit_projection};
use sigmascope::scene::{Cube, Format, Interleave, Kind, SampleType, SceneInfo, TEACHING_CLASSES, TeachingScene};
use sigmascope::train::{
    Augmentation, CubeView, Description, L2, Mapper, ModelSize, ProjectedScene, TrainConfig, TrainError, TrainedModel,
    Trainer, TrainingData, TrainingReport,
};

const CLASSES: usize = 4;
const COMPONENTS: usize = 6;

/// Fields of four crops: every class has a spectrum, every pixel its own noise, and neighbouring fields mix a little.
struct Fields {
    rows: usize,
    cols: usize,
    /// Pixels without data.
    holes: Vec<(usize, usize)>,
}

impl Fields {
    fn new(rows: usize, cols: usize) -> Self {
        Self { rows, cols, holes: Vec::new() }
    }

    fn class(&self, row: usize, col: usize) -> usize {
        (row / 9 * 3 + col / 7 * 5 + (row / 9) * (col / 7)) % CLASSES
    }

    /// Uniform in -1..1, the same for the same pixel and component (SplitMix64).
    fn noise(row: usize, col: usize, component: usize) -> f32 {
        let mut z = ((row as u64) << 40 | (col as u64) << 20 | component as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn value(&self, row: usize, col: usize, component: usize) -> f32 {
        let spectrum = Self::noise(1000 + self.class(row, col), 7, component);
        spectrum + 0.8 * Self::noise(row, col, component)
    }

    /// `train` and `val` pixels a class on a regular lattice, everything else tests.
    fn split(&self, train: usize, val: usize) -> Split {
        let mut split = Split { name: "lattice".into(), ..Split::default() };
        let mut seen = [0usize; CLASSES];
        let pixels = self.rows * self.cols;
        // A stride that shares no factor with the number of pixels visits all of them, far apart.
        let stride = (pixels * 5 / 8..).find(|stride| gcd(*stride, pixels) == 1).unwrap();
        for step in 0..pixels {
            let index = step * stride % pixels;
            let class = self.class(index / self.cols, index % self.cols);
            let pixel = LabelledPixel { index: index as u32, class: class as u8 + 1 };
            seen[class] += 1;
            match seen[class] {
                n if n <= train => split.train.push(pixel),
                n if n <= train + val => split.val.push(pixel),
                _ => split.test.push(pixel),
            }
        }
        for list in [&mut split.train, &mut split.val, &mut split.test] {
            list.sort();
        }
        split
    }

    fn empty_map(&self) -> LabelMap {
        LabelMap { rows: self.rows, cols: self.cols, labels: vec![0; self.rows * self.cols], classes: classes() }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl ProjectedScene for Fields {
    fn size(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    fn read(&self, rows: Range<usize>, cols: Range<usize>) -> Result<Projected, PreprocessError> {
        let pixels = || rows.clone().flat_map(|row| cols.clone().map(move |col| (row, col)));
        let mask: Vec<bool> = pixels().map(|pixel| !self.holes.contains(&pixel)).collect();
        let mut values = Vec::new();
        for component in 0..COMPONENTS {
            values.extend(pixels().zip(&mask).map(
                |((row, col), data)| {
                    if *data { self.value(row, col, component) } else { 0.0 }
                },
            ));
        }
        Ok(Projected { values, mask, components: COMPONENTS, rows: rows.len(), cols: cols.len() })
    }
}

fn classes() -> Vec<Class> {
    (1..=CLASSES).map(|class| Class { name: format!("crop {class}"), color: [class as u8; 3] }).collect()
}

fn config() -> TrainConfig {
    TrainConfig {
        size: ModelSize::Tiny,
        patch: Some(2),
        components: COMPONENTS,
        tile: 48,
        tile_overlap: 8,
        epochs: 40,
        learning_rate: 3e-3,
        warmup_epochs: 4,
        validate_every: 10,
        drop_path: 0.1,
        test_time_augmentation: false,
        test_time_shifts: 1,
        seed: 11,
        augmentation: Augmentation { jitter: 2, ..Augmentation::default() },
        ..TrainConfig::default()
    }
}

fn data(scene: &Fields, config: &TrainConfig, split: &Split) -> TrainingData {
    let mut data = TrainingData::new(scene, COMPONENTS, CLASSES, split, config).unwrap();
    data.read_all(scene).unwrap();
    data
}

fn trainer_on(scene: &Fields, config: &TrainConfig, split: &Split) -> Trainer {
    Trainer::new(config.clone(), data(scene, config, split), &Device::flex()).unwrap()
}

fn trainer(scene: &Fields, config: &TrainConfig) -> Trainer {
    trainer_on(scene, config, &scene.split(10, 5))
}

/// Losses of the epochs and the weights at the end.
fn trained(trainer: &mut Trainer, epochs: usize) -> (Vec<f32>, Vec<f32>) {
    for _ in 0..epochs {
        read_sync(trainer.epoch()).unwrap();
    }
    (trainer.history().iter().map(|report| report.loss).collect(), weights(trainer))
}

fn weights(trainer: &Trainer) -> Vec<f32> {
    let values = read_sync(trainer.best_network().unwrap().values()).unwrap();
    values.into_iter().flat_map(|named| named.values).collect()
}

fn map(trainer: &Trainer, scene: &Fields, config: &TrainConfig) -> LabelMap {
    let mut map = scene.empty_map();
    let network = trainer.best_network().unwrap();
    let mut mapper = Mapper::new(network, scene.rows, scene.cols, config, &Device::flex()).unwrap();
    read_sync(mapper.run(scene, &mut map)).unwrap();
    map
}

fn overall(map: &LabelMap, test: &[LabelledPixel]) -> f64 {
    Accuracy::of_map(&map.labels, test, CLASSES).unwrap().overall
}

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
fn tiles_meet_without_seams_and_masked_pixels_are_unlabelled() {
    let mut scene = Fields::new(70, 66);
    scene.holes = vec![(0, 0), (35, 40), (69, 65)];
    let config = TrainConfig { tile: 32, tile_overlap: 12, epochs: 15, ..config() };
    let split = scene.split(10, 5);
    let mut trainer = trainer(&scene, &config);
    assert!(trainer.steps().1 >= 9, "the scene has several tiles");
    trained(&mut trainer, 15);
    let mut mapper = Mapper::new(trainer.best_network().unwrap(), 70, 66, &config, &Device::flex()).unwrap();
    let mut finished = vec![0; 70 * 66];
    let mut map = scene.empty_map();
    while !mapper.finished() {
        let Some(block) = read_sync(mapper.step(&scene)).unwrap() else { continue };
        block.write(&mut map);
        if block.finished {
            for row in block.rows.clone() {
                for col in block.cols.clone() {
                    finished[row * 66 + col] += 1;
                }
            }
        }
    }
    assert!(finished.iter().all(|times| *times == 1), "every pixel is finished once");
    for row in 0..70 {
        for col in 0..66 {
            assert_eq!(map.labels[row * 66 + col] == 0, scene.holes.contains(&(row, col)), "{row} {col}");
        }
    }
    let (done, all) = mapper.progress();
    assert_eq!(done, all);
    // Along the tiles' borders the map is as right as elsewhere.
    assert!(overall(&map, &split.test) > 0.75, "{}", overall(&map, &split.test));
}

#[test]
fn averaging_over_views_does_not_harm() {
    let (scene, config) = (Fields::new(42, 40), TrainConfig { epochs: 25, ..config() });
    let mut trainer = trainer(&scene, &config);
    trained(&mut trainer, 25);
    let test = scene.split(10, 5).test;
    let once = overall(&map(&trainer, &scene, &config), &test);
    let views = TrainConfig { test_time_augmentation: true, test_time_shifts: 3, ..config };
    let averaged = overall(&map(&trainer, &scene, &views), &test);
    assert!(averaged > once - 0.02, "{once} {averaged}");
}

fn projection() -> Projection {
    Projection {
        scene_bands: 9,
        bands: (0..9).collect(),
        wavelengths_nm: Some((0..9).map(|band| 400.0 + 50.0 * band as f64).collect()),
        scaling: None,
        mean: (1..10).map(|band| 1.0 / f64::from(band)).collect(),
        components: (0..9 * COMPONENTS).map(|value| value as f64 / 54.0).collect(),
        variance: vec![1.0; COMPONENTS],
        divisor: vec![1.0; COMPONENTS],
        total_variance: 9.0,
        pixels: 780,
    }
}

fn model(scene: &Fields, config: &TrainConfig) -> TrainedModel {
    let mut trainer = trainer(scene, config);
    trained(&mut trainer, 2);
    let report = TrainingReport { split: "lattice".into(), history: trainer.history().to_vec(), best_epoch: 2 };
    read_sync(TrainedModel::new(&trainer, projection(), classes(), &info(9), report)).unwrap()
}

fn info(bands: usize) -> SceneInfo {
    SceneInfo {
        name: "fields".into(),
        format: Format::Teaching,
        variable: None,
        rows: 30,
        cols: 26,
        bands,
        dtype: SampleType::F32,
        interleave: Interleave::Bip,
        wavelengths_nm: None,
        nodata: None,
        good_bands: vec![true; bands],
        kind: Kind::Cube,
        class_names: None,
        class_colors: None,
        geo: None,
        notes: Vec::new(),
    }
}

#[test]
fn a_model_file_gives_the_same_map_and_fits_other_scenes() {
    let (scene, config) = (Fields::new(30, 26), config());
    let model = model(&scene, &config);
    let opened = TrainedModel::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert!(opened.projection() == model.projection(), "the projection is exact");
    assert!(opened.to_bytes().unwrap() == model.to_bytes().unwrap());
    assert_eq!((opened.info().bands, opened.info().scene.as_str()), (9, "fields"));
    assert!(opened.info().parameters > 10_000);
    assert!(opened.check_scene(&info(9)).is_ok());
    let error = opened.check_scene(&info(12)).unwrap_err().to_string();
    assert!(error.contains("12 bands") && error.contains('9'), "{error}");
    let map = |model: &TrainedModel, scene: &Fields| {
        let mut map = scene.empty_map();
        let mut mapper =
            Mapper::new(model.network(&Device::flex()).unwrap(), scene.rows, scene.cols, &config, &Device::flex())
                .unwrap();
        read_sync(mapper.run(scene, &mut map)).unwrap();
        map.labels
    };
    assert_eq!(map(&opened, &scene), map(&model, &scene));
    // Smaller and larger than the tile that the network was built for, in either direction.
    for (rows, cols) in [(3, 5), (90, 7), (33, 61)] {
        let labels = map(&opened, &Fields::new(rows, cols));
        assert!(labels.iter().all(|label| (1..=CLASSES as u8).contains(label)), "{rows} × {cols}");
    }
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

#[test]
fn contradictions_in_a_model_file_are_found() {
    let (scene, config) = (Fields::new(30, 26), TrainConfig { epochs: 2, ..config() });
    let model = model(&scene, &config);
    let spoil: BTreeMap<&str, fn(&mut Description)> = BTreeMap::from([
        ("version", (|d| d.format = 99) as fn(&mut Description)),
        ("classes", |d| d.classes.truncate(2)),
        ("components", |d| d.projection.divisor.truncate(2)),
        ("do not fit", |d| d.projection.mean.truncate(2)),
        ("do not fit together", |d| d.projection.bands[0] = 99),
        ("finite", |d| d.projection.divisor[0] = 0.0),
        ("learning_rate", |d| d.config.learning_rate = 0.0),
        ("none that is trained here", |d| d.shape.rows = 1 << 40),
        ("bytes", |d| d.shape.embed_dim = 4800),
        ("patch", |d| d.shape.patch = 3),
        ("nothing", |_| ()),
    ]);
    for (expected, spoil) in spoil {
        let mut description = model.description().clone();
        spoil(&mut description);
        // Written past our own checks, as a foreign or damaged file would be.
        let bytes = rewritten(&model, &description);
        let result = TrainedModel::from_bytes(&bytes);
        if expected == "nothing" {
            assert!(result.is_ok());
        } else {
            let error = result.err().unwrap_or_else(|| panic!("{expected} was not noticed")).to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}

/// The model's file with another description in its header.
fn rewritten(model: &TrainedModel, description: &Description) -> Vec<u8> {
    let bytes = model.to_bytes().unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let json = serde_json::to_string(description).unwrap(); // plain numbers are read as well
    safetensors::serialize(file.iter(), Some([("sigmascope".to_owned(), json)].into())).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes, the answer is an error or a model, never a panic.
    #[test]
    fn broken_model_files_never_panic(at in 0usize..20_000, with in any::<u8>(), keep in 0usize..40_000, cut in any::<bool>()) {
        let mut bytes = model_bytes().to_vec();
        if cut {
            bytes.truncate(keep);
        } else {
            let at = at % bytes.len();
            bytes[at] = with;
        }
        if let Err(error) = TrainedModel::from_bytes(&bytes) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

fn model_bytes() -> &'static [u8] {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| model(&Fields::new(30, 26), &config()).to_bytes().unwrap())
}

/// From a cube to figures, as the page and `sigmascope evaluate` do it.
#[test]
fn the_teaching_scene_is_mapped_from_ten_labels_a_class() {
    let cube = TeachingScene::new(1);
    let (rows, cols) = (cube.info().rows, cube.info().cols);
    let classes = TEACHING_CLASSES.iter().map(|(name, color)| Class { name: (*name).into(), color: *color }).collect();
    let labels = LabelMap { rows, cols, labels: cube.truth().to_vec(), classes };
    let config = TrainConfig {
        size: ModelSize::Tiny,
        patch: Some(4),
        components: 12,
        epochs: 40,
        warmup_epochs: 4,
        test_time_shifts: 1,
        test_time_augmentation: false,
        ..TrainConfig::default()
    };
    let projection = fit_projection(&cube, &config.projection(), &mut |_, _| ControlFlow::Continue(())).unwrap();
    let view = CubeView { cube: &cube, projection: &projection };
    let split = random_split(&labels, 10, 5, 0).unwrap();
    let classes = labels.classes.len();
    let mut data = TrainingData::new(&view, projection.len(), classes, &split, &config).unwrap();
    data.read_all(&view).unwrap();
    let mut trainer = Trainer::new(config.clone(), data, &Device::flex()).unwrap();
    while read_sync(trainer.epoch()).unwrap().is_some() {}
    let mut map = LabelMap { labels: vec![0; labels.labels.len()], ..labels.clone() };
    let mut mapper =
        Mapper::new(trainer.best_network().unwrap(), map.rows, map.cols, &config, &Device::flex()).unwrap();
    read_sync(mapper.run(&view, &mut map)).unwrap();
    let accuracy = Accuracy::of_map(&map.labels, &split.test, classes).unwrap();
    println!("teaching scene: OA {:.3}, AA {:.3}, kappa {:.3}", accuracy.overall, accuracy.average, accuracy.kappa);
    assert!(accuracy.overall > 0.8 && accuracy.average > 0.8, "{} {}", accuracy.overall, accuracy.average);
}
