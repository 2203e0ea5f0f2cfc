//! What is simulated: one federation of labs that share a scene's classes and not its labels.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::federation::protocol::{Algorithm, Robust, ServerOptimizer, Wsa, WsaSchedule};
use crate::scope::Fusion;

/// One run. Two runs of the same plan give the same numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub clients: usize,
    /// Share of the clients that a round asks, drawn anew every round; at least one.
    pub participation: f64,
    pub rounds: u32,
    /// Training pixels a class, of all clients together; classes that are small keep half of their pixels for testing.
    pub labels: usize,
    /// Concentration of the Dirichlet distribution over clients from which each class is dealt (Hsu et al. 2019,
    /// arXiv 1909.06335): 0.1 gives most labs few classes, 5 nearly all labs the same.
    pub alpha: f64,
    /// Standard deviation of the logarithm of the clients' sizes; 0 = all alike.
    pub quantity: f64,
    pub local: Local,
    pub method: Method,
    pub seed: u64,
}

/// How clients train and how they differ, which is what weight scope alignment is for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Local {
    /// Epochs a round, at most.
    pub epochs: usize,
    /// Every client draws its number of epochs from half of `epochs` to `epochs`, its learning rate and its weight decay within
    /// this factor of the preset (log-uniform), and the memory of its optimiser (β₂ of 0.9, 0.98, 0.999). 1 = all alike.
    pub variety: f64,
}

/// What the federation does with it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Method {
    pub base: Base,
    /// λ of weight scope alignment; 0 = without.
    pub lambda: f64,
    pub fusion: Fusion,
}

/// The method that alignment is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// McMahan et al. 2017, arXiv 1602.05629
    Fedavg,
    /// Li et al. 2020, arXiv 1812.06127, with μ = 0.01
    Fedprox,
    /// Hsu et al. 2019, arXiv 1909.06335, with momentum 0.9 and a rate of 0.1, so that steps are as long as without
    Fedavgm,
}

impl Base {
    pub fn name(self) -> &'static str {
        match self {
            Self::Fedavg => "FedAvg",
            Self::Fedprox => "FedProx",
            Self::Fedavgm => "FedAvgM",
        }
    }
}

impl Method {
    /// As a federation would fix it.
    pub fn algorithm(self) -> Algorithm {
        Algorithm {
            proximal: if self.base == Base::Fedprox { 0.01 } else { 0.0 },
            server: match self.base {
                Base::Fedavgm => ServerOptimizer::FedAvgM { rate: 0.1, momentum: 0.9 },
                Base::Fedavg | Base::Fedprox => ServerOptimizer::FedAvg,
            },
            robust: Robust::Mean,
            clip_norm: None,
            wsa: (self.lambda > 0.0).then_some(Wsa {
                lambda: self.lambda,
                fusion: self.fusion,
                schedule: WsaSchedule::Constant,
            }),
        }
    }

    /// For tables and names of files: `FedAvg`, `FedAvg+WSA(0.1,mean_of_scopes)`.
    pub fn name(self) -> String {
        let base = self.base.name();
        if self.lambda == 0.0 {
            base.to_owned()
        } else {
            format!("{base}+WSA({},{})", self.lambda, fusion(self.fusion))
        }
    }
}

/// As in the protocol.
pub fn fusion(fusion: Fusion) -> &'static str {
    match fusion {
        Fusion::MeanOfScopes => "mean_of_scopes",
        Fusion::MomentMatching => "moment_matching",
        Fusion::AveragedWeights => "averaged_weights",
    }
}
