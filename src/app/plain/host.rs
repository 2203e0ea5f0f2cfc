//! A federation as a host plans it: from the open scene and a few numbers to the definition.

use super::draft::Draft;
use crate::federation::protocol::{
    BlobRef, Class as TheirClass, Deadlines, Definition, Encoding, Input, Limits, LocalWork, Model, Privacy, Quorum,
    Start, Trainable, VERSION,
};
use crate::labels::Class;
use crate::scene::SceneInfo;
use crate::train::{ModelSize, SharedNetwork, TrainConfig};

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

/// The network that everybody builds: the chosen size, or Nano where that needs weights of its own.
pub fn network(info: &SceneInfo, config: &TrainConfig) -> SharedNetwork {
    let small = matches!(config.size, ModelSize::Tiny | ModelSize::Nano);
    let config = if small { config.clone() } else { TrainConfig::preset(ModelSize::Nano) };
    let multiple = (4 * config.patch()).max(8);
    let side = |length: usize| length.next_multiple_of(multiple).min(TILE_MAX / multiple * multiple).max(multiple);
    let components = config.components.min(grid(info).len());
    let config = TrainConfig { tuning: crate::train::Tuning::Full, components, ..config };
    SharedNetwork { tile: [side(info.rows), side(info.cols)], components, config }
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
    weights: BlobRef,
) -> Result<Definition, String> {
    let size = if network.config.size == ModelSize::Tiny { "Tiny" } else { "Nano" };
    let definition = Definition {
        version: VERSION,
        title: draft.title.trim().to_owned(),
        model: Model {
            name: format!("HyperSIGMA {size}"),
            weights,
            backbone: None,
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

    #[test]
    fn a_scene_and_a_few_numbers_make_a_definition() {
        let (cube, labels) = teaching::generate(1);
        let info = cube.info();
        let network = network(info, &TrainConfig::default());
        assert_eq!(network.validate(), Ok(()));
        let weights = BlobRef { sha256: Hash([1; 32]), bytes: 1000 };
        let made = definition(&Draft::default(), info, &labels.classes, &network, weights).unwrap();
        assert_eq!(made.check(), Ok(()));
        assert_eq!(made.classes.len(), labels.classes.len());
        let back: SharedNetwork = serde_json::from_value(made.model.settings).unwrap();
        assert_eq!(back, network);
        let untitled = Draft { title: " ".into(), ..Draft::default() };
        assert!(definition(&untitled, info, &labels.classes, &network, weights).unwrap_err().contains("title"));
        let trimmed = Draft { combining: Combining::TrimmedMean, trim: 0.5, ..Draft::default() };
        assert!(definition(&trimmed, info, &labels.classes, &network, weights).unwrap_err().contains("trim"));
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
        let network = network(&info, &TrainConfig::preset(ModelSize::Base));
        assert_eq!((network.config.size, network.tile), (ModelSize::Nano, [8, 96]));
        assert_eq!(network.validate(), Ok(()));
    }
}
