//! Federated rounds in words and figures: what leaves the machine, whose classes are which, how far scopes are from targets.

use crate::app::plain::number;
use crate::engine::message::{FederationProgress, FederationRounds, LocalPhase, Stage};
use crate::federation::protocol::{
    BandStatistics, Binding, Class as TheirClass, ClientId, Definition, Encoding, FederationId, Hash, LocalWork, Phase,
    Robust, RoundView, ServerOptimizer, StateView,
};
use crate::labels::Class;
use crate::scope::{Target, kl};

/// Something that leaves the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    pub what: &'static str,
    /// How often.
    pub when: String,
    pub bytes: u64,
}

/// Everything that leaves the machine of a client, by type; headers of HTTP are not counted.
pub fn leaving(definition: &Definition) -> Vec<Leaving> {
    let mut list = Vec::new();
    let bands = definition.input.wavelengths_nm.len();
    if definition.input.projection.is_some() {
        let nothing =
            BandStatistics { count: 0, range: [0.0; 2], sum: vec![0.0; bands], scatter: vec![0.0; bands * bands] };
        let binding =
            Binding { federation: FederationId([0; 8]), client: ClientId([0; 8]), round: 0, model: Hash([0; 32]) };
        list.push(Leaving {
            what: "number of pixels, smallest and largest sample, sums and sums of products of the bands",
            when: "once".into(),
            bytes: nothing.to_bytes(&binding).len() as u64,
        });
    }
    let weights = definition.model.weights.bytes / 4;
    let bytes = match definition.encoding {
        Encoding::Float32 => 4 * weights,
        Encoding::Float16 => 2 * weights,
        Encoding::Int8 => weights + weights.div_ceil(64) * 4,
    };
    let rounds = format!("each of {}", number::counted(definition.rounds as usize, "round"));
    list.push(Leaving { what: "how training has changed the weights", when: rounds.clone(), bytes });
    // Mean, deviation, skewness and kurtosis of some dozens of layers.
    list.push(Leaving { what: "four figures about the weights of each layer", when: rounds.clone(), bytes: 32 * 80 });
    list.push(Leaving { what: "number of labelled pixels, up to four accuracies", when: rounds, bytes: 180 });
    list
}

/// What is wrong with the loaded weights, where the federation trains adapters of some: `loaded` is their hash, where one is known.
pub fn wrong_weights(definition: &Definition, loaded: Option<Option<&str>>) -> Option<&'static str> {
    let wanted = definition.model.backbone?.sha256.to_string();
    match loaded {
        None => Some("Load the weights that this federation fine-tunes in step 3 of Classify first."),
        Some(Some(hash)) if hash != wanted => Some(
            "Other weights are loaded than those that this federation fine-tunes; load those in step 3 of Classify.",
        ),
        // A file that is read where it lies is hashed when it is used.
        Some(_) => None,
    }
}

/// What never leaves it.
pub const STAYS: &str = "Spectra, pixels, labels, maps, file names and places never leave this machine. Nothing that is sent says who you are: \
                         clients are random names.";

/// For each own class (class 1 first) the federation's class of the same name, 1-based; 0 where there is none.
pub fn same_names(own: &[Class], theirs: &[TheirClass]) -> Vec<u8> {
    let plain =
        |name: &str| -> String { name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect() };
    let place = |class: &Class| theirs.iter().position(|other| plain(&other.name) == plain(&class.name));
    own.iter().map(|class| place(class).map_or(0, |place| u8::try_from(place + 1).unwrap_or(0))).collect()
}

/// The official name of a layer, short enough for a plot: "spatial 3.attn.qkv" for `spat_encoder.blocks.3.attn.qkv.weight`.
pub fn layer_name(official: &str) -> String {
    let name = official.strip_suffix(".weight").unwrap_or(official);
    let (encoder, rest) = match name.split_once("_encoder.") {
        Some(("spat", rest)) => ("spatial ", rest),
        Some(("spec", rest)) => ("spectral ", rest),
        _ => ("", name),
    };
    format!("{encoder}{}", rest.strip_prefix("blocks.").unwrap_or(rest))
}

/// The algorithm in words: "FedAvg, proximal term 0.01, weight scopes aligned with λ = 0.1".
pub fn algorithm(definition: &Definition) -> String {
    let algorithm = &definition.algorithm;
    let short = number::short;
    let mut words = vec![match algorithm.server {
        ServerOptimizer::FedAvg => "FedAvg".to_owned(),
        ServerOptimizer::FedAvgM { rate, momentum } => {
            format!("FedAvgM (rate {}, momentum {})", short(rate), short(momentum))
        }
        ServerOptimizer::FedAdam { rate, .. } => format!("FedAdam (rate {})", short(rate)),
        ServerOptimizer::FedYogi { rate, .. } => format!("FedYogi (rate {})", short(rate)),
    }];
    match algorithm.robust {
        Robust::Mean => {}
        Robust::TrimmedMean { trim } => words.push(format!("trimmed mean ({} at either end)", short(trim))),
        Robust::Median => words.push("median".to_owned()),
    }
    if let Some(norm) = algorithm.clip_norm {
        words.push(format!("updates clipped to norm {}", short(norm)));
    }
    if algorithm.proximal > 0.0 {
        words.push(format!("proximal term {}", short(algorithm.proximal)));
    }
    words.push(match algorithm.wsa {
        Some(wsa) => format!("weight scopes aligned with λ = {}", short(wsa.lambda)),
        None => "weight scopes shown but not aligned".to_owned(),
    });
    words.join(", ")
}

/// "5 epochs a round".
pub fn local_work(definition: &Definition) -> String {
    match definition.local {
        LocalWork::Epochs(epochs) => format!("{} a round", number::counted(epochs as usize, "epoch")),
        LocalWork::Steps(steps) => format!("{} a round", number::counted(steps as usize, "step")),
    }
}

/// What a client is doing, in words.
pub fn doing(progress: &FederationProgress) -> String {
    let local = progress.local;
    let of = |what: &str| format!("{what} {} of {}", local.done, local.total);
    match local.phase {
        LocalPhase::Preparing => return of("reading the scene, part"),
        LocalPhase::Evaluating => return "measuring the common model on held-out pixels".into(),
        LocalPhase::Training => return of("training, epoch"),
        LocalPhase::TrainingAlone => return of("training a model of this scene alone to compare, epoch"),
        LocalPhase::Mapping => return of("mapping, tile"),
        LocalPhase::Idle => {}
    }
    match progress.stage {
        Stage::Joining => "joining".into(),
        Stage::Waiting => match progress.state.as_ref().map(|state| state.phase) {
            Some(Phase::Paused) => "paused by the host".into(),
            Some(Phase::Gathering) => "waiting for the host to start".into(),
            _ => "waiting".into(),
        },
        Stage::Statistics => "adding up the bands".into(),
        Stage::Downloading { done, total } => match total {
            Some(total) => format!("fetching the model, {} of {}", number::bytes(done), number::bytes(total)),
            None => "fetching the model".into(),
        },
        Stage::Training => "training".into(),
        Stage::Evaluating => "measuring".into(),
        Stage::Uploading { done, total } => format!("sending, {} of {}", number::bytes(done), number::bytes(total)),
        Stage::Submitted => "sent; the others are still at it".into(),
        Stage::SittingOut => "sitting this round out".into(),
        Stage::Reconnecting => "waiting for the connection".into(),
        Stage::Finished => "the federation is over".into(),
        Stage::Left => "left".into(),
        Stage::Stopped => "stopped".into(),
    }
}

/// "round 3 of 20".
pub fn round(state: &StateView) -> String {
    match (state.phase, state.round) {
        (Phase::Gathering, _) => "before the first round".into(),
        (Phase::Finished, round) => format!("finished after {}", number::counted(round as usize, "round")),
        (_, 0) => "round 0, band statistics".into(),
        (_, round) => format!("round {round} of {}", state.rounds),
    }
}

/// How far the own scopes of each layer were from their targets: a row a layer, a column a round from 1 on.
pub fn divergences(rounds: &FederationRounds) -> Vec<(String, Vec<Option<f64>>)> {
    let last = rounds.rounds.iter().map(|round| round.round).max().unwrap_or(0);
    let of = |layer: usize, name: &str| {
        let at = |number: u32| {
            let target = rounds.rounds.iter().find(|round| round.round == number)?;
            let target = target.targets.iter().find(|target| target.name == name)?.target();
            let [mean, deviation, ..] = *rounds.own.get(&number)?.get(layer)?;
            Some(kl(Target { mean, deviation }, target))
        };
        (1..=last).map(at).collect()
    };
    rounds.layers.iter().enumerate().map(|(layer, name)| (name.clone(), of(layer, name))).collect()
}

/// Own scope, target and fused scope (the next round's target) of one layer in one round.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LayerScopes {
    pub own: Option<Target>,
    pub target: Option<Target>,
    pub fused: Option<Target>,
}

/// The scopes of a layer in a round.
pub fn scopes(rounds: &FederationRounds, layer: &str, number: u32) -> LayerScopes {
    let target = |number: u32| {
        let round = rounds.rounds.iter().find(|round| round.round == number)?;
        Some(round.targets.iter().find(|target| target.name == layer)?.target())
    };
    let index = rounds.layers.iter().position(|name| name == layer);
    let own = index.and_then(|index| {
        let [mean, deviation, ..] = *rounds.own.get(&number)?.get(index)?;
        Some(Target { mean, deviation })
    });
    LayerScopes { own, target: target(number), fused: target(number + 1) }
}

/// The accuracy of the common model over rounds, as its clients report it: round, mean, deviation (0..=1). Round r is the model
/// that came out of it; 0 is the beginning.
pub fn accuracies(rounds: &[RoundView]) -> Vec<(u32, f64, f64)> {
    let of = |spread: Option<crate::federation::protocol::Spread>| spread.map(|spread| (spread.mean, spread.deviation));
    let mut points: Vec<(u32, f64, f64)> = rounds
        .iter()
        .filter_map(|round| {
            let (mean, deviation) = of(round.evaluation.overall_accuracy)?;
            Some((round.round - 1, mean, deviation))
        })
        .collect();
    if let Some(last) = rounds.iter().max_by_key(|round| round.round)
        && let Some((mean, deviation)) = of(last.result_evaluation.overall_accuracy)
    {
        points.push((last.round, mean, deviation));
    }
    points.sort_by_key(|point| point.0);
    points.dedup_by_key(|point| point.0);
    points
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::federation::protocol::{Evaluation, LayerTarget, Spread};

    fn definition() -> Definition {
        let document = include_str!("../../../docs/federation.md");
        let json = document.split("```json definition\n").nth(1).unwrap().split("```").next().unwrap();
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn names_of_layers_fit_a_plot() {
        assert_eq!(layer_name("spat_encoder.blocks.3.attn.qkv.weight"), "spatial 3.attn.qkv");
        assert_eq!(layer_name("spec_encoder.blocks.0.attn.qkv.lora_A.weight"), "spectral 0.attn.qkv.lora_A");
        assert_eq!(layer_name("spec_encoder.spat_map.weight"), "spectral spat_map");
        assert_eq!(layer_name("DR1.weight"), "DR1");
    }

    #[test]
    fn wrong_weights_are_told_before_anybody_joins() {
        let backbone = crate::federation::protocol::BlobRef { sha256: Hash([7; 32]), bytes: 9 };
        let (plain, mut tuned) = (definition(), definition());
        tuned.model.backbone = Some(backbone);
        let right = backbone.sha256.to_string();
        assert_eq!(wrong_weights(&plain, None), None);
        assert!(wrong_weights(&tuned, None).is_some_and(|sentence| sentence.starts_with("Load")));
        assert!(wrong_weights(&tuned, Some(Some("00"))).is_some_and(|sentence| sentence.starts_with("Other")));
        assert_eq!(wrong_weights(&tuned, Some(Some(&right))), None);
        assert_eq!(wrong_weights(&tuned, Some(None)), None, "the engine looks at files that are read where they lie");
    }

    #[test]
    fn everything_that_leaves_is_listed_with_its_size() {
        let list = leaving(&definition());
        assert_eq!(list.len(), 4);
        // 6 bands: 8 · (1 + 2 + 6 + 36) bytes of numbers and a header.
        assert!((360..1000).contains(&list[0].bytes), "{list:?}");
        let weights = 9_437_184u64 / 4;
        assert_eq!((list[1].bytes, list[1].when.as_str()), (weights + weights.div_ceil(64) * 4, "each of 20 rounds"));
        let alone = Definition {
            input: crate::federation::protocol::Input { projection: None, ..definition().input },
            ..definition()
        };
        assert_eq!(leaving(&alone).len(), 3);
    }

    #[test]
    fn classes_of_one_name_belong_together() {
        let own = ["Corn-no till", "wheat", "Corn"].map(|name| Class { name: name.into(), color: [0; 3] });
        let theirs = ["corn", "corn no-till"].map(|name| TheirClass { name: name.into(), colour: None });
        assert_eq!(same_names(&own, &theirs), [2, 0, 1]);
    }

    #[test]
    fn words_for_people() {
        assert_eq!(algorithm(&definition()), "FedAvg, proximal term 0.01, weight scopes aligned with λ = 0.1");
        assert_eq!(local_work(&definition()), "5 epochs a round");
        let mut other = definition();
        other.algorithm.server = ServerOptimizer::FedAvgM { rate: 1.0, momentum: 0.9 };
        (other.algorithm.robust, other.algorithm.clip_norm) = (Robust::TrimmedMean { trim: 0.1 }, Some(5.0));
        let words = algorithm(&other);
        for part in ["FedAvgM (rate 1, momentum 0.9)", "trimmed mean (0.1 at either end)", "clipped to norm 5"] {
            assert!(words.contains(part), "{words}");
        }
    }

    fn view(round: u32, mean: f64, accuracy: Option<f64>) -> RoundView {
        let spread = |mean| Spread { mean, deviation: 0.1, min: 0.0, max: 1.0 };
        let evaluation = Evaluation { clients: 2, overall_accuracy: accuracy.map(spread), ..Evaluation::default() };
        RoundView {
            round,
            model: Hash([0; 32]),
            targets: vec![LayerTarget { name: "w".into(), mean, deviation: 1.0 }],
            updates: Vec::new(),
            result: None,
            evaluation,
            result_evaluation: evaluation,
            local: Evaluation::default(),
        }
    }

    #[test]
    fn scopes_and_their_distance_are_those_of_the_round() {
        let own = BTreeMap::from([(1, vec![[1.0, 1.0, 0.0, 0.0]]), (3, vec![[3.0, 1.0, 0.0, 0.0]])]);
        let list = vec![view(1, 0.0, Some(0.3)), view(2, 2.0, None), view(3, 3.0, Some(0.5))];
        let rounds = FederationRounds { rounds: list, layers: vec!["w".into()], own };
        assert_eq!(divergences(&rounds), [("w".to_owned(), vec![Some(0.5), None, Some(0.0)])]);
        let target = |mean| Some(Target { mean, deviation: 1.0 });
        assert_eq!(scopes(&rounds, "w", 1), LayerScopes { own: target(1.0), target: target(0.0), fused: target(2.0) });
        assert_eq!(scopes(&rounds, "w", 3), LayerScopes { own: target(3.0), target: target(3.0), fused: None });
        assert_eq!(scopes(&rounds, "other", 1), LayerScopes::default());
        assert_eq!(accuracies(&rounds.rounds), [(0, 0.3, 0.1), (2, 0.5, 0.1), (3, 0.5, 0.1)]);
    }
}
