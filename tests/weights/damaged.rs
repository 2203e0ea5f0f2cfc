//! Files cut short at every byte, and files with flipped bytes: an error or other numbers, never a panic, never more memory
//! than the file deserves.

use proptest::prelude::*;
use sigmascope::model::{Config, Task};
use sigmascope::weights::{Checkpoint, Conversion, ConversionOptions, open};

use super::peak::peak_of;
use super::synthetic::{autoencoder, safetensors};
use super::{bytes, finish, fixture};

const FILES: [&str; 9] = [
    "zip.pth",
    "legacy.pth",
    "protocol4.pth",
    "protocol4_legacy.pth",
    "views.pth",
    "views_deflated.pth",
    "types.safetensors",
    "package.gguf",
    "types_legacy.pth",
];

/// Buffers, and a deflate window or two.
const PEAK: usize = 8 << 20;

fn read(name: &str) -> Vec<u8> {
    let source = fixture(name);
    let mut bytes = vec![0; source.len() as usize];
    source.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Opens the file and reads all that it claims to have. Whether that succeeds is not asked.
fn exercise(name: &str, data: Vec<u8>) -> bool {
    let source = bytes(name, data);
    let (whole, peak) = peak_of(|| {
        let Ok(file) = open(&source) else { return false };
        let mut piece = vec![0.0; 4096];
        file.tensors().iter().enumerate().fold(true, |whole, (index, tensor)| {
            let len = tensor.len();
            (0..len).step_by(piece.len()).take(64).fold(whole, |whole, start| {
                let piece = &mut piece[..4096.min(len - start)];
                whole & file.read(index, start, piece).is_ok()
            })
        })
    });
    assert!(peak < PEAK, "{name} took {peak} bytes");
    whole
}

#[test]
fn files_cut_short_anywhere() {
    for name in FILES {
        let whole = read(name);
        assert!(exercise(name, whole.clone()), "{name}");
        // Each length of the small files, some of the larger ones.
        let step = whole.len().div_ceil(5000);
        let mut opened = 0;
        for len in (0..whole.len()).step_by(step) {
            opened += usize::from(exercise(name, whole[..len].to_vec()));
        }
        // A GGUF file may lack what fills up its last tensor.
        assert!(opened <= if name.ends_with(".gguf") { 32 } else { 0 }, "{name} was whole {opened} times");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn flipped_bytes(file in 0..FILES.len(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let name = FILES[file];
        let mut data = read(name);
        for (place, byte) in flips {
            let place = place.index(data.len());
            data[place] ^= byte.max(1);
        }
        exercise(name, data);
    }

    #[test]
    fn random_bytes_behind_a_good_start(start in 0usize..6, rest in prop::collection::vec(any::<u8>(), 0..600)) {
        let starts: [&[u8]; 6] = [
            b"GGUF\x03\0\0\0",
            b"PK\x03\x04",
            b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02",
            b"\x10\0\0\0\0\0\0\0{",
            b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
            b"",
        ];
        exercise("x", [starts[start], &rest].concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A converted file with flipped bytes in its metadata or its list of tensors: opened, understood, planned.
    #[test]
    fn damaged_descriptions(flips in prop::collection::vec((0usize..6000, any::<u8>()), 1..6)) {
        thread_local! {
            static GOOD: Vec<u8> = {
                let config = Config::tiny(Task::Segmentation, [64, 64], 100, 1);
                let source = safetensors("spec.safetensors", &autoencoder(&config, true), None);
                let checkpoint = Checkpoint::open(&[source], None).unwrap();
                finish(&mut Conversion::new(checkpoint, &ConversionOptions::default()).unwrap()).unwrap()
            };
        }
        let mut data = GOOD.with(Clone::clone);
        for (place, byte) in flips {
            data[place] ^= byte.max(1);
        }
        let source = bytes("x.gguf", data);
        let (_, peak) = peak_of(|| {
            let checkpoint = Checkpoint::open(&[source], None)?;
            Conversion::new(checkpoint, &ConversionOptions::default()).map(|conversion| conversion.report().bytes)
        });
        prop_assert!(peak < PEAK, "{peak}");
    }
}
