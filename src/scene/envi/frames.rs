//! Where the samples lie in the data file, extra bytes around its frames included.
//!
//! ENVI's definition ("Major Frame Offsets", "Minor Frame Offsets" in its documentation of header fields, and the help
//! article "How to Read Images with Row or Band Offsets"):
//!
//! | interleave | minor frame            | major frame              |
//! | ---------- | ---------------------- | ------------------------ |
//! | BSQ        | one line of one band   | one band                 |
//! | BIL        | one line of one band   | one line of all bands    |
//! | BIP        | one pixel, all bands   | one line of all bands    |
//!
//! The two numbers are the bytes to skip before and after every frame. GDAL reads the major offsets of BIL and BIP in the
//! same way.

use super::super::samples::Stored;
use super::super::shape::Shape;
use super::super::strided::Layout;
use super::super::{Interleave, SceneError};
use super::header::Header;

/// Bytes before and after every major and every minor frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frames {
    major: [u64; 2],
    minor: [u64; 2],
}

/// The layout of a data file.
pub(super) struct Placed {
    pub layout: Layout,
    /// Bytes up to the end of the last sample.
    pub needed: u64,
    /// Bytes of the whole file.
    pub total: u64,
}

impl Frames {
    /// # Errors
    /// An offset is not two whole numbers.
    pub fn read(name: &str, header: &Header) -> Result<Self, SceneError> {
        let pair = |key: &str| -> Result<[u64; 2], SceneError> {
            let Some(text) = header.word(key) else { return Ok([0; 2]) };
            let numbers: Option<Vec<u64>> = text.split(',').map(|item| item.trim().parse().ok()).collect();
            match numbers.as_deref() {
                Some(&[before, after]) => Ok([before, after]),
                Some([0]) => Ok([0; 2]),
                _ => {
                    let shown: String = text.chars().take(40).collect();
                    let what = format!(
                        "\"{key} = {shown}\" in the header is not two whole numbers, the bytes before and after each frame; correct the header"
                    );
                    Err(SceneError::malformed(name, what))
                }
            }
        };
        Ok(Self { major: pair("major frame offsets")?, minor: pair("minor frame offsets")? })
    }

    /// Whether there are any extra bytes.
    pub fn any(self) -> bool {
        self.major != [0; 2] || self.minor != [0; 2]
    }

    /// Places the samples; `None` where the sizes are beyond any file.
    pub fn place(self, header_offset: u64, shape: Shape, interleave: Interleave, stored: Stored) -> Option<Placed> {
        let size = stored.sample.size() as u64;
        let [rows, cols, bands] = [shape.rows, shape.cols, shape.bands].map(|n| n as u64);
        // Samples of a minor frame, minor frames of a major one, major frames.
        let [samples, minors, majors] = match interleave {
            Interleave::Bil => [cols, bands, rows],
            Interleave::Bip => [bands, cols, rows],
            Interleave::Bsq | Interleave::ColumnMajor => [cols, rows, bands],
        };
        let around = |frame: u64, [before, after]: [u64; 2]| frame.checked_add(before)?.checked_add(after);
        let minor = samples * size;
        let minor_step = around(minor, self.minor)?;
        let major_step = around(minors.checked_mul(minor_step)?, self.major)?;
        let base = header_offset.checked_add(self.major[0])?.checked_add(self.minor[0])?;
        let last = (majors - 1).checked_mul(major_step)?.checked_add((minors - 1).checked_mul(minor_step)?)?;
        let steps = match interleave {
            Interleave::Bil => [major_step, size, minor_step],
            Interleave::Bip => [major_step, minor_step, size],
            Interleave::Bsq | Interleave::ColumnMajor => [minor_step, size, major_step],
        };
        Some(Placed {
            layout: Layout { base, steps, stored },
            needed: base.checked_add(last)?.checked_add(minor)?,
            total: header_offset.checked_add(majors.checked_mul(major_step)?)?,
        })
    }
}
