//! What size a scene may have, checked before anything is allocated for it.

use super::{Interleave, Kind, SceneError};

/// Imaging spectrometers have hundreds of bands; more than this is a broken or foreign header.
pub(crate) const MAX_BANDS: u64 = 65_536;
/// Samples of one row of pixels; a row is the least that is read at once, as `f64`.
const MAX_ROW_SAMPLES: u64 = 1 << 27;

/// Rows, columns and bands of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub rows: usize,
    pub cols: usize,
    pub bands: usize,
}

impl Shape {
    /// Checks that a scene of this size is possible at all.
    ///
    /// # Errors
    /// A zero, an overflow of `usize`, or more than [`MAX_BANDS`] bands.
    pub fn checked(name: &str, rows: u64, cols: u64, bands: u64) -> Result<Self, SceneError> {
        if rows == 0 || cols == 0 || bands == 0 {
            return Err(SceneError::malformed(
                name,
                format!("the scene would be empty: {rows} rows × {cols} columns × {bands} bands; the header is wrong"),
            ));
        }
        let too_large = || {
            SceneError::malformed(
                name,
                format!("{rows} rows × {cols} columns × {bands} bands is more than any scene has; the header is wrong"),
            )
        };
        let within = |a: u64, b: u64, max: u64| a.checked_mul(b).is_some_and(|product| product <= max);
        if bands > MAX_BANDS || !within(rows, cols, 1 << 40) || !within(cols, bands, MAX_ROW_SAMPLES) {
            return Err(too_large());
        }
        let fit = |n: u64| usize::try_from(n).map_err(|_| too_large());
        Ok(Self { rows: fit(rows)?, cols: fit(cols)?, bands: fit(bands)? })
    }

    /// Bytes of the whole scene; at most 2^40 · 2^16 · 8, so it cannot overflow.
    pub fn bytes(&self, sample_size: usize) -> u64 {
        self.rows as u64 * self.cols as u64 * self.bands as u64 * sample_size as u64
    }
}

/// One band of whole numbers is taken for class numbers, everything else for spectra.
pub(crate) fn kind_of(bands: usize, integer: bool) -> Kind {
    if bands == 1 && integer { Kind::Labels } else { Kind::Cube }
}

/// Names the order of samples by their strides; orders without a name of their own run down the columns first.
pub(crate) fn interleave_of(strides: [u64; 3]) -> Interleave {
    let [row, col, band] = strides;
    if row < col {
        Interleave::ColumnMajor
    } else if band >= row {
        Interleave::Bsq
    } else if band >= col {
        Interleave::Bil
    } else {
        Interleave::Bip
    }
}

/// Where the bands are in a 3-D array that does not say so: `(axis, sure)`.
///
/// Most arrays are `[row][col][band]`; GDAL-like programs write `[band][row][col]`. Evidence, strongest first: the two
/// equal axes are the spatial ones; one axis far longer than both others is the spectrum of a small crop; a last axis
/// too long for a spectrum behind a short first one is an image width. Otherwise the last axis.
pub(crate) fn guess_band_axis(shape: [u64; 3]) -> (usize, bool) {
    let [a, b, c] = shape;
    if a == b {
        return (2, true);
    }
    if b == c {
        return (0, true);
    }
    let dwarfs = |n: u64, m: u64| (16..=4096).contains(&n) && n > m.saturating_mul(8);
    if dwarfs(a, b) && dwarfs(a, c) {
        return (0, true);
    }
    if dwarfs(c, a) && dwarfs(c, b) {
        return (2, true);
    }
    if a < b && a < c && c > 500 {
        return (0, false);
    }
    (2, c <= a || c <= b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn band_axis_of_known_scenes() {
        for (shape, axis) in [
            ([145, 145, 200], 2),
            ([200, 145, 145], 0),
            ([17, 13, 200], 2),
            ([200, 17, 13], 0),
            ([610, 340, 103], 2),
            ([512, 217, 204], 2),
            ([349, 1905, 144], 2),
            ([144, 349, 1905], 0),
            ([64, 128, 224], 2),
        ] {
            assert_eq!(guess_band_axis(shape).0, axis, "{shape:?}");
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert!(Shape::checked("x", 0, 1, 1).is_err());
        assert!(Shape::checked("x", u64::MAX, 2, 1).is_err());
        assert!(Shape::checked("x", 1, 1, MAX_BANDS + 1).is_err());
        assert_eq!(Shape::checked("x", 2, 3, 4).map(|s| s.bytes(2)), Ok(48));
    }
}
