//! The official state dict: which names and shapes a network has, and which of them its forward pass never uses.

use super::config::{Config, REDUCED, Scale, Task};

/// Name and official shape of every parameter that the network trains, in the order in which it is built.
pub fn live(config: &Config) -> Vec<(String, Vec<usize>)> {
    let mut list = Vec::new();
    let [rows, cols] = config.grid();
    let (dim, patch) = (config.embed_dim, config.patch);
    list.push(("spat_encoder.pos_embed".into(), vec![1, rows * cols, dim]));
    biased(&mut list, "spat_encoder.patch_embed.proj", vec![dim, config.components, patch, patch]);
    for i in 0..config.depth {
        block(&mut list, config, &format!("spat_encoder.blocks.{i}"), i);
    }
    if config.scales()[0] == Scale::Double {
        biased(&mut list, "spat_encoder.fpn1.0", vec![dim, dim, 2, 2]);
    }

    list.push(("spec_encoder.pos_embed".into(), vec![1, config.spectral_tokens, dim]));
    biased(&mut list, "spec_encoder.spat_map", vec![dim, config.rows * config.cols]);
    for i in 0..if config.complete { config.depth } else { config.spectral_blocks } {
        block(&mut list, config, &format!("spec_encoder.blocks.{i}"), i);
    }
    list.push(("spec_encoder.l1.weight".into(), vec![REDUCED, dim]));

    for j in 1..=4 {
        list.push((format!("fc_spec{j}.0.weight"), vec![REDUCED, config.spectral_tokens]));
        list.push((format!("fc_spec{j}.2.weight"), vec![config.enhanced_channels(), REDUCED]));
    }
    for j in 1..=4 {
        list.push((format!("DR{j}.weight"), vec![REDUCED, dim, 1, 1]));
    }
    match config.task {
        Task::Segmentation => {
            biased(&mut list, "cls", vec![config.classes, REDUCED, 1, 1]);
            biased(&mut list, "conv", vec![REDUCED, 4 * REDUCED, 1, 1]);
        }
        Task::Classification => {
            biased(&mut list, "classifier.0", vec![256, 4 * REDUCED]);
            biased(&mut list, "classifier.2", vec![128, 256]);
            biased(&mut list, "classifier.4", vec![config.classes, 128]);
        }
    }
    list
}

/// Name and official shape of what a state dict holds besides, dead spectral blocks excepted (official behaviour 13).
pub fn unused(config: &Config) -> Vec<(String, Vec<usize>)> {
    let mut list = Vec::new();
    let (dim, tokens, classes) = (config.embed_dim, config.spectral_tokens, config.classes);
    let classifier = |list: &mut _, name: &str, input: usize| {
        for (i, shape) in [vec![128, input], vec![64, 128], vec![classes, 64]].into_iter().enumerate() {
            biased(list, &format!("{name}.{i}"), shape);
        }
    };
    // Inputs of both classifiers are those of ViT-B whatever the size.
    classifier(&mut list, "spat_encoder.classifier", 64 * 768);
    let collected = match config.task {
        Task::Segmentation => 1,
        Task::Classification => {
            biased(&mut list, "spat_encoder.cls", vec![classes, 4 * dim, 1, 1]);
            classifier(&mut list, "spat_encoder.classifier1", 4 * 768);
            biased(&mut list, "conv", vec![REDUCED, 4 * REDUCED, 1, 1]);
            4
        }
    };
    biased(&mut list, "spat_encoder.norm", vec![dim]);
    biased(&mut list, "spec_encoder.norm", vec![dim]);
    for i in 0..collected {
        biased(&mut list, &format!("spec_encoder.conv_q.{i}"), vec![tokens, tokens, 1, 1]);
        biased(&mut list, &format!("spec_encoder.conv_k.{i}"), vec![tokens, tokens, 1]);
        biased(&mut list, &format!("spec_encoder.conv_v.{i}"), vec![tokens, tokens, 1]);
    }
    let features = if config.task == Task::Segmentation { 128 } else { 64 };
    list.push(("conv_features.weight".into(), vec![features, dim, 1, 1]));
    list
}

/// May a state dict hold this name although the network does not use it?
pub fn is_unused(config: &Config, name: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "spat_encoder.classifier.",
        "spat_encoder.classifier1.",
        "spat_encoder.cls.",
        "spat_encoder.norm.",
        "spec_encoder.norm.",
        "spec_encoder.conv_q.",
        "spec_encoder.conv_k.",
        "spec_encoder.conv_v.",
        "conv_features.",
    ];
    let dead_block = name
        .strip_prefix("spec_encoder.blocks.")
        .and_then(|rest| rest.split('.').next()?.parse::<usize>().ok())
        .is_some_and(|index| index >= config.spectral_blocks);
    dead_block
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || (config.task == Task::Classification && name.starts_with("conv."))
}

impl Config {
    /// Number of trained parameters.
    pub fn parameter_count(&self) -> usize {
        count(&live(self))
    }

    /// Number of values in a complete official checkpoint of this network.
    pub fn official_parameter_count(&self) -> usize {
        let complete = Self { complete: true, ..self.clone() };
        count(&live(&complete)) + count(&unused(&complete))
    }
}

fn count(list: &[(String, Vec<usize>)]) -> usize {
    list.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
}

/// Block i of the encoder named `name` (SpatViT_fusion.py:249-290).
fn block(list: &mut Vec<(String, Vec<usize>)>, config: &Config, name: &str, index: usize) {
    let (dim, hidden) = (config.embed_dim, config.embed_dim * config.mlp_ratio);
    biased(list, &format!("{name}.norm1"), vec![dim]);
    biased(list, &format!("{name}.attn.qkv"), vec![3 * dim, dim]);
    if !config.attends_fully(index) {
        biased(list, &format!("{name}.attn.sampling_offsets"), vec![config.heads * config.points * 2, dim]);
    }
    biased(list, &format!("{name}.attn.proj"), vec![dim, dim]);
    biased(list, &format!("{name}.norm2"), vec![dim]);
    biased(list, &format!("{name}.mlp.fc1"), vec![hidden, dim]);
    biased(list, &format!("{name}.mlp.fc2"), vec![dim, hidden]);
}

/// `name.weight` of this shape, and `name.bias` with one value an output. A transposed convolution has its outputs
/// second; it is square here.
fn biased(list: &mut Vec<(String, Vec<usize>)>, name: &str, weight: Vec<usize>) {
    let bias = vec![weight[0]];
    list.push((format!("{name}.weight"), weight));
    list.push((format!("{name}.bias"), bias));
}
