//! Why a federation does not go on by itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a federation is over, paused, or waits for something else than clients at work. It follows from the log and the clock;
/// nothing more is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    RoundsDone,
    FinishedByHost,
    Diverged,
    NoProjection,
    PausedByHost,
    ModelMissing,
    WaitsForHost,
    TooFewClients,
    TooFewAnswers,
    Stragglers,
}

impl Why {
    pub const ALL: &[Self] = &[
        Self::RoundsDone,
        Self::FinishedByHost,
        Self::Diverged,
        Self::NoProjection,
        Self::PausedByHost,
        Self::ModelMissing,
        Self::WaitsForHost,
        Self::TooFewClients,
        Self::TooFewAnswers,
        Self::Stragglers,
    ];

    /// For people; the document has the same sentences.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::RoundsDone => "All rounds are done.",
            Self::FinishedByHost => "The host ended it.",
            Self::Diverged => "The aggregated model is not finite; the model of the round before is kept.",
            Self::NoProjection => "The band statistics of its clients allow no common projection.",
            Self::PausedByHost => "The host has paused it; what was accepted is kept.",
            Self::ModelMissing => "The host has not uploaded the model yet.",
            Self::WaitsForHost => "Enough clients are there; it begins when the host starts it.",
            Self::TooFewClients => "Fewer clients are present than the quorum needs; it goes on when more come.",
            Self::TooFewAnswers => {
                "The deadline is over, but fewer clients have answered than the quorum needs; the round stays open for more."
            }
            Self::Stragglers => {
                "The deadline is over, but too many of those present have not answered; the round closes at twice its deadline at the latest."
            }
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_every_cause_and_its_sentence() {
        let document = include_str!("../../../docs/federation.md");
        let section = document.split("## State").nth(1).expect("a section").split("\n## ").next().unwrap();
        let table = section.split("| why |").nth(1).expect("a table");
        let listed: Vec<(String, String)> = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| {
                let mut cells = line.split('|').map(str::trim).skip(1);
                let mut cell = || cells.next().unwrap().to_owned();
                (cell().trim_matches('`').to_owned(), {
                    cell();
                    cell()
                })
            })
            .collect();
        let code = |why: &Why| serde_json::to_value(why).unwrap().as_str().unwrap().to_owned();
        let expected: Vec<_> = Why::ALL.iter().map(|why| (code(why), why.sentence().to_owned())).collect();
        assert_eq!(listed, expected);
    }
}
