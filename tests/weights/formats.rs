//! Small files by independent writers (tests/fixtures/weights/make.py).

use proptest::prelude::*;
use sigmascope::weights::{TensorFile, TensorType};

use super::{open_fixture, values};

/// Value i of every floating tensor of the fixtures.
fn number(i: usize) -> f32 {
    (((7 * i) % 23) as f32 - 11.0) / 8.0
}

/// The whole of a tensor is what the formula says, and every part of it too.
fn check(file: &dyn TensorFile, index: usize, number: impl Fn(usize) -> f32) {
    let tensor = &file.tensors()[index];
    let (name, len) = (&tensor.name, tensor.len());
    let expected: Vec<f32> = (0..len).map(number).collect();
    assert_eq!(values(file, name), expected, "{}: {name}", file.name());
    for start in [0, len / 3, len.saturating_sub(1)] {
        for end in [start, (start + 2).min(len), len] {
            let mut part = vec![f32::NAN; end - start];
            file.read(index, start, &mut part).unwrap();
            assert_eq!(part, expected[start..end], "{}: {name} {start}..{end}", file.name());
        }
    }
    assert!(file.read(index, len, &mut [0.0]).is_err(), "{}: {name} has an end", file.name());
    assert!(file.read(index, usize::MAX, &mut [0.0]).is_err());
}

#[test]
fn state_dicts_of_every_kind() {
    let expected = [
        ("embed", [1, 4, 6].as_slice()),
        ("blocks.0.fc.weight", &[5, 6]),
        ("blocks.0.fc.bias", &[5]),
        ("conv.weight", &[3, 2, 2, 2]),
    ];
    for name in [
        "zip.pth",
        "legacy.pth",
        "protocol4.pth",
        "protocol4_legacy.pth",
        "deflated.pth",
        "zip64.pth",
        "parallel.pth",
        "compiled.pth",
        "parameters.pth",
        "other_key.pth",
    ] {
        let file = open_fixture(name);
        let found: Vec<_> =
            file.tensors().iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())).collect();
        assert_eq!(found, expected, "{name}");
        for index in 0..4 {
            assert_eq!(file.tensors()[index].kind, TensorType::F32);
            check(file.as_ref(), index, number);
        }
        let format = if name.contains("legacy") { "PyTorch (legacy)" } else { "PyTorch (zip)" };
        assert_eq!(file.format(), format, "{name}");
    }
    let file = open_fixture("bare.pth");
    let names: Vec<_> = file.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["0.weight", "0.bias", "1.weight", "1.bias"]);
    (0..4).for_each(|index| check(file.as_ref(), index, number));
}

#[test]
fn every_type_of_number() {
    for name in ["types.pth", "types_legacy.pth", "types.safetensors"] {
        let file = open_fixture(name);
        assert_eq!(file.tensors().len(), 10, "{name}");
        for (index, tensor) in file.tensors().iter().enumerate() {
            let kind = tensor.kind;
            let number = |i| match kind {
                TensorType::Bool => f32::from(u8::from(i % 3 == 0)),
                TensorType::U8 => 8.0 * number(i) + 11.0,
                TensorType::I64 | TensorType::I32 | TensorType::I16 | TensorType::I8 => 8.0 * number(i),
                _ => number(i),
            };
            check(file.as_ref(), index, number);
        }
        let mut kinds: Vec<_> = file.tensors().iter().map(|tensor| tensor.kind.name()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["bf16", "bool", "f16", "f32", "f64", "i16", "i32", "i64", "i8", "u8"], "{name}");
    }
}

#[test]
fn views_of_one_storage() {
    for name in ["views.pth", "views_legacy.pth", "views_deflated.pth"] {
        let file = open_fixture(name);
        let shapes: Vec<_> = file.tensors().iter().map(|tensor| (tensor.name.as_str(), &tensor.shape[..])).collect();
        assert_eq!(
            shapes,
            [
                ("slice", &[5, 6][..]),
                ("transposed", &[6, 5]),
                ("steps", &[4, 6]),
                ("permuted", &[2, 3, 4]),
                ("number", &[]),
                ("empty", &[0, 4])
            ],
            "{name}"
        );
        for index in 0..file.tensors().len() {
            check(file.as_ref(), index, number);
        }
    }
}

proptest! {
    /// A quantized tensor reads the same in parts that cut through its blocks.
    #[test]
    fn parts_of_quantized_tensors(start in 0usize..1000, len in 0usize..900) {
        let file = open_fixture("package.gguf");
        for name in ["q8_0", "q4_0", "f16"] {
            let index = file.tensors().iter().position(|tensor| tensor.name == name).unwrap();
            let whole = values(file.as_ref(), name);
            let start = start.min(whole.len());
            let end = (start + len).min(whole.len());
            let mut part = vec![f32::NAN; end - start];
            file.read(index, start, &mut part).unwrap();
            prop_assert_eq!(&part, &whole[start..end]);
        }
    }
}
