//! Pre-training on generated scenes: it learns, repeats, resumes and ends in a file that networks start from.

mod cli;
mod runs;

use sigmascope::train::ModelSize;
use sigmascope::train::pretrain::PretrainConfig;

/// The smallest run that does everything.
fn tiny() -> PretrainConfig {
    PretrainConfig {
        size: ModelSize::Tiny,
        components: 12,
        scene: 24,
        tile: 16,
        epochs: 4,
        scenes: 2,
        views: 3,
        warmup_epochs: 1,
        autoencoding: 1.0,
        episodes: 1.0,
        fields: 1.0,
        mask_cell: 2,
        ..PretrainConfig::default()
    }
}
