//! Several scopes become one target.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{ExactSum, NotFinite, Target};

/// How the scopes of the models of one round become the target of the next.
///
/// With weights pₖ (sample counts over their sum), each rounded once from an exact sum, so that the order of the models cannot
/// change a bit, and models that agree fuse to what they agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// μ = Σ pₖ μₖ, σ = Σ pₖ σₖ: the Wasserstein-2 barycentre of one-dimensional Gaussians.
    #[default]
    MeanOfScopes,
    /// Mean and variance of the mixture: μ = Σ pₖ μₖ, σ² = Σ pₖ (σₖ² + (μₖ − μ)²).
    MomentMatching,
    /// The scope of the averaged weights themselves. Averaging weights that differ independently shrinks it.
    AveragedWeights,
}

/// The scope of one model's layer, and how much it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    pub scope: Target,
    /// Number of samples that the model was trained on.
    pub samples: u64,
}

/// Why scopes do not become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FusionError {
    #[error("no model with samples was given, so there is no scope to take; wait for at least one update")]
    NoMember,
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
    #[error("a scope has a negative standard deviation; the update that brought it is of no use")]
    NegativeDeviation,
    #[error("the sample counts of the models add up to more than 2^64; they cannot be right")]
    TooManySamples,
}

/// The target that follows from the scopes of one layer; `averaged` is the scope of the averaged weights.
///
/// # Errors
/// [`FusionError`] when the samples add up to 0 or too many, or a scope is none.
pub fn fuse(strategy: Fusion, members: &[Member], averaged: Target) -> Result<Target, FusionError> {
    let mut total = 0u64;
    let (mut means, mut deviations) = (ExactSum::default(), ExactSum::default());
    for Member { scope, samples } in members {
        if scope.deviation < 0.0 {
            return Err(FusionError::NegativeDeviation);
        }
        total = total.checked_add(*samples).ok_or(FusionError::TooManySamples)?;
        means.add(scope.mean, *samples)?;
        deviations.add(scope.deviation, *samples)?;
    }
    if total == 0 {
        return Err(FusionError::NoMember);
    }
    let mean = means.divided_by(total);
    Ok(match strategy {
        Fusion::MeanOfScopes => Target { mean, deviation: deviations.divided_by(total) },
        Fusion::MomentMatching => {
            let mut variance = ExactSum::default();
            for Member { scope, samples } in members {
                variance.add_square(scope.deviation, *samples)?;
                variance.add_square(scope.mean - mean, *samples)?;
            }
            Target { mean, deviation: variance.divided_by(total).sqrt() }
        }
        Fusion::AveragedWeights => averaged,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Fusion; 3] = [Fusion::MeanOfScopes, Fusion::MomentMatching, Fusion::AveragedWeights];
    const AVERAGED: Target = Target { mean: 0.5, deviation: 0.125 };

    fn member(mean: f64, deviation: f64, samples: u64) -> Member {
        Member { scope: Target { mean, deviation }, samples }
    }

    #[test]
    fn two_models_by_hand() {
        let members = [member(0.0, 1.0, 1), member(4.0, 3.0, 3)];
        let mean = fuse(Fusion::MeanOfScopes, &members, AVERAGED).unwrap();
        assert_eq!(mean, Target { mean: 3.0, deviation: 2.5 });
        // (1 + 9)/4 + (27 + 3)/4
        let matched = fuse(Fusion::MomentMatching, &members, AVERAGED).unwrap();
        assert_eq!(matched, Target { mean: 3.0, deviation: 10f64.sqrt() });
        assert_eq!(fuse(Fusion::AveragedWeights, &members, AVERAGED).unwrap(), AVERAGED);
    }

    #[test]
    fn a_model_without_samples_counts_nothing() {
        let members = [member(0.1, 0.2, 5), member(100.0, 3.0, 0)];
        assert_eq!(fuse(Fusion::MomentMatching, &members, AVERAGED).unwrap(), members[0].scope);
    }

    #[test]
    fn degenerate_scopes() {
        for strategy in ALL {
            let constant =
                fuse(strategy, &[member(0.5, 0.0, 2), member(0.5, 0.0, 1)], Target { mean: 0.5, deviation: 0.0 });
            assert_eq!(constant, Ok(Target { mean: 0.5, deviation: 0.0 }), "{strategy:?}");
            assert_eq!(fuse(strategy, &[], AVERAGED), Err(FusionError::NoMember));
            assert_eq!(fuse(strategy, &[member(0.0, 1.0, 0)], AVERAGED), Err(FusionError::NoMember));
            assert_eq!(fuse(strategy, &[member(0.0, -1.0, 1)], AVERAGED), Err(FusionError::NegativeDeviation));
            let many = [member(0.0, 1.0, u64::MAX), member(0.0, 1.0, 1)];
            assert_eq!(fuse(strategy, &many, AVERAGED), Err(FusionError::TooManySamples));
            let infinite = fuse(strategy, &[member(f64::INFINITY, 1.0, 1)], AVERAGED);
            assert_eq!(infinite, Err(FusionError::NotFinite(NotFinite)));
        }
    }

    fn members() -> impl Strategy<Value = Vec<Member>> {
        let one = (-1e3f64..1e3, 0f64..1e3, 1u64..1 << 40).prop_map(|(mean, deviation, n)| member(mean, deviation, n));
        prop::collection::vec(one, 1..20)
    }

    proptest! {
        #[test]
        fn one_model_keeps_its_scope(mean in -1e3f64..1e3, deviation in 0f64..1e3, samples in 1u64..) {
            let one = member(mean, deviation, samples);
            for strategy in ALL {
                prop_assert_eq!(fuse(strategy, &[one], one.scope).unwrap(), one.scope);
            }
            // Models that agree are one model.
            let third = Member { samples: samples / 3 + 1, ..one };
            for strategy in ALL {
                prop_assert_eq!(fuse(strategy, &[third, third], one.scope).unwrap(), one.scope);
            }
        }

        #[test]
        fn order_changes_no_bit(members in members(), seed in any::<u64>()) {
            let mut shuffled = members.clone();
            let mut state = seed | 1;
            for i in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                shuffled.swap(i, (state >> 33) as usize % (i + 1));
            }
            for strategy in ALL {
                let (given, again) = (fuse(strategy, &members, AVERAGED).unwrap(), fuse(strategy, &shuffled, AVERAGED).unwrap());
                prop_assert_eq!(given.mean.to_bits(), again.mean.to_bits());
                prop_assert_eq!(given.deviation.to_bits(), again.deviation.to_bits());
            }
        }

        #[test]
        fn the_mixture_is_at_least_as_wide(members in members()) {
            let mean = fuse(Fusion::MeanOfScopes, &members, AVERAGED).unwrap();
            let matched = fuse(Fusion::MomentMatching, &members, AVERAGED).unwrap();
            prop_assert_eq!(mean.mean, matched.mean);
            prop_assert!(matched.deviation >= mean.deviation * (1.0 - 1e-12));
            let (low, high) = members.iter().fold((f64::MAX, f64::MIN), |(low, high), member| {
                (low.min(member.scope.deviation), high.max(member.scope.deviation))
            });
            prop_assert!(mean.deviation >= low && mean.deviation <= high);
        }
    }
}
