//! Checkpoints made here: networks of any shape as safetensors, archives around any pickle.

use std::io::{Cursor, Write};

use sigmascope::model::{Config, names};
use sigmascope::scene::SharedSource;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::bytes;

/// Numbers of the tensor `name`: small, different from tensor to tensor, exact in F16.
pub fn numbers(name: &str, len: usize) -> Vec<f32> {
    let seed = name.bytes().fold(7usize, |seed, byte| (seed * 31 + usize::from(byte)) % 1009);
    (0..len).map(|i| ((seed + 37 * i) % 509) as f32 / 512.0 - 0.5).collect()
}

/// Names and shapes of a masked autoencoder of the pre-training (64 pixels, patch 8, 100 channels; decoder 512 wide, here of one block).
pub fn autoencoder(config: &Config, spectral: bool) -> Vec<(String, Vec<usize>)> {
    let (dim, hidden, tokens) = (config.embed_dim, config.embed_dim * config.mlp_ratio, config.spectral_tokens);
    let mut list: Vec<(String, Vec<usize>)> = vec![
        ("pos_embed".into(), vec![1, if spectral { tokens } else { 64 }, dim]),
        ("mask_token".into(), vec![1, 1, 512]),
        ("decoder_pos_embed".into(), vec![1, if spectral { tokens } else { 64 }, 512]),
    ];
    let mut biased = |name: String, shape: Vec<usize>| {
        let bias = vec![shape[0]];
        list.push((format!("{name}.weight"), shape));
        list.push((format!("{name}.bias"), bias));
    };
    if spectral {
        biased("spat_map".into(), vec![dim, 4096]);
    } else {
        biased("patch_embed.proj".into(), vec![dim, 100, 8, 8]);
    }
    for i in 0..config.depth {
        biased(format!("blocks.{i}.norm1"), vec![dim]);
        biased(format!("blocks.{i}.attn.qkv"), vec![3 * dim, dim]);
        biased(format!("blocks.{i}.attn.proj"), vec![dim, dim]);
        biased(format!("blocks.{i}.norm2"), vec![dim]);
        biased(format!("blocks.{i}.mlp.fc1"), vec![hidden, dim]);
        biased(format!("blocks.{i}.mlp.fc2"), vec![dim, hidden]);
    }
    biased("norm".into(), vec![dim]);
    biased("decoder_blocks.0.attn.qkv".into(), vec![1536, 512]);
    list
}

/// Everything that a fine-tuned state dict holds; an unused layer of 6 million numbers is smaller here.
pub fn fine_tuned(config: &Config) -> Vec<(String, Vec<usize>)> {
    let complete = Config { complete: true, ..config.clone() };
    let mut list = [names::live(&complete), names::unused(&complete)].concat();
    for (_, shape) in list.iter_mut().filter(|(name, _)| name == "spat_encoder.classifier.0.weight") {
        *shape = vec![128, 96];
    }
    list
}

/// A safetensors file with [`numbers`].
pub fn safetensors(file: &str, list: &[(String, Vec<usize>)], description: Option<String>) -> SharedSource {
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = list
        .iter()
        .map(|(name, shape)| {
            let values = numbers(name, shape.iter().product());
            (name.clone(), shape.clone(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = data.iter().map(|(name, shape, data)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap();
        (name.as_str(), view)
    });
    let metadata = description.map(|json| [("sigmascope".to_owned(), json)].into());
    bytes(file, safetensors::serialize(views, metadata).unwrap())
}

/// An archive as `torch.save` writes it: a pickle, and storages by their keys.
pub fn archive(pickle: &[u8], storages: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method).compression_level(Some(1));
    let options = if method == CompressionMethod::Stored { options.compression_level(None) } else { options };
    let members = storages.iter().map(|(key, data)| (format!("data/{key}"), *data));
    for (name, data) in [("data.pkl".to_owned(), pickle)].into_iter().chain(members) {
        writer.start_file(format!("archive/{name}"), options).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Opcodes, written by hand.
#[derive(Default, Clone)]
pub struct Opcodes(pub Vec<u8>);

impl Opcodes {
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    pub fn int(self, number: i64) -> Self {
        self.raw(&[0x8a, 8]).raw(&number.to_le_bytes())
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.raw(b"c").raw(module.as_bytes()).raw(b"\n").raw(name.as_bytes()).raw(b"\n")
    }

    pub fn numbers(self, numbers: &[i64]) -> Self {
        numbers.iter().fold(self.raw(b"("), |opcodes, &number| opcodes.int(number)).raw(b"t")
    }

    pub fn storage(self, class: &str, key: &str, len: i64) -> Self {
        self.raw(b"(").text("storage").global("torch", class).text(key).text("cpu").int(len).raw(b"tQ")
    }

    /// A tensor on a storage of this class, key and length.
    pub fn tensor(self, storage: (&str, &str, i64), offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        let (class, key, len) = storage;
        let opcodes = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(").storage(class, key, len).int(offset);
        opcodes.numbers(shape).numbers(strides).raw(b"\x89NtR")
    }

    /// `{'model': {'weight': …}}` around what `value` pushes.
    pub fn model(value: impl FnOnce(Self) -> Self) -> Vec<u8> {
        let opcodes = Self::new().raw(b"}").text("model").raw(b"}").text("weight");
        value(opcodes).raw(b"ss.").0
    }
}
