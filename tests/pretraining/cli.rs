//! The command from its arguments to a file that a network starts from.

use std::path::Path;
use std::process::{Command, Output};
use std::rc::Rc;

use burn::tensor::{Device, Tensor};
use sigmascope::scene::{FileSource, SharedSource};
use sigmascope::train::{ModelSize, TrainConfig, network};
use sigmascope::weights::{Origin, Pretrained, Quantization, Status};

const TINY: [&str; 18] = [
    "--set",
    "size=tiny",
    "--set",
    "components=12",
    "--set",
    "scene=24",
    "--set",
    "tile=16",
    "--set",
    "scenes=2",
    "--set",
    "views=2",
    "--set",
    "warmup_epochs=1",
    "--set",
    "autoencoding=1",
    "--set",
    "mask_cell=2",
];

fn pretrain(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sigmascope"));
    command.arg("pretrain").args(TINY).args(arguments).current_dir(folder).output().unwrap()
}

fn source(path: &Path) -> SharedSource {
    Rc::new(FileSource::open(path).unwrap())
}

#[test]
fn a_run_ends_in_a_file_that_a_network_starts_from() {
    let folder = tempfile::tempdir().unwrap();
    let output = pretrain(folder.path(), &["--out", "tiny.gguf", "--epochs", "2", "--log", "log.jsonl"]);
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    assert!(printed.contains("tiny.gguf") && printed.contains("tensors"), "{printed}");

    let log = std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines.iter().all(|line| ["spatial", "spectral", "episodes", "fields"]
            .iter()
            .all(|task| line[task].as_f64() > Some(0.0)))
    );

    let pretrained = Pretrained::open(source(&folder.path().join("tiny.gguf"))).unwrap();
    let description = pretrained.description();
    assert_eq!((description.origin, description.quantization), (Origin::Pretraining, Quantization::Q8_0));
    assert_eq!(description.license.as_deref(), Some("MIT OR Apache-2.0"));
    assert!(description.settings.as_ref().unwrap().contains("generated scenes only"));

    // A run that starts from it shares its size, patch and components.
    let mut config = TrainConfig { components: 7, patch: Some(4), ..TrainConfig::default() };
    config.adopt(&pretrained);
    assert_eq!((config.size, config.patch(), config.components), (ModelSize::Tiny, 2, 12));

    // Another tile and other classes: all but what depends on those is taken.
    let shape = network::shape(&config, [32, 40], 12, 5, Some(&pretrained)).unwrap();
    let report = pretrained.report(&shape).unwrap();
    let fresh: Vec<&str> =
        report.tensors.iter().filter(|tensor| tensor.starts_fresh()).map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(
        fresh,
        [
            "spat_encoder.pos_embed",
            "spec_encoder.spat_map.weight",
            "spec_encoder.spat_map.bias",
            "cls.weight",
            "cls.bias"
        ]
    );
    assert!(report.tensors.iter().all(|tensor| matches!(tensor.status, Status::Matched | Status::Missing)));
    let started = network::start(&shape, &config, Some(&pretrained), &Device::flex()).unwrap();
    let taken = report.of(Status::Matched).count();
    assert_eq!(started.parameters().len(), taken + fresh.len());
    let x = Tensor::<4>::ones([1, 12, 32, 40], &Device::flex());
    let logits: Vec<f32> = started.forward(x).into_data().iter::<f32>().collect();
    assert!(logits.len() == 5 * 32 * 40 && logits.iter().all(|logit| logit.is_finite()));
}

#[test]
fn a_stopped_command_continues_and_ends_alike() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let run = |out: &str, more: &[&str]| {
        let output =
            pretrain(folder.path(), &[&["--out", out, "--epochs", "3", "--quantization", "f32"], more].concat());
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(run("whole.gguf", &["--checkpoint", "run", "--checkpoint-every", "2"]).0);
    // Stopped after the first checkpoint, as far as anybody can tell: the last two lines are done again.
    let mut child = Command::new(env!("CARGO_BIN_EXE_sigmascope"))
        .arg("pretrain")
        .args(TINY)
        .args(["--out", "again.gguf", "--epochs", "3", "--quantization", "f32", "--checkpoint", "killed"])
        .args(["--checkpoint-every", "1"])
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    while !folder.path().join("killed").exists() {
        assert!(child.try_wait().unwrap().is_none_or(|status| status.success()));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // It may have ended already; then there is nothing to kill, and the rest holds all the same.
    let _ = child.kill();
    child.wait().unwrap();
    let (done, errors) = run("again.gguf", &["--checkpoint", "killed", "--checkpoint-every", "1", "--force"]);
    assert!(done && errors.contains("continuing after epoch"), "{errors}");
    assert!(bytes("again.gguf") == bytes("whole.gguf"));
}

#[test]
fn refusals_are_one_sentence_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("there.gguf"), "kept").unwrap();
    std::fs::write(folder.path().join("broken"), "no checkpoint").unwrap();
    for (arguments, expected) in [
        (["--out", "there.gguf", "--epochs", "1"].as_slice(), "exists already"),
        (&["--out", "new.gguf", "--epochs", "0"], "epochs"),
        (&["--out", "new.gguf", "--set", "mask_ratio=2"], "mask_ratio"),
        (&["--out", "new.gguf", "--set", "wobble=2"], "wobble"),
        (&["--out", "new.gguf", "--checkpoint", "broken"], "checkpoint"),
        (&["--out", "no/folder/new.gguf"], "cannot be written"),
    ] {
        let output = pretrain(folder.path(), arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(expected) && errors.trim().lines().count() == 1, "{arguments:?}: {errors}");
    }
    let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["broken", "there.gguf"]);
    assert_eq!(std::fs::read(folder.path().join("there.gguf")).unwrap(), b"kept");
}
