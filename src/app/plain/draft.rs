//! What a host chooses for a federation, and how its updates are to become one.

use crate::federation::protocol::{Algorithm, Robust, ServerOptimizer, Wsa, WsaSchedule};
use crate::scope::Fusion;

/// What the coordinator does with the common update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    FedAvg,
    FedAvgM,
    FedAdam,
    FedYogi,
}

/// How the updates of a round become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combining {
    Mean,
    TrimmedMean,
    Median,
}

/// Value, word for scripts, and what people read.
pub type Choices<T> = &'static [(T, &'static str, &'static str)];

pub const SERVERS: Choices<Server> = &[
    (Server::FedAvg, "fed_avg", "FedAvg"),
    (Server::FedAvgM, "fed_avg_m", "FedAvgM"),
    (Server::FedAdam, "fed_adam", "FedAdam"),
    (Server::FedYogi, "fed_yogi", "FedYogi"),
];

pub const COMBININGS: Choices<Combining> = &[
    (Combining::Mean, "mean", "mean"),
    (Combining::TrimmedMean, "trimmed_mean", "trimmed mean"),
    (Combining::Median, "median", "median"),
];

pub const FUSIONS: Choices<Fusion> = &[
    (Fusion::MeanOfScopes, "mean_of_scopes", "mean of scopes"),
    (Fusion::MomentMatching, "moment_matching", "moment matching"),
    (Fusion::AveragedWeights, "averaged_weights", "averaged weights"),
];

impl Server {
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::FedAvg => "The common update is added to the model as it is.",
            Self::FedAvgM => {
                "The common update is added with momentum, which steadies rounds that pull in different directions."
            }
            Self::FedAdam => "Each weight moves by its own step, which follows how much it has changed so far.",
            Self::FedYogi => "As FedAdam, but steps shrink and grow more slowly, which suits rounds that differ a lot.",
        }
    }

    /// Where one begins to look for a good rate: 1 is FedAvg's own; adaptive steps are taken by every weight (Reddi et al. 2021).
    pub const fn usual_rate(self) -> f64 {
        match self {
            Self::FedAvg | Self::FedAvgM => 1.0,
            Self::FedAdam | Self::FedYogi => 0.01,
        }
    }

    pub const fn is_adaptive(self) -> bool {
        matches!(self, Self::FedAdam | Self::FedYogi)
    }
}

impl Combining {
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Mean => "Clients count by their labelled pixels.",
            Self::TrimmedMean => {
                "Of each weight the largest and smallest changes are left out; clients count the same, whatever they have labelled."
            }
            Self::Median => {
                "Of each weight the middle change is taken, so a minority of strange updates does little; clients count the same."
            }
        }
    }
}

pub const fn fusion_sentence(fusion: Fusion) -> &'static str {
    match fusion {
        Fusion::MeanOfScopes => "Clients are pulled to the mean of their means and deviations.",
        Fusion::MomentMatching => "Clients are pulled to mean and variance of all their weights taken together.",
        Fusion::AveragedWeights => {
            "Clients are pulled to the scope of the averaged weights, which is narrower where they differ."
        }
    }
}

/// What a host chooses.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub title: String,
    pub rounds: u32,
    pub epochs: u32,
    pub min_clients: u32,
    pub round_minutes: f64,
    /// λ of weight scope alignment; 0 turns it off.
    pub lambda: f64,
    pub fusion: Fusion,
    /// Local steps over which λ rises from 0; 0: it is constant.
    pub warm_up: u32,
    /// μ of FedProx.
    pub proximal: f64,
    pub server: Server,
    pub rate: f64,
    pub momentum: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub tau: f64,
    pub combining: Combining,
    /// Share left out at either end.
    pub trim: f64,
    /// 0: updates are not clipped.
    pub clip_norm: f64,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            title: "Crops of several labs".to_owned(),
            rounds: 10,
            epochs: 5,
            min_clients: 2,
            round_minutes: 30.0,
            lambda: 0.1,
            fusion: Fusion::MeanOfScopes,
            warm_up: 0,
            proximal: 0.0,
            server: Server::FedAvg,
            rate: Server::FedAvg.usual_rate(),
            momentum: 0.9,
            beta1: 0.9,
            beta2: 0.99,
            tau: 1e-3,
            combining: Combining::Mean,
            trim: 0.1,
            clip_norm: 0.0,
        }
    }
}

impl Draft {
    /// Another server optimiser, with the rate where one begins.
    pub fn choose_server(&mut self, server: Server) {
        (self.server, self.rate) = (server, server.usual_rate());
    }

    pub fn algorithm(&self) -> Algorithm {
        let Self { rate, momentum, beta1, beta2, tau, .. } = *self;
        let schedule = match self.warm_up {
            0 => WsaSchedule::Constant,
            steps => WsaSchedule::WarmUp { steps },
        };
        Algorithm {
            proximal: self.proximal,
            server: match self.server {
                Server::FedAvg => ServerOptimizer::FedAvg,
                Server::FedAvgM => ServerOptimizer::FedAvgM { rate, momentum },
                Server::FedAdam => ServerOptimizer::FedAdam { rate, beta1, beta2, tau },
                Server::FedYogi => ServerOptimizer::FedYogi { rate, beta1, beta2, tau },
            },
            robust: match self.combining {
                Combining::Mean => Robust::Mean,
                Combining::TrimmedMean => Robust::TrimmedMean { trim: self.trim },
                Combining::Median => Robust::Median,
            },
            clip_norm: (self.clip_norm > 0.0).then_some(self.clip_norm),
            wsa: (self.lambda > 0.0).then_some(Wsa { lambda: self.lambda, fusion: self.fusion, schedule }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_reaches_the_algorithm() {
        let plain = Draft::default().algorithm();
        assert_eq!((plain.server, plain.robust, plain.clip_norm), (ServerOptimizer::FedAvg, Robust::Mean, None));
        let mut draft =
            Draft { momentum: 0.5, combining: Combining::TrimmedMean, trim: 0.2, clip_norm: 3.0, ..Draft::default() };
        draft.choose_server(Server::FedAvgM);
        let made = draft.algorithm();
        assert_eq!(made.server, ServerOptimizer::FedAvgM { rate: 1.0, momentum: 0.5 });
        assert_eq!((made.robust, made.clip_norm), (Robust::TrimmedMean { trim: 0.2 }, Some(3.0)));
        draft.choose_server(Server::FedYogi);
        (draft.combining, draft.warm_up, draft.fusion) = (Combining::Median, 40, Fusion::MomentMatching);
        let made = draft.algorithm();
        assert_eq!(made.server, ServerOptimizer::FedYogi { rate: 0.01, beta1: 0.9, beta2: 0.99, tau: 1e-3 });
        let wsa = Wsa { lambda: 0.1, fusion: Fusion::MomentMatching, schedule: WsaSchedule::WarmUp { steps: 40 } };
        assert_eq!((made.robust, made.wsa), (Robust::Median, Some(wsa)));
        assert_eq!(Draft { lambda: 0.0, ..draft }.algorithm().wsa, None);
    }

    /// Scripts choose by the words of the protocol.
    #[test]
    fn words_are_those_of_the_protocol() {
        let word = |value: serde_json::Value| match value {
            serde_json::Value::String(word) => word,
            value => value.as_object().unwrap().keys().next().unwrap().clone(),
        };
        for &(server, name, _) in SERVERS {
            let draft = Draft { server, ..Draft::default() };
            assert_eq!(word(serde_json::to_value(draft.algorithm().server).unwrap()), name);
        }
        for &(combining, name, _) in COMBININGS {
            let draft = Draft { combining, ..Draft::default() };
            assert_eq!(word(serde_json::to_value(draft.algorithm().robust).unwrap()), name);
        }
        for &(fusion, name, _) in FUSIONS {
            assert_eq!(word(serde_json::to_value(fusion).unwrap()), name);
        }
    }
}
