//! Files that lie, and files that would run code: a clear error each, nothing executed, no memory taken for what is not there.

use sigmascope::weights::{WeightsError, open};
use zip::CompressionMethod;

use super::peak::peak_of;
use super::synthetic::{Opcodes, archive};
use super::{bytes, fixture, open_fixture, values};

/// What a hostile file may cost: the readers' buffers and a small multiple of its size.
const PEAK: usize = 4 << 20;

fn refusal(name: &str, data: Vec<u8>) -> WeightsError {
    let len = data.len();
    let source = bytes("x.pth", data);
    let (result, peak) = peak_of(|| {
        open(&source).and_then(|file| {
            for (index, tensor) in file.tensors().iter().enumerate() {
                file.read(index, 0, &mut vec![0.0; tensor.len()])?;
            }
            Ok(())
        })
    });
    assert!(peak < PEAK + 16 * len, "{name} took {peak} bytes");
    result.err().unwrap_or_else(|| panic!("{name} was opened"))
}

/// An archive with six floats under the key 0 and this pickle.
fn around(pickle: &[u8]) -> Vec<u8> {
    archive(pickle, &[("0", &[0; 24])], CompressionMethod::Stored)
}

#[test]
fn globals_are_named_and_nothing_runs() {
    for (name, global) in [
        ("system.pth", "posix.system"),
        ("system_legacy.pth", "posix.system"),
        ("eval.pth", "builtins.eval"),
        ("whole_model.pth", "torch.nn.modules.linear.Linear"),
        ("sparse.pth", "torch._utils._rebuild_sparse_tensor"),
        ("numpy.pth", "numpy._core.multiarray._reconstruct"),
    ] {
        let error = open(&fixture(name)).err().unwrap_or_else(|| panic!("{name} was opened"));
        assert_eq!(error, WeightsError::Global { name: name.into(), global: global.into() });
        assert!(error.to_string().contains("nothing was executed"), "{error}");
    }
    assert!(!std::path::Path::new("/tmp/sigmascope-was-here").exists());
    // The old opcodes for calls are not even known.
    for call in [b"(X\x02\0\0\0lsios\nsystem\n.".as_slice(), b"(cos\nsystem\nX\x02\0\0\0lso.", b"\x82\x01.", b"Pos\n."]
    {
        let error = refusal("call", around(&[b"\x80\x02", call].concat()));
        assert!(matches!(error, WeightsError::Unsupported { .. } | WeightsError::Global { .. }), "{error}");
    }
}

#[test]
fn what_is_no_state_dict_is_refused_in_words() {
    type Is = fn(&WeightsError) -> bool;
    let format: Is = |error| matches!(error, WeightsError::Format { .. });
    let unsupported: Is = |error| matches!(error, WeightsError::Unsupported { .. });
    for (name, is, word) in [
        ("plain.pth", format, "torch.save"),
        ("archive.pth", format, "torch.save"),
        ("llama.gguf", format, "llama"),
        ("expanded.pth", unsupported, "repeats"),
        ("complex.pth", unsupported, "complex"),
        ("no_tensors.pth", unsupported, "no state dict"),
        ("cyclic.pth", unsupported, "no state dict"),
        ("nested.pth", unsupported, "no state dict"),
        ("several.pth", |error| matches!(error, WeightsError::Ambiguous { .. }), "generator, critic"),
    ] {
        let error = open(&fixture(name)).err().unwrap_or_else(|| panic!("{name} was opened"));
        assert!(is(&error) && error.to_string().contains(word), "{name}: {error}");
    }
    for (data, word) in [
        (&b""[..], "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer"),
        (b"nonsense", "unknown"),
        (b"\x80", "unknown"),
    ] {
        let error = refusal(word, data.to_vec());
        assert!(matches!(&error, WeightsError::Format { .. }) && error.to_string().contains(word), "{error}");
    }
}

#[test]
fn sizes_that_lie_are_refused() {
    let zero = ("FloatStorage", "0", 6);
    let sound = around(&Opcodes::model(|pickle| pickle.tensor(zero, 0, &[2, 3], &[3, 1])));
    assert_eq!(values(open(&bytes("x", sound)).unwrap().as_ref(), "weight"), [0.0; 6]);

    let tensor = |storage, offset, shape: &[i64], strides: &[i64]| {
        around(&Opcodes::model(|pickle| pickle.tensor(storage, offset, shape, strides)))
    };
    let cases = [
        ("more numbers than the storage", tensor(zero, 0, &[7], &[1])),
        ("an offset past the storage", tensor(zero, 1, &[2, 3], &[3, 1])),
        ("a negative offset", tensor(zero, -1, &[6], &[1])),
        ("a negative side", tensor(zero, 0, &[-6], &[1])),
        ("a negative stride", tensor(zero, 5, &[6], &[-1])),
        ("a stride past the storage", tensor(zero, 0, &[2], &[6])),
        ("strides that overflow", tensor(zero, 0, &[3, 3], &[i64::MAX, i64::MAX])),
        ("sides that overflow", tensor(zero, 0, &[1 << 32, 1 << 32], &[0, 0])),
        ("numbers that repeat", tensor(zero, 0, &[1 << 20], &[0])),
        ("a huge side and an empty one", tensor(zero, 0, &[i64::MAX, 0], &[1, 1])),
        ("shape and strides that differ", tensor(zero, 0, &[6], &[1, 1])),
        ("nine axes", tensor(zero, 0, &[1; 9], &[1; 9])),
        ("a longer storage", tensor(("FloatStorage", "0", 1 << 40), 0, &[6], &[1])),
        ("a shorter storage", tensor(("FloatStorage", "0", 5), 0, &[5], &[1])),
        ("a storage that overflows", tensor(("DoubleStorage", "0", i64::MAX), 0, &[6], &[1])),
        ("a negative storage", tensor(("FloatStorage", "0", -6), 0, &[0], &[1])),
        ("another type", tensor(("DoubleStorage", "0", 6), 0, &[6], &[1])),
        ("a storage that is not there", tensor(("FloatStorage", "1", 6), 0, &[6], &[1])),
        ("a key that climbs", tensor(("FloatStorage", "../data.pkl", 6), 0, &[6], &[1])),
        ("an endless key", tensor(("FloatStorage", &"9".repeat(5000), 6), 0, &[6], &[1])),
        ("no storage at all", around(&Opcodes::model(|pickle| pickle.global("torch", "FloatStorage")))),
        (
            "a view of a view",
            around(&Opcodes::model(|pickle| {
                let pickle =
                    pickle.raw(b"(").text("storage").global("torch", "FloatStorage").text("0").text("cpu").int(6);
                pickle.numbers(&[0, 1, 2]).raw(b"tQ")
            })),
        ),
    ];
    for (name, data) in cases {
        let error = refusal(name, data);
        assert!(matches!(error, WeightsError::Malformed { .. } | WeightsError::Unsupported { .. }), "{name}: {error}");
    }
}

#[test]
fn broken_opcodes_are_refused() {
    let none = [b"N".repeat(600_000), b".".to_vec()].concat();
    let memo = [b"N".to_vec(), b"q\0".repeat(600_000), b".".to_vec()].concat();
    // Each mark of a nest is a value; nothing recurses into them.
    let marks = [b"(".repeat(400_000), b"t".repeat(400_000), b".".to_vec()].concat();
    for (name, opcodes) in [
        ("nothing", &b""[..]),
        ("an end without a value", b"."),
        ("a call without operands", b"R."),
        ("a call of a number", b"K\x01)R."),
        ("a call across a mark", b"ccollections\nOrderedDict\n()R."),
        ("a tuple without a mark", b"Nt."),
        ("a pair of one", b"N\x86."),
        ("an entry of nothing", b"NNs."),
        ("half an entry", b"}(Nu."),
        ("an item of a dictionary", b"}Na."),
        ("an id that is none", b"NQ."),
        ("a memory of nothing", b"h\x05."),
        ("a memory of no value", b"q\x05."),
        ("a text of 4 GiB", b"X\xff\xff\xff\xffab."),
        ("a text of 16 EiB", b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffab."),
        ("a text that is cut short", b"X\x10\0\0\0ab."),
        ("bytes of 4 GiB", b"B\xff\xff\xff\xffab."),
        ("a number that is cut short", b"\x8a\xffab."),
        ("a global that is cut short", b"ccollections"),
        ("a global of numbers", b"K\x01K\x02\x93."),
        ("protocol 0", b"\x80\0N."),
        ("too many values", &none),
        ("too many memories", &memo),
        ("many marks", &marks),
    ] {
        let error = refusal(name, around(opcodes));
        assert!(matches!(error, WeightsError::Malformed { .. } | WeightsError::Unsupported { .. }), "{name}: {error}");
    }
    let name = [b"c".to_vec(), b"x".repeat(1 << 20)].concat();
    assert!(matches!(refusal("an endless name", around(&name)), WeightsError::Malformed { .. }));
}

#[test]
fn legacy_storages_that_lie_are_refused() {
    const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    let object = |len| Opcodes::model(|pickle| pickle.tensor(("FloatStorage", "7", len), 0, &[3], &[1]));
    let keys = |keys: &[&str]| keys.iter().fold(Opcodes::new().raw(b"]("), |list, key| list.text(key)).raw(b"e.").0;
    let file = |len: i64, names: &[&str], stored: u64, bytes: usize| {
        [MAGIC, &object(len), &keys(names), &stored.to_le_bytes(), &vec![0; bytes]].concat()
    };
    assert_eq!(values(open(&bytes("x", file(3, &["7"], 3, 12))).unwrap().as_ref(), "weight"), [0.0; 3]);
    for (name, data) in [
        ("a storage that is cut short", file(3, &["7"], 3, 11)),
        ("another length", file(3, &["7"], 4, 16)),
        ("a huge length", file(i64::MAX, &["7"], i64::MAX as u64, 12)),
        ("an unknown key", file(3, &["8"], 3, 12)),
        ("no keys", file(3, &[], 3, 12)),
        ("no lengths", [MAGIC, &object(3), &keys(&["7"])].concat()),
        ("no list", [MAGIC, &object(3), b"\x80\x02N."].concat()),
        ("another version", [&MAGIC[..17], b"M\xe8\x03.\x80\x02}."].concat()),
    ] {
        refusal(name, data);
    }
}

#[test]
fn deflated_storages_that_lie_are_refused() {
    // 300 MiB of zeros in 1.3 MB: more than is ever held at once.
    let zeros = vec![0; 300 << 20];
    let numbers = zeros.len() as i64 / 4;
    let pickle = Opcodes::model(|pickle| pickle.tensor(("FloatStorage", "0", numbers), 0, &[numbers], &[1]));
    let bomb = archive(&pickle, &[("0", &zeros)], CompressionMethod::Deflated);
    drop(zeros);
    let file = open(&bytes("bomb.pth", bomb)).unwrap();
    let mut one = [f32::NAN];
    let (result, peak) = peak_of(|| file.read(0, 0, &mut one));
    let error = result.unwrap_err();
    assert!(matches!(&error, WeightsError::Unsupported { what, .. } if what.contains("300 MiB")), "{error}");
    assert!(peak < PEAK, "{peak}");
}

#[test]
fn other_headers_that_lie_are_refused() {
    let safetensors =
        |header: &str, len: u64, data: usize| [&len.to_le_bytes(), header.as_bytes(), &vec![0; data]].concat();
    let sound = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    open(&bytes("x", safetensors(sound, sound.len() as u64, 8))).unwrap();
    for (name, data) in [
        ("a header of 16 EiB", safetensors(sound, u64::MAX, 8)),
        ("a header of 1 GiB", safetensors(sound, 1 << 30, 8)),
        ("a header past the end", safetensors(sound, 1000, 8)),
        ("data that is cut short", safetensors(sound, sound.len() as u64, 7)),
        ("no JSON", safetensors("{\"w\":", 5, 8)),
    ] {
        refusal(name, data);
    }
    for header in [
        r#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
        r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
        r#"{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#,
        r#"{"w":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}"#,
        r#"{"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
    ] {
        refusal(header, safetensors(header, header.len() as u64, 8));
    }

    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let gguf = |tensors: u64, pairs: u64, rest: &[u8]| {
        [b"GGUF\x03\0\0\0", &tensors.to_le_bytes()[..], &pairs.to_le_bytes(), rest].concat()
    };
    let tensor = |sides: &[u64], kind: u32, offset: u64| {
        let sides: Vec<u8> = sides.iter().flat_map(|side| side.to_le_bytes()).collect();
        let axes = (sides.len() as u32 / 8).to_le_bytes();
        [text("w"), axes.to_vec(), sides, kind.to_le_bytes().to_vec(), offset.to_le_bytes().to_vec()].concat()
    };
    let one = |sides: &[u64], kind: u32, offset: u64| {
        let mut file = gguf(1, 0, &tensor(sides, kind, offset));
        file.resize(file.len().next_multiple_of(32) + 64, 0);
        file
    };
    let pair = |kind: u32, value: &[u8]| gguf(0, 1, &[&text("k"), &kind.to_le_bytes()[..], value].concat());
    open(&bytes("x", one(&[16], 0, 0))).unwrap();
    open(&bytes("x", one(&[32], 8, 0))).unwrap();
    let array = |kind: u32, len: u64| [&kind.to_le_bytes()[..], &len.to_le_bytes()].concat();
    let alignment =
        |value: u32| gguf(0, 1, &[text("general.alignment"), vec![4, 0, 0, 0], value.to_le_bytes().to_vec()].concat());
    for (name, data) in [
        ("version 2", [b"GGUF\x02\0\0\0", &[0; 16][..]].concat()),
        ("big-endian", [b"GGUF\0\0\0\x03", &[0; 16][..]].concat()),
        ("2⁶⁴ tensors", gguf(u64::MAX, 0, &[])),
        ("2⁶⁴ pairs", gguf(0, u64::MAX, &[])),
        ("a million pairs", gguf(0, 1 << 20, &[])),
        ("pairs that are not there", gguf(0, 60_000, &[])),
        ("a key of 16 EiB", gguf(0, 1, &[0xff; 8])),
        ("a text that is not UTF-8", pair(8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff])),
        ("an unknown type", pair(13, &[])),
        ("an array of 2⁶⁴", pair(9, &array(4, u64::MAX))),
        ("an array that is not there", pair(9, &array(12, 1 << 18))),
        ("an array of arrays", pair(9, &array(9, 1))),
        ("an alignment of 0", alignment(0)),
        ("an alignment of 24", alignment(24)),
        ("an alignment of 2³¹", alignment(1 << 31)),
        ("five axes", one(&[1; 5], 0, 0)),
        ("sides that overflow", one(&[1 << 33, 1 << 33], 0, 0)),
        ("a type that is not read", one(&[256], 12, 0)),
        ("half a block", one(&[16], 8, 0)),
        ("rows of half blocks", one(&[16, 2], 8, 0)),
        ("an offset past the end", one(&[16], 0, 32)),
        ("an offset that overflows", one(&[16], 0, u64::MAX - 31)),
        ("an offset that is not aligned", one(&[8], 0, 8)),
        ("a name twice", gguf(2, 0, &[tensor(&[0], 0, 0), tensor(&[0], 0, 0)].concat())),
    ] {
        refusal(name, data);
    }
}

#[test]
fn fixtures_that_are_no_hypersigma_are_refused() {
    use sigmascope::weights::Checkpoint;
    for name in ["zip.pth", "bare.pth", "types.safetensors"] {
        let error = Checkpoint::open(&[fixture(name)], None).err().unwrap();
        assert!(matches!(error, WeightsError::NotHyperSigma { .. }), "{name}: {error}");
    }
    assert_eq!(open_fixture("zip.pth").tensors().len(), 4);
}
