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

#[test]
fn every_task_is_learned() {
    let config = PretrainConfig { epochs: 12, views: 6, learning_rate: 3e-3, ..tiny() };
    let (reports, _) = run(&mut start(&config), 12);
    assert_eq!(reports.len(), 12);
    let mean = |of: &dyn Fn(&PretrainReport) -> f32, list: &[PretrainReport]| {
        list.iter().map(of).sum::<f32>() / list.len() as f32
    };
    for (task, of) in [
        ("spatial", &(|report: &PretrainReport| report.spatial) as &dyn Fn(&PretrainReport) -> f32),
        ("spectral", &|report| report.spectral),
        ("episodes", &|report| report.episodes),
        ("fields", &|report| report.fields),
    ] {
        let (first, last) = (mean(of, &reports[..3]), mean(of, &reports[9..]));
        assert!(first > 0.0 && last < 0.97 * first, "{task}: {first} → {last}");
    }
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
