//! Sums without rounding.

use std::cmp::Ordering;

use thiserror::Error;

/// Bit 0 stands for 2⁻¹⁰⁷⁴. The numbers of an f64 take 2098 bits, a weight 64 more, the number of terms (below 2⁶⁴) 64 more,
/// the sign one.
const LIMBS: usize = 35;

/// A sum of f64 numbers, each times an integer weight, kept as one long fixed-point integer.
///
/// Nothing is rounded before [`ExactSum::divided_by`], so neither the order of the terms nor how partial sums were merged can
/// change a bit of the result. Up to 2⁶⁴ terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExactSum {
    /// Two's complement, lowest limb first.
    limbs: [u64; LIMBS],
}

/// Infinite or not a number, which no sum can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a number is infinite or not a number, so nothing can be added up; look for the step that made it")]
pub struct NotFinite;

impl Default for ExactSum {
    fn default() -> Self {
        Self { limbs: [0; LIMBS] }
    }
}

impl ExactSum {
    /// Adds `value × weight`.
    ///
    /// # Errors
    /// [`NotFinite`]; the sum is unchanged then.
    pub fn add(&mut self, value: f64, weight: u64) -> Result<(), NotFinite> {
        if !value.is_finite() {
            return Err(NotFinite);
        }
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, shift) = if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
        let product = u128::from(mantissa) * u128::from(weight);
        let (limb, offset) = (shift / 64, shift % 64);
        let low = product << offset;
        let high = if offset == 0 { 0 } else { (product >> (128 - offset)) as u64 };
        let words = [low as u64, (low >> 64) as u64, high];
        if value.is_sign_negative() {
            self.subtract(limb, words);
        } else {
            self.plus(limb, words);
        }
        Ok(())
    }

    /// Adds `value²`, without rounding as long as it does not leave the range of f64.
    ///
    /// # Errors
    /// [`NotFinite`] when the number or its square is; the sum is unchanged then.
    pub fn add_square(&mut self, value: f64, weight: u64) -> Result<(), NotFinite> {
        let square = value * value;
        if !square.is_finite() {
            return Err(NotFinite);
        }
        self.add(square, weight)?;
        self.add(value.mul_add(value, -square), weight)
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, &word) in self.limbs.iter_mut().zip(&other.limbs) {
            (*limb, carry) = limb.carrying(word, carry);
        }
    }

    /// The sum, rounded once to the nearest f64 (ties to even); infinite beyond its range.
    pub fn value(&self) -> f64 {
        self.divided_by(1)
    }

    /// The sum divided by an integer, rounded once to the nearest f64 (ties to even). Division by 0 gives NaN.
    pub fn divided_by(&self, divisor: u64) -> f64 {
        if divisor == 0 {
            return f64::NAN;
        }
        let negative = self.limbs[LIMBS - 1] >> 63 == 1;
        let mut magnitude = self.limbs;
        if negative {
            let mut carry = true;
            for limb in &mut magnitude {
                (*limb, carry) = (!*limb).carrying(0, carry);
            }
        }
        let mut remainder = 0u64;
        for limb in magnitude.iter_mut().rev() {
            let dividend = u128::from(remainder) << 64 | u128::from(*limb);
            *limb = (dividend / u128::from(divisor)) as u64;
            remainder = (dividend % u128::from(divisor)) as u64;
        }
        let rounded = round(&magnitude, remainder, divisor);
        if negative { -rounded } else { rounded }
    }

    fn plus(&mut self, at: usize, words: [u64; 3]) {
        let mut carry = false;
        for (place, limb) in self.limbs[at..].iter_mut().enumerate() {
            let word = words.get(place).copied().unwrap_or(0);
            (*limb, carry) = limb.carrying(word, carry);
            if place >= 2 && !carry {
                break;
            }
        }
    }

    fn subtract(&mut self, at: usize, words: [u64; 3]) {
        let mut borrow = false;
        for (place, limb) in self.limbs[at..].iter_mut().enumerate() {
            let word = words.get(place).copied().unwrap_or(0);
            let (difference, first) = limb.overflowing_sub(word);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (difference, first | second);
            if place >= 2 && !borrow {
                break;
            }
        }
    }
}

trait Carrying {
    /// The sum of both and the carry, and the next carry.
    fn carrying(self, other: u64, carry: bool) -> (u64, bool);
}

impl Carrying for u64 {
    fn carrying(self, other: u64, carry: bool) -> (u64, bool) {
        let (sum, first) = self.overflowing_add(other);
        let (sum, second) = sum.overflowing_add(u64::from(carry));
        (sum, first | second)
    }
}

/// `limbs + remainder / divisor` in units of 2⁻¹⁰⁷⁴, rounded to f64.
fn round(limbs: &[u64; LIMBS], remainder: u64, divisor: u64) -> f64 {
    let bit = |place: usize| limbs[place / 64] >> (place % 64) & 1 == 1;
    let highest =
        limbs.iter().rposition(|&limb| limb != 0).map_or(0, |at| at * 64 + 63 - limbs[at].leading_zeros() as usize);
    // The lowest bit that an f64 of this size holds.
    let lowest = highest.saturating_sub(52);
    let (limb, offset) = (lowest / 64, lowest % 64);
    let pair = u128::from(limbs[limb]) | u128::from(limbs.get(limb + 1).copied().unwrap_or(0)) << 64;
    let mantissa = (pair >> offset) as u64 & ((1 << 53) - 1);
    let rest = if lowest == 0 {
        (u128::from(remainder) * 2).cmp(&u128::from(divisor))
    } else if !bit(lowest - 1) {
        Ordering::Less
    } else if remainder != 0 || (0..lowest - 1).any(bit) {
        Ordering::Greater
    } else {
        Ordering::Equal
    };
    let up = rest == Ordering::Greater || rest == Ordering::Equal && mantissa & 1 == 1;
    let mantissa = mantissa + u64::from(up);
    // Below 2⁵³ units the bits of an f64 are the number of units; above, a carry out of the mantissa raises the exponent.
    let bits = ((lowest as u64) << 52) + mantissa;
    if bits >= f64::INFINITY.to_bits() { f64::INFINITY } else { f64::from_bits(bits) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(terms: &[(f64, u64)]) -> ExactSum {
        let mut sum = ExactSum::default();
        terms.iter().for_each(|&(value, weight)| sum.add(value, weight).unwrap());
        sum
    }

    #[test]
    fn what_floats_lose_is_kept() {
        assert_eq!(sum(&[(1e300, 1), (1.0, 1), (-1e300, 1)]).value(), 1.0);
        assert_eq!(
            sum(&[(f64::MAX, u64::MAX), (-f64::MAX, u64::MAX), (f64::MIN_POSITIVE, 3)]).divided_by(3),
            f64::MIN_POSITIVE
        );
        assert_eq!(sum(&[(0.1, 10)]).divided_by(10), 0.1);
        assert_eq!(sum(&[(f64::MAX, 2)]).value(), f64::INFINITY);
        assert_eq!(sum(&[(-f64::MAX, 2)]).divided_by(2), -f64::MAX);
        assert!(sum(&[]).divided_by(0).is_nan());
    }

    #[test]
    fn the_smallest_numbers_round_to_even() {
        let tiny = f64::from_bits(1);
        assert_eq!(sum(&[(tiny, 3)]).divided_by(2), f64::from_bits(2));
        assert_eq!(sum(&[(tiny, 1)]).divided_by(2), 0.0);
        assert_eq!(sum(&[(tiny, 5)]).divided_by(3), f64::from_bits(2));
        assert_eq!(sum(&[(1.0, 1), (f64::EPSILON / 2.0, 1)]).value(), 1.0);
        assert_eq!(sum(&[(1.0, 1), (f64::EPSILON / 2.0, 1), (tiny, 1)]).value(), 1.0 + f64::EPSILON);
    }

    #[test]
    fn squares_are_exact() {
        let value = 1.0 + f64::EPSILON;
        let mut sum = ExactSum::default();
        sum.add_square(value, 7).unwrap();
        sum.add(-1.0, 7).unwrap();
        sum.add(-2.0 * f64::EPSILON, 7).unwrap();
        assert_eq!(sum.divided_by(7), f64::EPSILON * f64::EPSILON);
        assert_eq!(sum.add_square(1e200, 1), Err(NotFinite));
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        let mut sum = sum(&[(1.5, 2)]);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(sum.add(value, 1), Err(NotFinite));
        }
        assert_eq!(sum.value(), 3.0);
    }

    fn finite() -> impl Strategy<Value = f64> {
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite())
    }

    proptest! {
        #[test]
        fn one_term_comes_back(value in finite(), weight in 1u64..) {
            prop_assert_eq!(sum(&[(value, weight)]).divided_by(weight), value);
        }

        #[test]
        fn order_and_grouping_change_nothing(terms in prop::collection::vec((finite(), any::<u64>()), 0..30), cut in 0usize..30) {
            let forward = sum(&terms);
            let backward = sum(&terms.iter().rev().copied().collect::<Vec<_>>());
            let (left, right) = terms.split_at(cut.min(terms.len()));
            let mut merged = sum(right);
            merged.merge(&sum(left));
            prop_assert_eq!(&forward, &backward);
            prop_assert_eq!(&forward, &merged);
            let taken: Vec<_> = terms.iter().map(|&(value, weight)| (-value, weight)).collect();
            merged.merge(&sum(&taken));
            prop_assert_eq!(merged, ExactSum::default());
        }

        #[test]
        fn integers_divide_as_integers(a in -1_000_000_000i64..1_000_000_000, b in -1_000_000_000i64..1_000_000_000, divisor in 1u64..1000) {
            let terms = [(a as f64, 3), (b as f64, 5)];
            prop_assert_eq!(sum(&terms).divided_by(divisor), (3 * a + 5 * b) as f64 / divisor as f64);
        }
    }
}
