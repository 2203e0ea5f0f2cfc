//! Runs: they learn, repeat, resume bit for bit, and refuse what is not theirs.

use burn::tensor::{Device, read_sync};
use sigmascope::train::TrainError;
use sigmascope::train::pretrain::{PretrainConfig, PretrainReport, Pretrainer};

use crate::tiny;

fn start(config: &PretrainConfig) -> Pretrainer {
    Pretrainer::new(config.clone(), &Device::flex()).unwrap()
}

/// Runs up to `epochs` more; what they reported and the weights then.
fn run(run: &mut Pretrainer, epochs: usize) -> (Vec<PretrainReport>, Vec<Vec<f32>>) {
    let reports = (0..epochs).filter_map(|_| read_sync(run.epoch()).unwrap()).collect();
    let weights = read_sync(run.weights()).unwrap();
    (reports, weights.into_iter().map(|(_, values)| values).collect())
}

fn means(list: &[PretrainReport], of: fn(&PretrainReport) -> f32) -> f32 {
    list.iter().map(of).sum::<f32>() / list.len() as f32
}

#[test]
fn gaps_are_filled_better_and_better() {
    let config = PretrainConfig {
        epochs: 20,
        views: 8,
        learning_rate: 5e-3,
        episodes: 0.0,
        fields: 0.0,
        mask_cell: 1,
        mask_ratio: 0.5,
        ..tiny()
    };
    let (reports, _) = run(&mut start(&config), 20);
    let of = |list: &[PretrainReport]| [means(list, |report| report.spatial), means(list, |report| report.spectral)];
    let ([spatial, spectral], [spatial_last, spectral_last]) = (of(&reports[..4]), of(&reports[16..]));
    // Guessing the mean costs 1; the first epochs already do better.
    assert!((0.7..1.2).contains(&spatial) && spatial_last < 0.85 * spatial, "{spatial} → {spatial_last}");
    // Components are uncorrelated, so there is little that one tells of another.
    assert!((0.9..1.2).contains(&spectral) && spectral_last < spectral, "{spectral} → {spectral_last}");
    assert!(reports.iter().all(|report| report.episodes == 0.0 && report.fields == 0.0));
}

#[test]
fn fields_are_told_apart_better_and_better() {
    let config = PretrainConfig { epochs: 12, views: 6, learning_rate: 3e-3, autoencoding: 0.0, ..tiny() };
    let (reports, _) = run(&mut start(&config), 12);
    let of = |list: &[PretrainReport]| [means(list, |report| report.episodes), means(list, |report| report.fields)];
    let ([episodes, fields], [episodes_last, fields_last]) = (of(&reports[..2]), of(&reports[8..]));
    assert!(episodes_last < 0.95 * episodes, "{episodes} → {episodes_last}");
    assert!(fields_last < 0.8 * fields, "{fields} → {fields_last}");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let two = |seed| run(&mut start(&PretrainConfig { seed, epochs: 2, ..tiny() }), 2);
    let first = two(3);
    assert!(first == two(3));
    let other = two(4);
    assert!(first.0 != other.0 && first.1 != other.1);
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    // Both with scene-bound parameters that are drawn anew and with such that are trained.
    for autoencoding in [0.0, 1.0] {
        let config = PretrainConfig { autoencoding, ..tiny() };
        let mut whole = start(&config);
        let expected = run(&mut whole, 4);
        assert!(whole.finished());

        let mut first = start(&config);
        run(&mut first, 2);
        let bytes = read_sync(first.checkpoint()).unwrap();
        drop(first);
        let mut second = start(&config);
        second.resume(&bytes).unwrap();
        assert_eq!(second.history(), &expected.0[..2]);
        // A step of the running epoch is lost by a kill, and taken again.
        read_sync(second.step()).unwrap();
        second.resume(&bytes).unwrap();
        let rest = run(&mut second, 4);
        assert!(rest.0 == expected.0[2..] && rest.1 == expected.1);
        assert_eq!(second.history(), whole.history());
    }
}

#[test]
fn a_checkpoint_of_other_settings_or_broken_bytes_is_refused() {
    let config = PretrainConfig { epochs: 1, ..tiny() };
    let mut first = start(&config);
    run(&mut first, 1);
    let bytes = read_sync(first.checkpoint()).unwrap();
    let refused = |config: &PretrainConfig, bytes: &[u8]| start(config).resume(bytes).unwrap_err();
    let other = refused(&PretrainConfig { seed: 9, ..config.clone() }, &bytes);
    assert!(matches!(&other, TrainError::Checkpoint(reason) if reason.contains("other settings")), "{other}");
    for cut in [0, 1, 40, bytes.len() / 2, bytes.len() - 1] {
        assert!(matches!(refused(&config, &bytes[..cut]), TrainError::Checkpoint(_)), "{cut}");
    }
}
