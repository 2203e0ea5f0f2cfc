//! Eigen-decomposition of a symmetric matrix: a thin wrapper, so that one file knows the linear-algebra crate.

use faer::{Mat, MatRef, Side};

/// Eigenvalues in falling order and their eigenvectors of unit length, `vectors[k * n..(k + 1) * n]` belonging to `values[k]`.
pub(super) struct Eigen {
    pub values: Vec<f64>,
    pub vectors: Vec<f64>,
}

/// Decomposes a symmetric matrix (`n × n`, row-major; only the lower triangle is read). `None` where the iteration does not
/// converge or the matrix is not finite.
///
/// The sign of a vector is chosen such that its entry of largest magnitude is positive (the first of equals), the rule of
/// scikit-learn 1.9; so another computer finds the same components, not their mirror images.
pub(super) fn symmetric_eigen(matrix: &[f64], n: usize) -> Option<Eigen> {
    if n == 0 || matrix.len() != n * n || !matrix.iter().all(|value| value.is_finite()) {
        return None;
    }
    let decomposed = MatRef::from_row_major_slice(matrix, n, n).self_adjoint_eigen(Side::Lower).ok()?;
    let (basis, diagonal) = (decomposed.U(), decomposed.S());
    let mut values = Vec::with_capacity(n);
    let mut vectors = Vec::with_capacity(n * n);
    // The crate sorts upward.
    for k in (0..n).rev() {
        values.push(diagonal[k]);
        let column = || (0..n).map(|i| basis[(i, k)]);
        let largest = column().fold(0.0_f64, |best, value| if value.abs() > best.abs() { value } else { best });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        vectors.extend(column().map(|value| sign * value));
    }
    Some(Eigen { values, vectors })
}

/// `sum += xᵀ x` for rows of `x` (`count × n`, row-major) into `sum` (`n × n`).
pub(super) fn add_outer_products(sum: &mut Mat<f64>, x: &[f64], n: usize) {
    if n == 0 || x.is_empty() {
        return;
    }
    let x = MatRef::from_row_major_slice(x, x.len() / n, n);
    faer::linalg::matmul::matmul(sum, faer::Accum::Add, x.transpose(), x, 1.0, faer::Par::Seq);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_matrix() {
        // Eigenvalues 3 and 1, vectors (1, 1)/√2 and (1, −1)/√2.
        let eigen = symmetric_eigen(&[2.0, 1.0, 1.0, 2.0], 2).expect("symmetric");
        let h = 0.5_f64.sqrt();
        for (given, expected) in eigen.values.iter().chain(&eigen.vectors[..2]).zip([3.0, 1.0, h, h]) {
            assert!((given - expected).abs() < 1e-14);
        }
        assert!((eigen.vectors[2] + eigen.vectors[3]).abs() < 1e-14);
        assert!(symmetric_eigen(&[f64::NAN], 1).is_none());
        assert!(symmetric_eigen(&[], 0).is_none());
    }
}
