//! Conversions end to end, on networks made here: what is written, what it says about itself, what is refused.

use std::fs;
use std::io::Write;

use serde_json::json;
use sigmascope::labels::Class;
use sigmascope::model::{Config, Task};
use sigmascope::preprocess::{Projection, Scaling};
use sigmascope::scene::SharedSource;
use sigmascope::weights::gguf::{GgufFile, Value};
use sigmascope::weights::{
    Checkpoint, Conversion, ConversionOptions, LoadReport, Origin, OutputError, OutputFile, Quantization, Size, Status,
    Target, TensorFile, TensorType, WeightsError,
};

use super::synthetic::{autoencoder, fine_tuned, numbers, safetensors};
use super::{bytes, finish, values};

fn nano() -> Config {
    Config::nano(Task::Segmentation, [24, 24], 5, 3)
}

fn nano_file(description: Option<String>) -> SharedSource {
    safetensors("nano.safetensors", &fine_tuned(&nano()), description)
}

fn options(quantization: Quantization) -> ConversionOptions {
    ConversionOptions { quantization, ..Default::default() }
}

fn convert(sources: &[SharedSource], options: &ConversionOptions) -> (GgufFile, LoadReport) {
    let mut conversion = Conversion::new(Checkpoint::open(sources, None).unwrap(), options).unwrap();
    let output = finish(&mut conversion).unwrap();
    let file = GgufFile::open(bytes("x.gguf", output)).unwrap();
    assert_eq!(file.description().unwrap().as_ref(), Some(conversion.description()), "the metadata is read back");
    (file, conversion.report().clone())
}

fn refusal(sources: &[SharedSource], options: &ConversionOptions) -> WeightsError {
    let refused = Checkpoint::open(sources, None).and_then(|checkpoint| Conversion::new(checkpoint, options));
    refused.and_then(|mut conversion| finish(&mut conversion).map(drop)).expect_err("it was converted")
}

#[test]
fn large_matrices_are_quantized_and_all_else_is_exact() {
    for quantization in Quantization::ALL {
        let (file, report) = convert(&[nano_file(None)], &options(quantization));
        let kind = quantization.matrices();
        for tensor in file.tensors() {
            let block = tensor.name.contains(".blocks.");
            let matrix = block && tensor.shape.len() == 2 && !tensor.name.contains("sampling_offsets");
            assert_eq!(tensor.kind, if matrix { kind } else { TensorType::F32 }, "{}", tensor.name);
            let (found, expected) = (values(&file, &tensor.name), numbers(&tensor.name, tensor.len()));
            // The numbers are exact in F16 and at most ½.
            let limit = match tensor.kind {
                TensorType::Q8_0 => 0.51 / 127.0 / 2.0,
                TensorType::Q4_0 => 0.51 / 8.0,
                _ => 0.0,
            };
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() <= limit, "{}: {found} {expected}", tensor.name);
            }
            let entry = report.tensors.iter().find(|entry| entry.name == tensor.name).unwrap();
            assert_eq!((entry.status, entry.written), (Status::Matched, Some(tensor.kind)));
        }
        let network = &report.network;
        assert_eq!(network, &nano());
        let written: usize = file.tensors().iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
        assert_eq!(written, network.parameter_count());
        assert_eq!(report.of(Status::Missing).count() + report.of(Status::Unexpected).count(), 0);
        assert_eq!(report.quantization, Some(quantization));
    }
}

#[test]
fn the_report_is_plain_json() {
    let (_, report) = convert(&[nano_file(None)], &options(Quantization::Q4_0));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(serde_json::from_value::<LoadReport>(json.clone()).unwrap(), report);
    assert_eq!(
        (&json["origin"], &json["size"], &json["quantization"]),
        (&json!("fine_tuning"), &json!("nano"), &json!("q4_0"))
    );
    let tensor =
        json["tensors"].as_array().unwrap().iter().find(|tensor| tensor["name"] == "spec_encoder.blocks.1.norm1.bias");
    assert_eq!(
        tensor,
        Some(&json!({
            "name": "spec_encoder.blocks.1.norm1.bias", "status": "left_out", "reason": "it never influences the result",
            "key": "spec_encoder.blocks.1.norm1.bias", "found": [64], "expected": [64], "stored": "f32", "written": null
        }))
    );
    // The binary form that page and worker talk in.
    let packed = postcard::to_allocvec(&report).unwrap();
    assert_eq!(postcard::from_bytes::<LoadReport>(&packed).unwrap(), report);
}

/// A model saved here brings its projection, classes and settings, to the last digit.
#[test]
fn what_a_saved_model_knows_is_kept() {
    let projection = Projection {
        scene_bands: 7,
        bands: vec![0, 1, 3, 4, 5, 6],
        wavelengths_nm: Some((0..7).map(|band| 400.0 + 0.1 * f64::from(band)).collect()),
        pixels: 12_345,
        scaling: Some(Scaling { offset: -0.1, factor: 1.0 / 3.0 }),
        mean: (0..6).map(|i| (1.0 + f64::from(i)).sqrt()).collect(),
        components: (0..30).map(|i| (0.1 + f64::from(i)).ln()).collect(),
        variance: vec![5.0, 4.0, 3.0, 2.0, 1.0 / 7.0],
        divisor: vec![1.0, 2.0, 3.0, 4.0, 5.0],
        total_variance: 0.1 + 0.2,
    };
    let classes: Vec<Class> = ["Mais", "Grünland", "Wald"]
        .iter()
        .zip([[255, 0, 1], [2, 254, 3], [4, 5, 253]])
        .map(|(name, color)| Class { name: (*name).to_owned(), color })
        .collect();
    // Models are saved with fractions as text (src/train/artifact.rs).
    let mut saved = serde_json::to_value(&projection).unwrap();
    fn as_text(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Number(number) if number.is_f64() => *value = number.to_string().into(),
            serde_json::Value::Array(list) => list.iter_mut().for_each(as_text),
            serde_json::Value::Object(fields) => fields.values_mut().for_each(as_text),
            _ => {}
        }
    }
    as_text(&mut saved);
    let description = json!({
        "format": 1, "config": {"size": "nano", "epochs": 7}, "shape": nano(), "projection": saved, "classes": classes,
        "scene": "Feld 3", "report": {"split": "random", "history": [], "best_epoch": 7}
    });
    let options = ConversionOptions {
        license: Some("CC-BY-4.0".into()),
        source_url: Some("https://example.org/model".into()),
        ..options(Quantization::Q8_0)
    };
    let (file, report) = convert(&[nano_file(Some(description.to_string()))], &options);
    assert_eq!((report.origin, report.size.as_deref()), (Origin::FineTuning, Some("nano")));
    let read = file.description().unwrap().unwrap();
    assert_eq!((read.projection.as_ref(), &read.classes), (Some(&projection), &classes));
    let settings: serde_json::Value = serde_json::from_str(read.settings.as_deref().unwrap()).unwrap();
    assert_eq!((&settings["scene"], &settings["config"]["epochs"]), (&json!("Feld 3"), &json!(7)));
    assert_eq!(
        (read.license.as_deref(), read.source_url.as_deref()),
        (Some("CC-BY-4.0"), Some("https://example.org/model"))
    );

    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let metadata = |key: &str| file.metadata().get(key).cloned();
    assert_eq!(metadata("general.architecture"), text("hypersigma"));
    assert_eq!(metadata("general.name"), text("HyperSIGMA Nano, segmentation of 3 classes"));
    assert_eq!(
        metadata("hypersigma.class_names"),
        Some(Value::Texts(vec!["Mais".into(), "Grünland".into(), "Wald".into()]))
    );
    assert_eq!(metadata("hypersigma.class_colors"), Some(Value::U32s(vec![0xff0001, 0x02fe03, 0x0405fd])));
    assert_eq!(metadata("general.alignment"), Some(Value::U32(32)));
    assert_eq!(metadata("general.file_type"), Some(Value::U32(7)));

    // Converted again, nothing of it is lost.
    let mut conversion = Conversion::new(
        Checkpoint::open(&[nano_file(Some(description.to_string()))], None).unwrap(),
        &ConversionOptions { quantization: Quantization::F32, ..options },
    )
    .unwrap();
    let exact = finish(&mut conversion).unwrap();
    let source = bytes("exact.gguf", exact);
    let (again, _) = convert(&[source], &self::options(Quantization::Q8_0));
    let known = again.description().unwrap().unwrap();
    assert_eq!(
        (known.projection, known.classes, known.settings, known.license),
        (read.projection, read.classes, read.settings, read.license)
    );
    for tensor in file.tensors() {
        assert_eq!(values(&again, &tensor.name), values(&file, &tensor.name));
    }
}

#[test]
fn a_shape_without_a_name_needs_a_description() {
    let odd = Config { embed_dim: 32, patch: 1, ..nano() };
    let list = fine_tuned(&odd);
    let error = refusal(&[safetensors("odd.safetensors", &list, None)], &options(Quantization::F32));
    assert!(matches!(error, WeightsError::Size { width: 32, depth: 4, .. }), "{error}");
    let projection = json!({"scene_bands": 5, "bands": [0, 1, 2, 3, 4], "wavelengths_nm": null, "pixels": 9, "scaling": null,
        "mean": [0.0, 0.0, 0.0, 0.0, 0.0], "components": [], "variance": [1.0, 1.0, 1.0, 1.0, 1.0],
        "divisor": [1.0, 1.0, 1.0, 1.0, 1.0], "total_variance": 5.0});
    let description = json!({"shape": odd, "projection": projection, "classes": []}).to_string();
    let (file, report) =
        convert(&[safetensors("odd.safetensors", &list, Some(description))], &options(Quantization::Q8_0));
    assert_eq!((&report.network, report.size), (&odd, None));
    assert_eq!(file.description().unwrap().unwrap().network, odd);

    for broken in [
        "{}".to_owned(),
        "[".to_owned(),
        json!({"shape": Config { depth: 1 << 40, ..odd.clone() }, "projection": projection, "classes": []}).to_string(),
    ] {
        refusal(&[safetensors("odd.safetensors", &list, Some(broken))], &options(Quantization::Q8_0));
    }
    let sizes = |size: &str| {
        let source = [safetensors("nano.safetensors", &fine_tuned(&nano()), None)];
        Checkpoint::open(&source, Size::named(size)).map(|checkpoint| checkpoint.description().size.clone())
    };
    assert_eq!(sizes("nano").unwrap().as_deref(), Some("nano"));
    assert!(matches!(sizes("base"), Err(WeightsError::OtherSize { expected_width: 768, .. })));
}

#[test]
fn a_pair_makes_one_file_for_any_scene() {
    let config = Config::tiny(Task::Segmentation, [64, 64], 100, 1);
    let spatial = safetensors("spat.safetensors", &autoencoder(&config, false), None);
    let spectral = safetensors("spec.safetensors", &autoencoder(&config, true), None);
    let (file, report) = convert(&[spectral.clone(), spatial.clone()], &options(Quantization::F32));
    assert_eq!((report.origin, report.size.as_deref()), (Origin::Pretraining, Some("tiny")));
    assert_eq!(
        report.inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>(),
        ["spat.safetensors", "spec.safetensors"]
    );
    for (name, key) in [
        ("spat_encoder.blocks.2.attn.qkv.weight", "blocks.2.attn.qkv.weight"),
        ("spec_encoder.blocks.1.mlp.fc1.bias", "blocks.1.mlp.fc1.bias"),
        ("spec_encoder.pos_embed", "pos_embed"),
    ] {
        let found = values(&file, name);
        assert_eq!(found, numbers(key, found.len()), "{name}");
    }
    // The same file, whatever the network is for.
    let target = Target { task: Task::Classification, tile: [9, 9], patch: 2, components: 5, classes: 3 };
    let (other, _) = convert(
        &[spatial.clone(), spectral.clone()],
        &ConversionOptions { target: Some(target), ..options(Quantization::F32) },
    );
    assert_eq!((other.tensors(), other.metadata()), (file.tensors(), file.metadata()));

    // One of the two alone, and what is no pair.
    let (_, report) = convert(std::slice::from_ref(&spectral), &options(Quantization::F32));
    assert!(report.notes.iter().any(|note| note.starts_with("no spatial checkpoint")), "{:?}", report.notes);
    assert!(report.of(Status::Missing).any(|tensor| tensor.name == "spat_encoder.blocks.0.attn.qkv.weight"));
    let wide = Config { embed_dim: 64, ..config };
    let wide = safetensors("wide.safetensors", &autoencoder(&wide, true), None);
    for (sources, word) in [
        (vec![spatial.clone(), spatial.clone()], "both are the spatial"),
        (vec![spatial.clone(), wide], "48 wide"),
        (vec![spatial.clone(), nano_file(None)], "both encoders"),
    ] {
        let error = refusal(&sources, &options(Quantization::F32));
        assert!(matches!(&error, WeightsError::Pair { why, .. } if why.contains(word)), "{error}");
    }
    assert!(matches!(refusal(&[], &options(Quantization::F32)), WeightsError::Files { count: 0, .. }));
    let three = [spatial.clone(), spectral, spatial];
    assert!(matches!(refusal(&three, &options(Quantization::F32)), WeightsError::Files { count: 3, .. }));
}

/// A fine-tuned network for another tile and other classes: what cannot be carried over starts fresh, weight and bias together.
#[test]
fn a_fine_tuned_network_is_fitted_to_another_scene() {
    let target = Target { task: Task::Segmentation, tile: [16, 32], patch: 2, components: 5, classes: 9 };
    let options = ConversionOptions { target: Some(target), ..options(Quantization::F32) };
    let (file, report) = convert(&[nano_file(None)], &options);
    let names = |status| report.of(status).map(|tensor| tensor.name.as_str()).collect::<Vec<_>>();
    assert_eq!(names(Status::Resized), ["spat_encoder.pos_embed"]);
    assert_eq!(
        names(Status::Dropped),
        ["spec_encoder.spat_map.weight", "spec_encoder.spat_map.bias", "cls.weight", "cls.bias"]
    );
    assert!(names(Status::Missing).is_empty() && names(Status::Unexpected).is_empty());
    assert!(report.notes.iter().any(|note| note.starts_with("4 tensors")), "{:?}", report.notes);
    let table = file.tensors().iter().find(|tensor| tensor.name == "spat_encoder.pos_embed").unwrap();
    assert_eq!(table.shape, [1, 8 * 16, 64]);
    assert!(!file.tensors().iter().any(|tensor| tensor.name.starts_with("cls.") || tensor.name.contains("spat_map")));

    let impossible = ConversionOptions { target: Some(Target { patch: 3, ..target }), ..options };
    assert!(matches!(refusal(&[nano_file(None)], &impossible), WeightsError::Config { .. }));
}

#[test]
fn incomplete_and_contradictory_files() {
    let mut list = fine_tuned(&nano());
    list.retain(|(name, _)| name != "spat_encoder.blocks.1.norm2.weight");
    list.push(("extra.weight".into(), vec![3]));
    let (_, report) = convert(&[safetensors("x", &list, None)], &options(Quantization::F32));
    let names = |status| report.of(status).map(|tensor| tensor.name.as_str()).collect::<Vec<_>>();
    assert_eq!(names(Status::Missing), ["spat_encoder.blocks.1.norm2.weight"]);
    assert_eq!(names(Status::Unexpected), ["extra.weight"]);
    assert!(report.notes.iter().any(|note| note.contains("should have them all")));

    let mut list = fine_tuned(&nano());
    let odd = list.iter_mut().find(|(name, _)| name == "spat_encoder.blocks.1.attn.qkv.weight").unwrap();
    odd.1 = vec![190, 64];
    let error = refusal(&[safetensors("x", &list, None)], &options(Quantization::F32));
    assert!(matches!(&error, WeightsError::Shape { found, .. } if found == &[190, 64]), "{error}");

    let other_depth: Vec<_> =
        fine_tuned(&nano()).into_iter().filter(|(name, _)| !name.contains("spat_encoder.blocks.3")).collect();
    assert!(matches!(
        refusal(&[safetensors("x", &other_depth, None)], &options(Quantization::F32)),
        WeightsError::Malformed { .. }
    ));
}

#[test]
fn numbers_that_cannot_be_stored_are_named() {
    let name = "spat_encoder.blocks.2.mlp.fc1.weight";
    let whole = nano_file(None);
    let mut all = vec![0; whole.len() as usize];
    whole.read_at(0, &mut all).unwrap();
    let file = ::safetensors::SafeTensors::deserialize(&all).unwrap();
    let at = file.tensor(name).unwrap().data().as_ptr() as usize - all.as_ptr() as usize;
    all[at + 20..at + 24].copy_from_slice(&f32::NAN.to_le_bytes());
    for quantization in [Quantization::F16, Quantization::Q8_0, Quantization::Q4_0] {
        let error = refusal(&[bytes("x", all.clone())], &options(quantization));
        assert!(matches!(&error, WeightsError::Number { tensor, index: 5, .. } if tensor == name), "{error}");
    }
    let (file, _) = convert(&[bytes("x", all)], &options(Quantization::F32));
    assert!(values(&file, name)[5].is_nan());
}

#[test]
fn outputs_appear_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.gguf");
    let listed = || fs::read_dir(folder.path()).unwrap().count();

    let mut output = OutputFile::create(&path, false).unwrap();
    output.write_all(b"half").unwrap();
    drop(output);
    assert_eq!(listed(), 0, "an abandoned output leaves nothing");

    let mut output = OutputFile::create(&path, false).unwrap();
    output.write_all(b"whole").unwrap();
    assert!(!path.exists());
    output.finish().unwrap();
    assert_eq!((fs::read(&path).unwrap(), listed()), (b"whole".to_vec(), 1));

    assert!(matches!(OutputFile::create(&path, false), Err(OutputError::Exists { .. })));
    let mut output = OutputFile::create(&path, true).unwrap();
    output.write_all(b"again").unwrap();
    output.finish().unwrap();
    assert_eq!((fs::read(&path).unwrap(), listed()), (b"again".to_vec(), 1));

    // Somebody else was faster.
    let other = folder.path().join("other.gguf");
    let output = OutputFile::create(&other, false).unwrap();
    fs::write(&other, "theirs").unwrap();
    assert!(matches!(output.finish(), Err(OutputError::Exists { .. })));
    assert_eq!((fs::read(&other).unwrap(), listed()), (b"theirs".to_vec(), 2));

    assert!(matches!(
        OutputFile::create(&folder.path().join("no/such/folder.gguf"), false),
        Err(OutputError::Write { .. })
    ));
}

#[test]
fn a_full_disk_is_said_in_words() {
    let Ok(mut full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        println!("SKIP a full disk: this system has no /dev/full");
        return;
    };
    let mut conversion =
        Conversion::new(Checkpoint::open(&[nano_file(None)], None).unwrap(), &options(Quantization::F32)).unwrap();
    let error = loop {
        match conversion.step(&mut full) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it was written"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, WeightsError::DiskFull { bytes: conversion.report().bytes });
}
