//! A finished pre-training as a GGUF file.

use std::io::{self, Write};

use super::config::PretrainConfig;
use super::run::PretrainReport;
use crate::model::{Config, Parameter};
use crate::weights::gguf::{Layout, Writer};
use crate::weights::{Description, Origin, Quantization, Size, TensorInfo, encode};

/// The licence of weights that have seen nothing but generated scenes: the program's own.
const LICENSE: &str = "MIT OR Apache-2.0";

/// Writes weights as they come from [`Pretrainer::weights`](super::Pretrainer::weights), with what made them.
///
/// # Errors
/// The sink's own; `InvalidData` where a number cannot be stored.
pub fn write_gguf(
    config: &PretrainConfig,
    shape: &Config,
    history: &[PretrainReport],
    weights: &[(Parameter, Vec<f32>)],
    quantization: Quantization,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let settings = serde_json::json!({ "config": config, "history": history, "data": "generated scenes only" });
    let description = Description {
        // The tile of the pre-training means nothing later: what depends on it is not kept.
        network: Config { rows: 0, cols: 0, classes: 0, ..shape.clone() },
        origin: Origin::Pretraining,
        size: Size::of(shape).map(|size| size.name.to_owned()),
        quantization,
        projection: None,
        classes: Vec::new(),
        settings: Some(settings.to_string()),
        license: Some(LICENSE.to_owned()),
        source_url: Some(env!("CARGO_PKG_REPOSITORY").to_owned()).filter(|url| !url.is_empty()),
        sources: Vec::new(),
    };
    let tensor = |(parameter, _): &(Parameter, Vec<f32>)| {
        let (name, shape) = (parameter.name.clone(), parameter.shape.clone());
        let kind = quantization.of(&name, &shape);
        TensorInfo { name, shape, kind }
    };
    let tensors: Vec<TensorInfo> = weights.iter().map(tensor).collect();
    let layout = Layout::new(&description.to_metadata(), &tensors).map_err(io::Error::other)?;
    let mut writer = Writer::new(layout);
    for (tensor, (_, values)) in tensors.iter().zip(weights) {
        let mut bytes = Vec::with_capacity(values.len() * 4);
        encode(tensor.kind, values, &mut bytes).map_err(|index| {
            let reason = format!("{} holds {} at {index}", tensor.name, values[index]);
            io::Error::new(io::ErrorKind::InvalidData, reason)
        })?;
        writer.write(&bytes, sink)?;
    }
    writer.finish(sink)
}
