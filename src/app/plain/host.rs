//! A federation as a host plans it: from the open scene and a few numbers to the definition.

use super::draft::Draft;
use crate::federation::protocol::{
    BlobRef, Class as TheirClass, Deadlines, Definition, Encoding, Input, Limits, LocalWork, Model, Privacy, Quorum,
    Start, Trainable, VERSION,
};
use crate::labels::Class;
use crate::scene::SceneInfo;
use crate::train::{ModelSize, SharedNetwork, TrainConfig, Tuning};

/// Longest side of the common network's input: one matrix of the spectral encoder grows with its area.
const TILE_MAX: usize = 96;
/// More bands are thinned out evenly.
const BANDS_MAX: usize = 512;

/// The wavelengths of the usable bands, rising; bands of a scene that does not tell them are numbered.
pub fn grid(info: &SceneInfo) -> Vec<f64> {
    let Some(told) = info.wavelengths_nm.as_ref().filter(|told| told.len() == info.bands) else {
        return (1..=info.bands.min(BANDS_MAX)).map(|band| band as f64).collect();
    };
    let good = |band: &usize| info.good_bands.get(*band).copied().unwrap_or(true);
    let mut grid: Vec<f64> = (0..info.bands).filter(good).map(|band| told[band]).collect();
    grid.sort_by(f64::total_cmp);
    grid.dedup();
    if grid.len() > BANDS_MAX {
        let all = grid.len();
        grid = (0..BANDS_MAX).map(|place| grid[place * all / BANDS_MAX]).collect();
    }
    grid
}

/// The network that everybody builds: with LoRA and weights to adapt the chosen one; without, the chosen size trained in full, or
/// Nano where that would be too much to send in every round.
pub fn network(info: &SceneInfo, config: &TrainConfig, weights: bool) -> SharedNetwork {
    let adapters = weights && config.tuning.lora().is_some();
    let small = matches!(config.size, ModelSize::Tiny | ModelSize::Nano);
    let config = if small || adapters { config.clone() } else { TrainConfig::preset(ModelSize::Nano) };
    let tuning = if adapters { config.tuning.clone() } else { Tuning::Full };
    let multiple = (4 * config.patch()).max(8);
    let side = |length: usize| length.next_multiple_of(multiple).min(TILE_MAX / multiple * multiple).max(multiple);
    let components = config.components.min(grid(info).len());
    let config = TrainConfig { tuning, components, ..config };
    SharedNetwork { tile: [side(info.rows), side(info.cols)], components, config }
}

/// What a federation begins with.
pub struct Beginning {
    pub weights: BlobRef,
    /// The frozen weights and their name, where adapters are trained.
    pub backbone: Option<(BlobRef, String)>,
}

/// The definition, once the weights with which it begins are there.
///
/// # Errors
/// A sentence with the first field that is out of its range.
pub fn definition(
    draft: &Draft,
    info: &SceneInfo,
    classes: &[Class],
    network: &SharedNetwork,
    beginning: Beginning,
) -> Result<Definition, String> {
    let (backbone, name) = match (beginning.backbone, network.config.tuning.lora()) {
        (Some((backbone, name)), Some(lora)) => (Some(backbone), format!("{name}; LoRA of rank {}", lora.rank)),
        _ => (None, format!("HyperSIGMA {}", if network.config.size == ModelSize::Tiny { "Tiny" } else { "Nano" })),
    };
    let definition = Definition {
        version: VERSION,
        title: draft.title.trim().to_owned(),
        model: Model {
            name,
            weights: beginning.weights,
            backbone,
            settings: serde_json::to_value(network).map_err(|error| error.to_string())?,
        },
        trainable: Trainable::All,
        input: Input { wavelengths_nm: grid(info), projection: Some(shareable(network)) },
        classes: classes
            .iter()
            .map(|class| TheirClass { name: class.name.clone(), colour: Some(class.color) })
            .collect(),
        algorithm: draft.algorithm(),
        local: LocalWork::Epochs(draft.epochs),
        encoding: Encoding::Int8,
        quorum: Quorum { min_clients: draft.min_clients, min_fraction: 0.5, max_clients: 1000 },
        deadlines: Deadlines { statistics_s: 600.0, round_s: draft.round_minutes * 60.0, presence_s: 60.0 },
        rounds: draft.rounds,
        start: Start::AtQuorum,
        limits: Limits { max_norm: None, max_samples: 1_000_000 },
        privacy: Privacy { keep_updates: false },
    };
    definition.check().map_err(|error| error.to_string())?;
    Ok(definition)
}

/// The projection of the configuration, or its neighbour that needs no neighbouring pixels: those are not shared.
fn shareable(network: &SharedNetwork) -> crate::preprocess::FitOptions {
    let config = TrainConfig { components: network.components, ..network.config.clone() };
    match config.input {
        crate::train::Input::NoiseFraction => crate::preprocess::FitOptions::noise_adjusted(network.components),
        _ => config.projection(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::draft::Combining;
    use super::*;
    use crate::federation::protocol::Hash;
    use crate::scene::{Cube, teaching};
    use crate::train::Lora;

    #[test]
    fn a_scene_and_a_few_numbers_make_a_definition() {
        let (cube, labels) = teaching::generate(1);
        let info = cube.info();
        let network = network(info, &TrainConfig::default(), true);
        assert_eq!(network.validate(), Ok(()));
        let definition = |draft: &Draft, network: &SharedNetwork, backbone| {
            let weights = BlobRef { sha256: Hash([1; 32]), bytes: 1000 };
            definition(draft, info, &labels.classes, network, Beginning { weights, backbone })
        };
        let made = definition(&Draft::default(), &network, None).unwrap();
        assert_eq!(made.check(), Ok(()));
        assert_eq!(made.classes.len(), labels.classes.len());
        let back: SharedNetwork = serde_json::from_value(made.model.settings).unwrap();
        assert_eq!(back, network);
        let untitled = Draft { title: " ".into(), ..Draft::default() };
        assert!(definition(&untitled, &network, None).unwrap_err().contains("title"));
        let trimmed = Draft { combining: Combining::TrimmedMean, trim: 0.5, ..Draft::default() };
        assert!(definition(&trimmed, &network, None).unwrap_err().contains("trim"));

        let lora = TrainConfig { tuning: Tuning::Lora(Lora::default()), ..TrainConfig::preset(ModelSize::Base) };
        assert_eq!(super::network(info, &lora, false).config.tuning, Tuning::Full, "nothing is loaded to adapt");
        let adapted = super::network(info, &lora, true);
        assert_eq!((adapted.config.size, &adapted.config.tuning), (ModelSize::Base, &lora.tuning));
        let backbone = BlobRef { sha256: Hash([2; 32]), bytes: 5000 };
        let made = definition(&Draft::default(), &adapted, Some((backbone, "HyperSIGMA Base, Q8_0".into()))).unwrap();
        assert_eq!(made.model.name, "HyperSIGMA Base, Q8_0; LoRA of rank 8");
        assert_eq!((made.model.backbone, made.check()), (Some(backbone), Ok(())));
    }

    #[test]
    fn grids_rise_and_leave_out_bad_bands() {
        let (cube, _) = teaching::generate(1);
        let mut info = cube.info().clone();
        info.bands = 4;
        info.good_bands = vec![true, true, false, true];
        info.wavelengths_nm = Some(vec![700.0, 500.0, 600.0, 500.0]);
        assert_eq!(grid(&info), [500.0, 700.0]);
        info.wavelengths_nm = None;
        assert_eq!(grid(&info), [1.0, 2.0, 3.0, 4.0]);
        info.bands = 2000;
        info.good_bands = Vec::new();
        info.wavelengths_nm = Some((0..2000).map(f64::from).collect());
        let thinned = grid(&info);
        assert!(thinned.len() == 512 && thinned.is_sorted());
    }

    #[test]
    fn large_scenes_and_sizes_give_a_network_for_every_tab() {
        let (cube, _) = teaching::generate(1);
        let info = SceneInfo { rows: 3, cols: 5000, ..cube.info().clone() };
        let network = network(&info, &TrainConfig::preset(ModelSize::Base), false);
        assert_eq!((network.config.size, network.tile), (ModelSize::Nano, [8, 96]));
        assert_eq!(network.validate(), Ok(()));
    }
}
