//! What holds for every network: shapes, names, seeds, noise, errors.

use burn::tensor::{Device, Tensor, TensorData, read_sync};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sigmascope::model::{Config, ConfigError, HyperSigma, ModelError, Pass, Task, formula, names};

use crate::official::shared;
use crate::reference::{deviation, values};

fn input(config: &Config, batch: usize) -> Tensor<4> {
    let shape = [batch, config.components, config.rows, config.cols];
    Tensor::from_data(TensorData::new(formula::input(shape.iter().product()), shape), &Device::flex())
}

#[test]
fn every_patch_and_rectangular_tiles_give_a_logit_for_every_pixel() {
    for (task, patch, tile) in [
        (Task::Segmentation, 1, [5, 7]),
        (Task::Segmentation, 2, [9, 12]),
        (Task::Segmentation, 4, [17, 23]),
        (Task::Segmentation, 8, [45, 33]),
        (Task::Segmentation, 16, [33, 40]),
        (Task::Classification, 1, [5, 5]),
        (Task::Classification, 2, [9, 9]),
        (Task::Classification, 4, [16, 17]),
    ] {
        let config = Config { patch, ..Config::tiny(task, tile, 5, 3) };
        let network = HyperSigma::fresh(&config, 7, &Device::flex()).unwrap();
        let expected = if task == Task::Segmentation { [2, 3, tile[0], tile[1]] } else { [2, 3, 1, 1] };
        assert_eq!(network.forward(input(&config, 2)).dims(), expected, "patch {patch}");

        let table: Vec<_> = network.parameters().iter().map(|p| (p.name.clone(), p.shape.clone())).collect();
        assert_eq!(table, names::live(&config), "patch {patch}");
        let ids: Vec<_> = network.parameters().iter().map(|p| p.id).collect();
        assert_eq!(ids, burn::module::list_param_ids(&network), "patch {patch}");
        assert_eq!(burn::module::Module::num_params(&network), config.parameter_count());
    }
}

/// A window's prediction does not depend on its neighbours in the batch.
#[test]
fn samples_of_a_batch_do_not_mix() {
    let config = Config { patch: 2, ..Config::tiny(Task::Segmentation, [9, 11], 5, 3) };
    let network = HyperSigma::fresh(&config, 7, &Device::flex()).unwrap();
    let batch = input(&config, 3);
    let together = values(network.forward(batch.clone()));
    let alone: Vec<f32> = (0..3).flat_map(|i| values(network.forward(batch.clone().narrow(0, i, 1)))).collect();
    let alone: Vec<f64> = alone.into_iter().map(f64::from).collect();
    let deviation = deviation(&together, &alone);
    assert!(deviation.rel_l2 < 1e-6, "{deviation:?}");
}

#[test]
fn a_seed_fixes_parameters_and_noise() {
    let config = Config { drop_path: 0.5, ..Config::tiny(Task::Segmentation, [32, 32], 8, 6) };
    let build = |seed| HyperSigma::fresh(&config, seed, &Device::flex()).unwrap();
    let network = build(3);
    assert_eq!(read_sync(network.values()).unwrap(), read_sync(build(3).values()).unwrap());
    assert_ne!(read_sync(network.values()).unwrap(), read_sync(build(4).values()).unwrap());

    let run = |seed| {
        let mut noise = ChaCha8Rng::seed_from_u64(seed);
        values(network.forward_with(input(&config, 2), &mut Pass::training(&mut noise)))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert_ne!(run(1), values(network.forward(input(&config, 2))));
}

/// The official rules: linear layers of the encoders N(0, 0.02²), residual outputs of block i less by √(2 (i + 1)),
/// norms 1 and 0, convolutions and heads uniform within ±1 / √fan.
#[test]
fn fresh_parameters_follow_the_official_rules() {
    let config = Config { patch: 2, ..Config::tiny(Task::Classification, [9, 9], 8, 5) };
    let network = HyperSigma::fresh(&config, 11, &Device::flex()).unwrap();
    let all = read_sync(network.values()).unwrap();
    let of = |name: &str| &all.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("{name}")).values;
    let std = |name: &str| {
        let values = of(name);
        (values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    };
    let about = |name: &str, expected: f64| {
        let found = std(name);
        assert!((found / expected - 1.0).abs() < 0.06, "{name}: {found} for {expected}");
    };
    about("spat_encoder.pos_embed", 0.02);
    about("spec_encoder.l1.weight", 0.02);
    about("spec_encoder.spat_map.weight", 0.02);
    about("spat_encoder.blocks.2.attn.sampling_offsets.weight", 0.02);
    about("spat_encoder.blocks.2.attn.proj.weight", 0.02 / 6f64.sqrt());
    about("spat_encoder.blocks.3.mlp.fc2.weight", 0.02 / 8f64.sqrt());
    // The spread of a uniform number within ±b is b / √3.
    about("spat_encoder.patch_embed.proj.weight", 1.0 / (32f64 * 3.0).sqrt());
    about("spat_encoder.fpn1.0.weight", 1.0 / (48f64 * 4.0 * 3.0).sqrt());
    about("classifier.0.weight", 1.0 / (512f64 * 3.0).sqrt());
    about("fc_spec1.0.weight", 1.0 / (16f64 * 3.0).sqrt());
    assert!(of("classifier.0.bias").iter().all(|x| x.abs() <= 1.0 / 512f32.sqrt() && *x != 0.0));
    assert!(of("spat_encoder.blocks.0.norm1.weight").iter().all(|x| *x == 1.0));
    for zero in [
        "spat_encoder.blocks.0.norm1.bias",
        "spat_encoder.blocks.0.attn.sampling_offsets.bias",
        "spec_encoder.spat_map.bias",
    ] {
        assert!(of(zero).iter().all(|x| *x == 0.0), "{zero}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused_with_a_reason() {
    let build = |config: &Config| match HyperSigma::fresh(config, 1, &Device::flex()) {
        Err(ModelError::Config(error)) => error,
        other => panic!("{other:?}"),
    };
    let config = Config::tiny(Task::Segmentation, [29, 64], 8, 6);
    let error = build(&config);
    assert_eq!(error, ConfigError::Grid { rows: 29, cols: 64, patch: 8, grid_rows: 3, grid_cols: 8, least: 4 });
    assert!(error.to_string().contains("larger tile or a smaller patch"));
    let sound = Config::tiny(Task::Segmentation, [32, 32], 8, 6);
    assert!(matches!(build(&Config { patch: 3, ..sound.clone() }), ConfigError::Patch { patch: 3, .. }));
    assert!(matches!(build(&Config { heads: 5, ..sound.clone() }), ConfigError::Heads { .. }));
    assert!(matches!(
        build(&Config { spectral_tokens: 20, ..sound.clone() }),
        ConfigError::SpectralTokens { tokens: 20 }
    ));
    assert!(matches!(build(&Config { features: [0, 1, 2, 4], ..sound.clone() }), ConfigError::Features { .. }));
    assert!(matches!(build(&Config { spectral_blocks: 5, ..sound.clone() }), ConfigError::SpectralBlocks { .. }));
    assert!(matches!(build(&Config { components: 0, ..sound.clone() }), ConfigError::Bounds { value: 0, .. }));
    assert!(matches!(build(&Config { embed_dim: 1 << 31, ..sound.clone() }), ConfigError::Bounds { .. }));
    assert!(matches!(build(&Config { dropout: f64::NAN, ..sound }), ConfigError::Noise));
}

/// Sizes and key lists of the official networks, without building them.
#[test]
fn official_sizes_have_the_official_parameters() {
    let Some(shared) = shared("official sizes") else { return };
    type Size = fn(Task, [usize; 2], usize, usize) -> Config;
    let sizes: [(&str, Size); 3] = [("base", Config::base), ("large", Config::large), ("huge", Config::huge)];
    for (size, config) in sizes {
        let path = shared.join(format!("pretrain_layout/{size}.json"));
        let layout: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for (key, task, side, bands, classes) in
            [("seg", Task::Segmentation, 128, 20, 9), ("cls", Task::Classification, 9, 10, 17)]
        {
            let config = Config { complete: true, ..config(task, [side, side], bands, classes) };
            config.validate().unwrap();
            let mut ours: Vec<(String, Vec<usize>)> = names::live(&config);
            ours.extend(names::unused(&config));
            ours.sort();
            let mut theirs: Vec<(String, Vec<usize>)> =
                serde_json::from_value::<std::collections::BTreeMap<_, _>>(layout[key]["state_dict"].clone())
                    .unwrap()
                    .into_iter()
                    .collect();
            theirs.sort();
            assert_eq!(ours, theirs, "{size} {key}");
            let lean = Config { complete: false, ..config.clone() };
            let needed: Vec<String> = names::live(&lean).into_iter().map(|(name, _)| name).collect();
            for (name, _) in &theirs {
                assert_ne!(needed.contains(name), names::is_unused(&lean, name), "{size} {key} {name}");
            }
            let total = layout["parameters"][format!("{key}_framework")].as_u64().unwrap();
            assert_eq!(config.official_parameter_count() as u64, total, "{size} {key}");
        }
    }
}

/// The README's figure for the official graph is 80.4 GFLOP, about 15 of them the head and 11 the dead spectral blocks;
/// mapping 20 bands instead of 100 tokens over the pixels saves 2 more.
#[test]
fn forward_work_of_base_is_that_of_the_live_graph() {
    let gflop = Config::base(Task::Segmentation, [128, 128], 20, 9).forward_flop() / 1e9;
    assert!((51.5..53.0).contains(&gflop), "{gflop}");
}
