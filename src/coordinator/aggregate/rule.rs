//! How the updates of a round become one change, coordinate by coordinate, whatever their order.
//!
//! The weighted mean adds integers: a value is rounded once to a multiple of 2⁻⁶⁰ and multiplied by the client's samples, and
//! integers add up to the same sum in any order. |value| ≤ 2¹⁶, samples ≤ 2³⁰ and clients ≤ 2²⁰ leave it within 2¹²⁶. Median and
//! trimmed mean sort; what they add is sorted.

use super::Contribution;
use crate::federation::protocol::{Algorithm, Robust, Update, UpdateError};

/// Values of a tensor that are combined at once, a multiple of the blocks of int8 updates.
pub(super) const PIECE: usize = 1 << 16;

/// What sorting may hold at once, in values of all clients together: 32 MiB.
const SORTED: usize = 8 << 20;

/// One over the grid of the sum.
const GRID: f64 = (1u64 << 60) as f64;

pub(super) struct Combiner<'a> {
    robust: Robust,
    updates: &'a [Contribution],
    /// What each update is multiplied by, so that none is longer than the norm it may have.
    clipping: Vec<f64>,
    /// Of all samples.
    total: f64,
    /// Reused from piece to piece.
    values: Vec<f32>,
    sums: Vec<i128>,
    change: Vec<f64>,
}

impl<'a> Combiner<'a> {
    pub(super) fn new(algorithm: &Algorithm, updates: &'a [Contribution]) -> Self {
        let clip = |update: &Contribution| match algorithm.clip_norm {
            Some(norm) if update.norm > norm => norm / update.norm,
            _ => 1.0,
        };
        Self {
            robust: algorithm.robust,
            updates,
            clipping: updates.iter().map(clip).collect(),
            total: updates.iter().map(|update| u128::from(update.samples)).sum::<u128>() as f64,
            values: Vec::new(),
            sums: Vec::new(),
            change: Vec::new(),
        }
    }

    /// Values to combine at once.
    pub(super) fn piece(&self) -> usize {
        match self.robust {
            Robust::Mean => PIECE,
            Robust::TrimmedMean { .. } | Robust::Median => {
                (SORTED / self.updates.len().max(1)).clamp(64, PIECE) / 64 * 64
            }
        }
    }

    /// The change of values `start..start + len` of the plan's tensor `index`; `opened` in the order of the contributions.
    pub(super) fn combine(
        &mut self,
        opened: &[Update<'_>],
        index: usize,
        start: usize,
        len: usize,
    ) -> Result<&[f64], UpdateError> {
        self.change.clear();
        match self.robust {
            Robust::Mean => {
                self.sums.clear();
                self.sums.resize(len, 0);
                self.values.resize(len, 0.0);
                for (at, update) in opened.iter().enumerate() {
                    update.read(index, start, &mut self.values)?;
                    let (clip, samples) = (self.clipping[at], i128::from(self.updates[at].samples));
                    for (sum, &value) in self.sums.iter_mut().zip(&self.values) {
                        *sum += on_grid(f64::from(value) * clip) * samples;
                    }
                }
                let total = self.total;
                self.change.extend(self.sums.iter().map(|&sum| sum as f64 / GRID / total));
            }
            Robust::TrimmedMean { trim } => {
                let cut = (trim * opened.len() as f64).floor() as usize;
                self.sorted(opened, index, start, len, |values| mean(&values[cut..values.len() - cut]))?;
            }
            Robust::Median => {
                let (low, high) = (opened.len().saturating_sub(1) / 2, opened.len() / 2);
                self.sorted(opened, index, start, len, |values| mean(&values[low..=high]))?;
            }
        }
        Ok(&self.change)
    }

    fn sorted(
        &mut self,
        opened: &[Update<'_>],
        index: usize,
        start: usize,
        len: usize,
        choose: impl Fn(&[f64]) -> f64,
    ) -> Result<(), UpdateError> {
        self.values.resize(len * opened.len(), 0.0);
        for (update, values) in opened.iter().zip(self.values.chunks_exact_mut(len)) {
            update.read(index, start, values)?;
        }
        let mut column = vec![0f64; opened.len()];
        for at in 0..len {
            for ((value, row), clip) in column.iter_mut().zip(self.values.chunks_exact(len)).zip(&self.clipping) {
                // 0 and −0 are told apart by the order below; adding 0 makes them one.
                *value = f64::from(row[at]) * clip + 0.0;
            }
            column.sort_unstable_by(f64::total_cmp);
            self.change.push(choose(&column));
        }
        Ok(())
    }
}

/// The nearest multiple of 2⁻⁶⁰, in multiples; ties to even.
fn on_grid(value: f64) -> i128 {
    /// From here on floating point numbers are whole.
    const WHOLE: f64 = (1u64 << 52) as f64;
    const FITS: f64 = (1u64 << 62) as f64;
    let scaled = (value * GRID).abs();
    // Adding rounds to a whole number, and subtracting is exact. This and the machine integer take a fraction of the time that
    // `round_ties_even` and an i128 take; changes of 4 and more are rare.
    let whole = if scaled < WHOLE { (scaled + WHOLE) - WHOLE } else { scaled }.copysign(value);
    if scaled < FITS { i128::from(whole as i64) } else { whole as i128 }
}

fn mean(sorted: &[f64]) -> f64 {
    sorted.iter().sum::<f64>() / sorted.len() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plainly(value: f64) -> i128 {
        (value * GRID).round_ties_even() as i128
    }

    #[test]
    fn halves_go_to_the_even_one() {
        let step = 1.0 / GRID;
        for (value, expected) in [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (0.75, 1), (-3.25, -3)] {
            assert_eq!(on_grid(value * step), expected, "{value}");
        }
        for value in [0.0, -0.0, 1.0, -65536.0, 65536.0, 3.999_999, 4.0, f64::MIN_POSITIVE] {
            assert_eq!(on_grid(value), plainly(value), "{value}");
        }
    }

    proptest! {
        #[test]
        fn as_plainly_rounded(value in -65536.0f64..65536.0, shift in 0i32..70, clip in 0f64..=1.0) {
            let value = value * 2f64.powi(-shift) * clip;
            prop_assert_eq!(on_grid(value), plainly(value));
        }
    }
}
