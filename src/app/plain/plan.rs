//! The plan of a split in a sentence, with the numbers that it will have.

use super::number;
use crate::labels::{FEW, random_shares};

/// What a random split of these classes will be; `counts[0]` are the unlabelled pixels.
pub fn random_plan(counts: &[usize], train: usize, val: usize) -> String {
    let labelled = || counts.iter().skip(1).copied().filter(|&pixels| pixels > 0);
    let shares: Vec<[usize; 3]> = labelled().map(|pixels| random_shares(pixels, train, val)).collect();
    let [trains, validates, tests] = [0, 1, 2].map(|list| shares.iter().map(|share| share[list]).sum::<usize>());
    let mut plan = if shares.iter().all(|share| share[..2] == [train, val]) {
        format!(
            "Trains on {} and validates on {} random pixels a class; the other {} test.",
            number::grouped(train),
            number::grouped(val),
            number::grouped(tests)
        )
    } else {
        // Some classes are too small for what is asked.
        let each: Vec<String> =
            shares.iter().take(6).map(|[train, val, test]| format!("{train} + {val} + {test}")).collect();
        let more = if shares.len() > each.len() { ", …" } else { "" };
        format!(
            "Trains on {}, validates on {} and tests on {} pixels ({}{more} a class), because some classes are small.",
            number::grouped(trains),
            number::grouped(validates),
            number::grouped(tests),
            each.join(", ")
        )
    };
    if tests < FEW {
        plan.push_str(" Too few to test.");
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::random_plan;

    #[test]
    fn the_plan_is_what_happens() {
        assert_eq!(
            random_plan(&[900, 100, 0, 50], 10, 5),
            "Trains on 10 and validates on 5 random pixels a class; the other 120 test."
        );
        // As many as `random_split` draws.
        assert_eq!(
            random_plan(&[0, 9, 1], 10, 5),
            "Trains on 7, validates on 2 and tests on 1 pixels (6 + 2 + 1, 1 + 0 + 0 a class), because some classes are small. Too few to test."
        );
    }
}
