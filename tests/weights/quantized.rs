//! ggml's blocks and the GGUF container against the `gguf` package from PyPI.

use std::path::Path;
use std::process::Command;

use sigmascope::weights::gguf::{GgufFile, Layout, Value, Writer};
use sigmascope::weights::{TensorFile, TensorInfo, TensorType, decode, encode};

use super::{fixture, open_fixture, values};

const KINDS: [TensorType; 3] = [TensorType::F16, TensorType::Q8_0, TensorType::Q4_0];

/// The corner cases of make.py, quantized by the package: block for block, byte for byte.
#[test]
fn blocks_agree_with_the_package() {
    let file = open_fixture("blocks.safetensors");
    let source = values(file.as_ref(), "source");
    for kind in KINDS {
        let theirs = values(file.as_ref(), &format!("{}.bytes", kind.name()));
        let theirs: Vec<u8> = theirs.into_iter().map(|byte| byte as u8).collect();
        let mut ours = Vec::new();
        encode(kind, &source, &mut ours).unwrap();
        assert_eq!(ours.len(), theirs.len(), "{}", kind.name());
        let size = kind.block_bytes();
        for (block, (ours, theirs)) in ours.chunks(size).zip(theirs.chunks(size)).enumerate() {
            assert_eq!(ours, theirs, "{} block {block}", kind.name());
        }
        let mut back = vec![f32::NAN; source.len()];
        decode(kind, &theirs, &mut back);
        assert_eq!(back, values(file.as_ref(), &format!("{}.values", kind.name())), "{}", kind.name());
    }
}

#[test]
fn a_file_of_the_package_is_read() {
    let file = GgufFile::open(fixture("package.gguf")).unwrap();
    let blocks = open_fixture("blocks.safetensors");
    assert_eq!(values(&file, "f32"), values(blocks.as_ref(), "source"));
    for kind in KINDS {
        assert_eq!(values(&file, kind.name()), values(blocks.as_ref(), &format!("{}.values", kind.name())));
        let index = file.tensors().iter().position(|tensor| tensor.name == kind.name()).unwrap();
        let expected: Vec<u8> =
            values(blocks.as_ref(), &format!("{}.bytes", kind.name())).into_iter().map(|byte| byte as u8).collect();
        let mut stored = vec![0; expected.len() - 3];
        file.read_bytes(index, 3, &mut stored).unwrap();
        assert_eq!(stored, expected[3..]);
        assert!(file.read_bytes(index, 4, &mut stored).is_err(), "it ends there");
    }
    let shape =
        |name: &str| file.tensors().iter().find(|tensor| tensor.name == name).map(|tensor| tensor.shape.clone());
    assert_eq!(shape("four_axes"), Some(vec![3, 2, 4, 5]));
    assert_eq!(shape("i64"), Some(vec![3, 4]));

    let texts = |list: &[&str]| Value::Texts(list.iter().map(|text| (*text).to_owned()).collect());
    for (key, expected) in [
        ("u8", Value::U32(200)),
        ("i8", Value::I64(-100)),
        ("u16", Value::U32(60_000)),
        ("i16", Value::I64(-30_000)),
        ("u32", Value::U32(4_000_000_000)),
        ("i32", Value::I64(-2_000_000_000)),
        ("u64", Value::U64(1 << 63)),
        ("i64", Value::I64(-(1 << 62))),
        ("f32", Value::F32(0.5)),
        ("f64", Value::F64(0.1)),
        ("bool", Value::Bool(true)),
        ("text", Value::Text("größer".into())),
        ("texts", texts(&["Corn", "Soybean"])),
        ("numbers", Value::U32s(vec![1, 2, 3])),
        ("bools", Value::Other),
    ] {
        assert_eq!(file.metadata().get(&format!("hypersigma.test.{key}")), Some(&expected), "{key}");
    }
}

/// The other direction: the package reads our file and quantizes the same numbers to the same bytes. `./test` installs it and names
/// its Python in `SIGMASCOPE_PYTHON`.
#[test]
fn the_package_reads_our_file() {
    let Some(python) = python_with("gguf") else {
        assert!(
            std::env::var_os("SIGMASCOPE_PYTHON").is_none(),
            "the Python of SIGMASCOPE_PYTHON lacks the package gguf"
        );
        println!("SKIP a file of ours read by the gguf package: no Python with it (SIGMASCOPE_PYTHON names one)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.gguf");
    let (rows, cols) = (37, 160);
    // Numbers of many sizes without a table: a chaotic map.
    let mut x = 0.3f64;
    let numbers: Vec<f32> = (0..rows * cols)
        .map(|i| {
            x = 3.999 * x * (1.0 - x);
            ((x - 0.5) * 10f64.powi(i % 7 - 3)) as f32
        })
        .collect();
    let shape = vec![rows as usize, cols as usize];
    let info = |kind: TensorType| TensorInfo { name: kind.name().to_owned(), shape: shape.clone(), kind };
    let kinds = [TensorType::F32, TensorType::F16, TensorType::Q8_0, TensorType::Q4_0];
    let metadata = vec![
        ("general.architecture".to_owned(), Value::Text("hypersigma".into())),
        ("hypersigma.class_names".to_owned(), Value::Texts(vec!["Mais".into(), "Grün".into()])),
        ("hypersigma.projection.mean".to_owned(), Value::F64s(vec![0.1, -2.5])),
        ("hypersigma.feature_blocks".to_owned(), Value::U32s(vec![3, 5, 7, 11])),
    ];
    let layout = Layout::new(&metadata, &kinds.map(info)).unwrap();
    let (len, mut writer, mut output) = (layout.len(), Writer::new(layout), Vec::new());
    for kind in kinds {
        let mut bytes = Vec::new();
        encode(kind, &numbers, &mut bytes).unwrap();
        writer.write(&bytes, &mut output).unwrap();
    }
    writer.finish(&mut output).unwrap();
    assert_eq!(output.len() as u64, len);
    std::fs::write(&path, output).unwrap();

    let script = Path::new("tests/weights/check.py");
    let run = Command::new(python).arg(script).arg(&path).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{text}{errors}");
    assert_eq!(text.trim(), "f16 q8_0 q4_0 agree");
}

/// A Python that can import `package`: the one of SIGMASCOPE_PYTHON, else the system's.
pub fn python_with(package: &str) -> Option<String> {
    let named = std::env::var("SIGMASCOPE_PYTHON").ok();
    named.into_iter().chain(["python3".to_owned()]).find(|python| {
        let import = Command::new(python).args(["-c", &format!("import {package}")]).output();
        import.is_ok_and(|output| output.status.success())
    })
}

#[test]
fn what_gguf_cannot_hold_is_refused() {
    let layout = |name: &str, shape: &[usize], kind| {
        Layout::new(&[], &[TensorInfo { name: name.to_owned(), shape: shape.to_vec(), kind }])
    };
    assert!(layout("x", &[4, 32], TensorType::Q8_0).is_ok());
    for (shape, kind) in [
        (&[4, 48][..], TensorType::Q8_0),
        (&[32, 4], TensorType::Q4_0),
        (&[], TensorType::F32),
        (&[1, 1, 1, 1, 1], TensorType::F32),
        (&[4], TensorType::Bool),
    ] {
        assert!(layout("x", shape, kind).is_err(), "{shape:?} {kind:?}");
    }
    assert!(layout(&"x".repeat(63), &[1], TensorType::F32).is_ok());
    assert!(layout(&"x".repeat(64), &[1], TensorType::F32).is_err());

    let mut writer = Writer::new(layout("x", &[3], TensorType::F32).unwrap());
    assert!(writer.write(&[0; 13], &mut Vec::new()).is_err(), "one byte too many");
    writer.write(&[0; 11], &mut Vec::new()).unwrap();
    assert!(writer.finish(&mut Vec::new()).is_err(), "one byte too few");
}
