//! What a network starts from: pretrained weights where there are some, random ones where not.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::config::{Input, ModelSize, TrainConfig};
use super::tuning::Lora;
use crate::kernels::quantized::WeightKind;
use crate::model::{Config, Initializer, ParameterError, ParameterSource, StoredWeights};
use crate::weights::{Description, Pretrained, Take, TensorType, WeightsError};

/// Inputs of a projection that share a scale; others cannot be stored in blocks.
const BLOCK: usize = 32;
const PATCH_EMBED: &str = "spat_encoder.patch_embed.proj.weight";

impl TrainConfig {
    /// Takes over what a run has to share with the weights that it starts from: the size, the patch, and number and kind of
    /// components where the file embeds them (the official procedure embeds every scene anew).
    pub fn adopt(&mut self, weights: &Pretrained) {
        let Description { size, network, settings, .. } = weights.description();
        let size = match size.as_deref() {
            Some("tiny") => Some(ModelSize::Tiny),
            Some("nano") => Some(ModelSize::Nano),
            Some("base") => Some(ModelSize::Base),
            Some("large") => Some(ModelSize::Large),
            Some("huge") => Some(ModelSize::Huge),
            _ => None,
        };
        self.size = size.unwrap_or(self.size);
        self.width = size.is_none().then_some(network.embed_dim);
        if network.patch > 0 {
            self.patch = Some(network.patch);
        }
        if network.components > 0 && weights.holds(PATCH_EMBED) {
            self.components = network.components;
            let settings = settings.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
            let input = settings.and_then(|json| Input::deserialize(json.pointer("/config/input")?).ok());
            self.input = input.unwrap_or(self.input);
        }
    }
}

/// The parameters of one network. What the plan of a [`Pretrained`] takes comes from its file, tensor by tensor; everything
/// else is drawn as for a fresh network, from the seed and its own name.
///
/// With LoRA the blocks' projections stay as they are stored, and of the blocks only adapters and what the file lacks are
/// trained (norms and biases stay, as PEFT leaves them).
pub struct Start<'a> {
    pretrained: Option<&'a Pretrained>,
    takes: BTreeMap<String, Take>,
    fresh: Initializer,
    lora: Option<Lora>,
    /// Nothing is trained.
    frozen: bool,
}

impl<'a> Start<'a> {
    /// # Errors
    /// [`WeightsError`] when the file does not fit `network`.
    pub fn new(
        pretrained: Option<&'a Pretrained>,
        network: &Config,
        lora: Option<Lora>,
        seed: u64,
    ) -> Result<Self, WeightsError> {
        let takes = match pretrained {
            None => Vec::new(),
            Some(pretrained) => pretrained.plan(network)?.takes,
        };
        let takes = takes.into_iter().map(|take| (take.name.clone(), take)).collect();
        Ok(Self { pretrained, takes, fresh: Initializer::new(seed), lora, frozen: false })
    }

    /// To compute with the network as its file holds it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn frozen(file: &'a Pretrained, network: &Config) -> Result<Self, WeightsError> {
        Ok(Self { frozen: true, ..Self::new(Some(file), network, None, 0)? })
    }

    /// Does the parameter `name` come from the file?
    pub fn takes(&self, name: &str) -> bool {
        self.takes.contains_key(name)
    }

    /// The tensor of the file that becomes the parameter `name`.
    fn taken(&self, name: &str) -> Option<(&'a Pretrained, &Take)> {
        Some((self.pretrained?, self.takes.get(name)?))
    }
}

impl ParameterSource for Start<'_> {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        let Some((pretrained, take)) = self.taken(name) else { return self.fresh.values(name, shape) };
        let values = pretrained.values(take).map_err(|error| unread(name, &error))?;
        if take.shape != shape || values.len() != shape.iter().product::<usize>() {
            let (expected, found) = (shape.to_vec(), take.shape.clone());
            return Err(ParameterError::Shape { name: name.to_owned(), expected, found });
        }
        self.fresh.skip(name, shape);
        Ok(values)
    }

    fn stored(&mut self, name: &str, shape: [usize; 2]) -> Result<Option<StoredWeights>, ParameterError> {
        // Rows that fill no blocks become constants in float32.
        if self.trains(name) || !shape[1].is_multiple_of(BLOCK) {
            return Ok(None);
        }
        let Some((pretrained, take)) = self.taken(name) else { return Ok(None) };
        let stored = pretrained.stored(take).map_err(|error| unread(name, &error))?;
        let weights = match stored.and_then(|(kind, bytes)| Some((weight_kind(kind)?, bytes))) {
            Some((kind, bytes)) => StoredWeights { kind, bytes },
            None => {
                let values = self.values(name, &shape)?;
                let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
                StoredWeights { kind: WeightKind::F32, bytes }
            }
        };
        self.fresh.skip(name, &shape);
        Ok(Some(weights))
    }

    fn trains(&self, name: &str) -> bool {
        !self.frozen && (self.lora.is_none() || !name.contains(".blocks.") || !self.takes(name))
    }

    fn low_rank(&self, name: &str) -> Option<(usize, f64)> {
        let lora = self.lora.filter(|lora| lora.targets.include(name))?;
        Some((lora.rank, lora.alpha / lora.rank as f64))
    }
}

fn unread(name: &str, error: &WeightsError) -> ParameterError {
    ParameterError::Source { name: name.to_owned(), reason: error.to_string() }
}

/// The kind of matrix that is multiplied as it is stored.
fn weight_kind(kind: TensorType) -> Option<WeightKind> {
    match kind {
        TensorType::F32 => Some(WeightKind::F32),
        TensorType::F16 => Some(WeightKind::F16),
        TensorType::Q8_0 => Some(WeightKind::Q8_0),
        TensorType::Q4_0 => Some(WeightKind::Q4_0),
        _ => None,
    }
}
