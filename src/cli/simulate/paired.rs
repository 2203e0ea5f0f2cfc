//! Does one method beat another on the same seeds?

/// The exact two-sided sign-flip (permutation) test of a zero mean: the share of the 2ⁿ ways to give the differences signs whose
/// mean is at least as far from 0. It assumes nothing about the shape of the distribution; n = 5 cannot get below 1/16.
///
/// `None` without differences, and with more than 20, where 2ⁿ is too many.
pub fn sign_flip(differences: &[f64]) -> Option<f64> {
    if differences.is_empty() || differences.len() > 20 || differences.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let seen = differences.iter().sum::<f64>().abs();
    // Equal sums in another order differ by rounding.
    let slack = 1e-12 * differences.iter().map(|value| value.abs()).sum::<f64>();
    let ways = 1u32 << differences.len();
    let far = (0..ways).filter(|signs| {
        let flip = |(bit, value): (usize, &f64)| if signs >> bit & 1 == 1 { -value } else { *value };
        differences.iter().enumerate().map(flip).sum::<f64>().abs() >= seen - slack
    });
    Some(far.count() as f64 / f64::from(ways))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(sign_flip(&[1.0, 2.0, 3.0]), Some(0.25));
        assert_eq!(sign_flip(&[1.0, 2.0, 3.0, 0.5, 0.1]), Some(2.0 / 32.0));
        // Of ±1 ±1 ±3: |1 − 1 + 3| = 3 is reached by 1−1+3, −1+1+3, 1+1+3 and their mirror images.
        assert_eq!(sign_flip(&[1.0, -1.0, 3.0]), Some(6.0 / 8.0));
        assert_eq!(sign_flip(&[0.0; 4]), Some(1.0));
        assert_eq!(sign_flip(&[]), None);
        assert_eq!(sign_flip(&[f64::NAN]), None);
        assert_eq!(sign_flip(&[1.0; 21]), None);
    }
}
