//! Model files: the same map after saving and opening, and nothing but an error from a broken one.

use std::collections::BTreeMap;
use std::rc::Rc;

use burn::tensor::{Device, read_sync};
use proptest::prelude::*;
use sigmascope::preprocess::Projection;
use sigmascope::scene::{Format, Interleave, Kind, MemorySource, SampleType, SceneInfo, SharedSource};
use sigmascope::train::{Description, Mapper, TrainConfig, TrainedModel, TrainingReport};
use sigmascope::weights::{Checkpoint, Conversion, ConversionOptions, Pretrained, Quantization};

use crate::fields::{CLASSES, COMPONENTS, Fields, classes, config, trained, trainer};

pub fn projection() -> Projection {
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

pub fn info(bands: usize) -> SceneInfo {
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
        fwhm_nm: None,
        band_names: None,
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
    assert_eq!(map(&opened, &scene), map(&model, &scene));
    // Smaller and larger than the tile that the network was built for, in either direction.
    for (rows, cols) in [(3, 5), (90, 7), (33, 61)] {
        let labels = map(&opened, &Fields::new(rows, cols));
        assert!(labels.iter().all(|label| (1..=CLASSES as u8).contains(label)), "{rows} × {cols}");
    }
}

fn map(model: &TrainedModel, scene: &Fields) -> Vec<u8> {
    let mut map = scene.empty_map();
    let network = model.network(&Device::flex()).unwrap();
    let mut mapper = Mapper::new(network, scene.rows, scene.cols, model.config(), &Device::flex()).unwrap();
    read_sync(mapper.run(scene, &mut map)).unwrap();
    map.labels
}

/// As `sigmascope convert` writes it.
fn converted(source: SharedSource, quantization: Quantization) -> Rc<Pretrained> {
    let options = ConversionOptions { quantization, ..Default::default() };
    let mut conversion = Conversion::new(Checkpoint::open(&[source], None).unwrap(), &options).unwrap();
    let mut bytes = Vec::new();
    while conversion.step(&mut bytes).unwrap().is_some() {}
    Rc::new(Pretrained::open(Rc::new(MemorySource::new("fields.gguf", bytes))).unwrap())
}

#[test]
fn a_converted_model_maps_without_a_training() {
    let (scene, config) = (Fields::new(30, 26), config());
    let model = model(&scene, &config);
    let file: SharedSource = Rc::new(MemorySource::new("fields.safetensors", model.to_bytes().unwrap()));
    let expected = map(&model, &scene);
    for (quantization, most) in [(Quantization::F32, 0), (Quantization::Q8_0, 8)] {
        let whole = TrainedModel::of_weights(converted(file.clone(), quantization)).unwrap();
        assert!(whole.projection() == model.projection() && whole.classes() == model.classes());
        assert_eq!((whole.config(), &whole.description().report), (model.config(), &model.description().report));
        assert_eq!(whole.info().parameters, model.info().parameters);
        let differing = map(&whole, &scene).iter().zip(&expected).filter(|(found, expected)| found != expected).count();
        assert!(differing <= most, "{differing} pixels differ in {quantization:?}");
        let error = whole.to_bytes().unwrap_err().to_string();
        assert!(error.contains("fields.gguf"), "{error}");
    }
}

#[test]
fn what_cannot_map_by_itself_says_what_it_lacks() {
    let (scene, config) = (Fields::new(30, 26), TrainConfig { epochs: 2, ..config() });
    let model = model(&scene, &config);
    let refused = |bytes: Vec<u8>| {
        let file = converted(Rc::new(MemorySource::new("some.safetensors", bytes)), Quantization::F32);
        TrainedModel::of_weights(file).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let file = |keep: fn(&str) -> bool, description: bool| {
        let bytes = model.to_bytes().unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let kept = file.iter().filter(|(name, _)| keep(name));
        safetensors::serialize(kept, header.metadata().clone().filter(|_| description)).unwrap()
    };
    assert_eq!(refused(file(|_| true, true)), "");
    let error = refused(file(|name| !name.starts_with("cls."), true));
    assert!(error.contains("lacks cls.weight"), "{error}");
    // An official fine-tuned checkpoint: tensors and nothing else.
    let error = refused(file(|_| true, false));
    assert!(error.contains("how spectra become components"), "{error}");
    let error = refused(file(|name| name.contains(".blocks."), false));
    assert!(error.contains("without a head"), "{error}");
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
        ("not of which weights", |d| d.adapter = true),
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
