//! What a run changes of the weights that it starts from.

use serde::{Deserialize, Serialize};

use crate::model::{Config, names};

/// What a run changes of a network that starts from pretrained weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tuning {
    /// Everything; quantized weights are unpacked.
    #[default]
    Full,
    /// Low-rank changes of the blocks' projections. The blocks' own weights stay frozen, as the file holds them; what lies
    /// outside the blocks (embeddings, spectral enhancement, head) and what the file lacks is trained in full.
    Lora(Lora),
}

impl Tuning {
    /// The adapters, if there are any.
    pub fn lora(&self) -> Option<Lora> {
        match self {
            Self::Full => None,
            Self::Lora(lora) => Some(*lora),
        }
    }

    /// Name and official shape of what a model file holds after such a run, in official order, and whether it must: of the
    /// blocks' own tensors an adapter file holds those that the weights lacked.
    pub fn contents(&self, network: &Config) -> Vec<(String, Vec<usize>, bool)> {
        match self.lora() {
            Some(lora) => lora.parameters(network),
            None => names::live(network).into_iter().map(|(name, shape)| (name, shape, true)).collect(),
        }
    }

    /// Numbers that a run trains of `network`; `taken` says which tensors a weights file brings.
    pub fn trained(&self, network: &Config, taken: impl Fn(&str) -> bool) -> usize {
        let Self::Lora(lora) = self else { return network.parameter_count() };
        let trained = lora.parameters(network).into_iter().filter(|(name, _, always)| *always || !taken(name));
        trained.map(|(_, shape, _)| shape.iter().product::<usize>()).sum()
    }
}

/// Low-rank adapters (LoRA, arXiv 2106.09685): W + (alpha / rank) · B · A.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lora {
    /// Rows of A, columns of B.
    pub rank: usize,
    pub alpha: f64,
    pub targets: LoraTargets,
}

impl Lora {
    /// Name and official shape of everything that can be trained, in the order in which a network is built, and whether it
    /// always is: of the blocks' own tensors only those are that the weights file lacks.
    pub fn parameters(&self, network: &Config) -> Vec<(String, Vec<usize>, bool)> {
        let mut list: Vec<(String, Vec<usize>, bool)> = Vec::new();
        for (name, sides) in names::live(network) {
            // A bias stands behind its weight, `[out, in]`, and adapters behind both.
            let inputs = list.last().and_then(|(_, weight, _)| weight.get(1).copied());
            let adapted = name.strip_suffix(".bias").filter(|name| self.targets.include(name));
            let thin = adapted.zip(inputs).map(|(name, inputs)| {
                let [a, b] = ["lora_A", "lora_B"].map(|matrix| format!("{name}.{matrix}.weight"));
                [(a, vec![self.rank, inputs], true), (b, vec![sides[0], self.rank], true)]
            });
            let always = !name.contains(".blocks.");
            list.push((name, sides, always));
            list.extend(thin.into_iter().flatten());
        }
        list
    }
}

impl Default for Lora {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, targets: LoraTargets::default() }
    }
}

/// Which projections of a block have adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoraTargets {
    /// Query, key and value, one matrix.
    pub qkv: bool,
    /// The output of the attention.
    pub proj: bool,
    /// The MLP's way up.
    pub fc1: bool,
    /// The MLP's way down.
    pub fc2: bool,
}

impl Default for LoraTargets {
    fn default() -> Self {
        Self { qkv: true, proj: true, fc1: true, fc2: true }
    }
}

impl LoraTargets {
    /// Does the projection of this official name (without `.weight`) have an adapter?
    pub fn include(self, name: &str) -> bool {
        let of = |end: &str| name.contains(".blocks.") && name.ends_with(end);
        (self.qkv && of(".attn.qkv"))
            || (self.proj && of(".attn.proj"))
            || (self.fc1 && of(".mlp.fc1"))
            || (self.fc2 && of(".mlp.fc2"))
    }

    /// None at all?
    pub fn is_empty(self) -> bool {
        !(self.qkv || self.proj || self.fc1 || self.fc2)
    }
}
