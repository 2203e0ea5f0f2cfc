//! What a weights file says about its network, as GGUF metadata.
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `general.architecture` | text | `hypersigma` |
//! | `general.name`, `general.size_label`, `general.license`, `general.source.url` | text | |
//! | `general.alignment`, `general.file_type`, `general.quantization_version` | u32 | 32; ggml's number of the quantisation; 2 |
//! | `hypersigma.origin` | text | `pretraining` or `fine_tuning` |
//! | `hypersigma.size` | text | `base`, `large`, `huge`, …, where the shape has a name |
//! | `hypersigma.quantization` | text | `f32`, `f16`, `q8_0`, `q4_0`: the type of the large matrices |
//! | `hypersigma.embedding_length`, `.block_count`, `.feed_forward_length` | u32 | width, depth, width of the MLP |
//! | `hypersigma.attention.head_count`, `.interval`, `.point_count` | u32 | |
//! | `hypersigma.attention.layer_norm_epsilon` | f32 | |
//! | `hypersigma.feature_blocks` | u32\[4\] | spatial blocks that give the features |
//! | `hypersigma.spectral.token_count`, `.block_count` | u32 | tokens; blocks that influence the result |
//! | `hypersigma.complete` | bool | whether the file holds blocks and layers that do not |
//! | `hypersigma.patch_size`, `.component_count`, `.tile.rows`, `.tile.cols` | u32 | of fine-tuning, or of pre-training where known |
//! | `hypersigma.task` | text | `segmentation` or `classification`; fine-tuned only, like all below |
//! | `hypersigma.class_count`, `.class_names`, `.class_colors` | u32, text\[\], u32\[\] | class 1 first; 0xRRGGBB |
//! | `hypersigma.projection.*` | | spectra → components: see `projection` below |
//! | `hypersigma.settings` | text | JSON of our training settings, scene and history, where it was trained here |
//! | `hypersigma.source.files`, `.sha256` | text\[\] | the inputs of the conversion |

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use super::gguf::{ALIGNMENT, ARCHITECTURE, Value};
use super::reading::Reading;
use super::{Origin, Quantization, WeightsError};
use crate::labels::Class;
use crate::model::{Config, Task};
use crate::preprocess::{Projection, Scaling};

/// What a weights file says about its network.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The network. Of pre-trained encoders only the encoders' part means something: `rows`, `cols`, `patch` and
    /// `components` are those of the pre-training or 0, `classes` is 0, and `task` stands for nothing.
    pub network: Config,
    pub origin: Origin,
    /// `base`, `large`, …; `None` for a shape without a name.
    pub size: Option<String>,
    pub quantization: Quantization,
    /// From spectra to the network's input.
    pub projection: Option<Projection>,
    /// Class 1 first; empty where nobody has named them.
    pub classes: Vec<Class>,
    /// Settings, scene and history of a training here, JSON.
    pub settings: Option<String>,
    /// SPDX identifier, or words.
    pub license: Option<String>,
    /// Where the weights come from.
    pub source_url: Option<String>,
    /// Names of the files it was converted from, and their SHA-256 in hexadecimal.
    pub sources: Vec<(String, String)>,
}

/// What a model file saved here says about itself, as far as a weights file repeats it.
#[derive(Deserialize)]
struct ModelFile {
    shape: Config,
    projection: Json,
    classes: Vec<Class>,
    #[serde(default)]
    adapter: bool,
}

impl Description {
    /// The description in the header of a safetensors model saved here.
    pub(super) fn from_model_file(name: &str, json: &str) -> Result<Self, WeightsError> {
        let broken = |error: serde_json::Error| {
            WeightsError::malformed(name, format!("its description is not of this program ({error})"))
        };
        let mut all: Json = serde_json::from_str(json).map_err(broken)?;
        let ModelFile { shape, mut projection, classes, adapter } = ModelFile::deserialize(&all).map_err(broken)?;
        if adapter {
            let what = "it is an adapter, which is nothing without its base; save the merged model and take that";
            return Err(WeightsError::unsupported(name, what));
        }
        // Saved models write fractions as text, to the last digit.
        text_to_numbers(&mut projection);
        let projection = Projection::deserialize(projection).map_err(broken)?;
        if let Some(fields) = all.as_object_mut() {
            for repeated in ["shape", "projection", "classes"] {
                fields.remove(repeated);
            }
        }
        Ok(Self {
            network: shape,
            origin: Origin::FineTuning,
            size: None,
            quantization: Quantization::F32,
            projection: Some(projection),
            classes,
            settings: Some(all.to_string()),
            license: None,
            source_url: None,
            sources: Vec::new(),
        })
    }

    /// The metadata of a GGUF file, in order.
    pub fn to_metadata(&self) -> Vec<(String, Value)> {
        let Config { task, rows, cols, patch, components, classes, embed_dim, depth, heads, .. } = self.network;
        let Config { mlp_ratio, interval, points, spectral_tokens, spectral_blocks, features, complete, .. } =
            self.network;
        let mut pairs: Vec<(String, Value)> = Vec::new();
        let mut general = |key: &str, value: Value| pairs.push((format!("general.{key}"), value));
        general("architecture", Value::Text(ARCHITECTURE.into()));
        general("name", Value::Text(self.title()));
        let label = self.size.as_deref().map(capitalized);
        for (key, text) in [("size_label", &label), ("license", &self.license), ("source.url", &self.source_url)] {
            if let Some(text) = text {
                general(key, Value::Text(text.clone()));
            }
        }
        general("alignment", Value::U32(ALIGNMENT as u32));
        general("file_type", Value::U32(file_type(self.quantization)));
        general("quantization_version", Value::U32(2));

        let mut put = |key: &str, value: Value| pairs.push((format!("{ARCHITECTURE}.{key}"), value));
        let number = |value: usize| Value::U32(u32::try_from(value).unwrap_or(u32::MAX));
        put("origin", Value::Text(origin_name(self.origin).into()));
        if let Some(size) = &self.size {
            put("size", Value::Text(size.clone()));
        }
        put("quantization", Value::Text(self.quantization.name().into()));
        put("embedding_length", number(embed_dim));
        put("block_count", number(depth));
        put("feed_forward_length", number(embed_dim * mlp_ratio));
        put("attention.head_count", number(heads));
        put("attention.interval", number(interval));
        put("attention.point_count", number(points));
        put("attention.layer_norm_epsilon", Value::F32(1e-6));
        put("feature_blocks", Value::U32s(features.iter().map(|&block| block as u32).collect()));
        put("spectral.token_count", number(spectral_tokens));
        put("spectral.block_count", number(spectral_blocks));
        put("complete", Value::Bool(complete));
        let known = [("patch_size", patch), ("component_count", components), ("tile.rows", rows), ("tile.cols", cols)];
        for (key, value) in known.into_iter().filter(|(_, value)| *value > 0) {
            put(key, number(value));
        }
        if self.origin == Origin::FineTuning {
            put("task", Value::Text(task_name(task).into()));
            put("class_count", number(classes));
        }
        if !self.classes.is_empty() {
            let color = |class: &Class| u32::from_be_bytes([0, class.color[0], class.color[1], class.color[2]]);
            put("class_names", Value::Texts(self.classes.iter().map(|class| class.name.clone()).collect()));
            put("class_colors", Value::U32s(self.classes.iter().map(color).collect()));
        }
        if let Some(projection) = &self.projection {
            for (key, value) in projection_pairs(projection) {
                put(&format!("projection.{key}"), value);
            }
        }
        if let Some(settings) = &self.settings {
            put("settings", Value::Text(settings.clone()));
        }
        if !self.sources.is_empty() {
            put("source.files", Value::Texts(self.sources.iter().map(|(name, _)| name.clone()).collect()));
            put("source.sha256", Value::Texts(self.sources.iter().map(|(_, hash)| hash.clone()).collect()));
        }
        pairs
    }

    /// Reads the metadata back.
    ///
    /// # Errors
    /// [`WeightsError::Malformed`] when something is missing or contradicts the rest.
    pub fn from_metadata(name: &str, metadata: &BTreeMap<String, Value>) -> Result<Self, WeightsError> {
        let read = Reading { name, metadata };
        let of = read.text("origin")?;
        let origin = match of {
            "pretraining" => Origin::Pretraining,
            "fine_tuning" => Origin::FineTuning,
            _ => return Err(read.damaged("origin")),
        };
        let quantization = read.text("quantization")?;
        let quantization = Quantization::ALL.into_iter().find(|known| known.name() == quantization);
        let quantization = quantization.ok_or_else(|| read.damaged("quantization"))?;
        let task = match (origin, read.get("task")) {
            (Origin::Pretraining, None) => Task::Segmentation,
            (_, Some(Value::Text(task))) if task == task_name(Task::Segmentation) => Task::Segmentation,
            (_, Some(Value::Text(task))) if task == task_name(Task::Classification) => Task::Classification,
            _ => return Err(read.damaged("task")),
        };
        let blocks = match read.get("feature_blocks") {
            Some(Value::U32s(blocks)) => <[u32; 4]>::try_from(blocks.as_slice()).ok(),
            _ => None,
        };
        let features = blocks.ok_or_else(|| read.damaged("feature_blocks"))?.map(|block| block as usize);
        let embed_dim = read.number("embedding_length")?;
        let preset = Config::base(task, [0, 0], 0, 0);
        let network = Config {
            rows: read.number_or_0("tile.rows")?,
            cols: read.number_or_0("tile.cols")?,
            patch: read.number_or_0("patch_size")?,
            components: read.number_or_0("component_count")?,
            classes: read.number_or_0("class_count")?,
            embed_dim,
            depth: read.number("block_count")?,
            heads: read.number("attention.head_count")?,
            mlp_ratio: read.number("feed_forward_length")? / embed_dim.max(1),
            interval: read.number("attention.interval")?,
            points: read.number("attention.point_count")?,
            spectral_tokens: read.number("spectral.token_count")?,
            spectral_blocks: read.number("spectral.block_count")?,
            features,
            complete: matches!(read.get("complete"), Some(Value::Bool(true))),
            ..preset
        };
        let general = |key: &str| match metadata.get(&format!("general.{key}")) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let own = |key: &str| match read.get(key) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        Ok(Self {
            network,
            origin,
            size: own("size"),
            quantization,
            projection: read.projection()?,
            classes: read.classes()?,
            settings: own("settings"),
            license: general("license"),
            source_url: general("source.url"),
            sources: read.sources(),
        })
    }

    /// For people: "HyperSIGMA Base, pre-trained encoders".
    pub fn title(&self) -> String {
        let size = self
            .size
            .as_deref()
            .map_or_else(|| "HyperSIGMA".to_owned(), |size| format!("HyperSIGMA {}", capitalized(size)));
        match self.origin {
            Origin::Pretraining => format!("{size}, pre-trained encoders"),
            Origin::FineTuning => {
                format!("{size}, {} of {} classes", task_name(self.network.task), self.network.classes)
            }
        }
    }
}

/// A projection under the names of its fields.
fn projection_pairs(projection: &Projection) -> Vec<(&'static str, Value)> {
    let Projection { bands, mean, components, variance, divisor, .. } = projection;
    let mut pairs = vec![
        ("scene_bands", Value::U32(projection.scene_bands as u32)),
        ("bands", Value::U32s(bands.iter().map(|&band| band as u32).collect())),
        ("pixels", Value::U64(projection.pixels)),
        ("mean", Value::F64s(mean.clone())),
        ("components", Value::F64s(components.clone())),
        ("variance", Value::F64s(variance.clone())),
        ("divisor", Value::F64s(divisor.clone())),
        ("total_variance", Value::F64(projection.total_variance)),
    ];
    if let Some(Scaling { offset, factor }) = projection.scaling {
        pairs.push(("scaling", Value::F64s(vec![offset, factor])));
    }
    if let Some(wavelengths_nm) = &projection.wavelengths_nm {
        pairs.push(("wavelengths_nm", Value::F64s(wavelengths_nm.clone())));
    }
    pairs
}

/// Texts that are numbers become numbers; all others stay and are refused where a number is expected.
fn text_to_numbers(value: &mut Json) {
    match value {
        Json::String(text) => {
            if let Some(number) = text.parse().ok().and_then(serde_json::Number::from_f64) {
                *value = Json::Number(number);
            }
        }
        Json::Array(list) => list.iter_mut().for_each(text_to_numbers),
        Json::Object(fields) => fields.values_mut().for_each(text_to_numbers),
        _ => {}
    }
}

fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Pretraining => "pretraining",
        Origin::FineTuning => "fine_tuning",
    }
}

fn task_name(task: Task) -> &'static str {
    match task {
        Task::Segmentation => "segmentation",
        Task::Classification => "classification",
    }
}

/// ggml's `llama_ftype`, which tools show.
fn file_type(quantization: Quantization) -> u32 {
    match quantization {
        Quantization::F32 => 0,
        Quantization::F16 => 1,
        Quantization::Q4_0 => 2,
        Quantization::Q8_0 => 7,
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
