//! Scenes whose samples lie at fixed strides in one stretch of bytes: ENVI, MATLAB, NumPy, uncompressed TIFF chunks.

use std::ops::Range;

use super::samples::{Run, Stored, decode};
use super::{Cube, SceneError, SceneInfo, SharedSource, Source, Window};

/// The most that is read at once, bytes.
const READ_MAX: u64 = 4 << 20;
/// A read costs about as much as passing over this many bytes, so smaller gaps are read and thrown away.
const GAP_MAX: u64 = 32 << 10;
/// Samples of a row block are handed out as `f64`; a block takes about this many bytes.
const BLOCK_BYTES: usize = 8 << 20;

/// Axes in the order of [`Window`]: row, column, band.
const ROW: usize = 0;
const COL: usize = 1;
const BAND: usize = 2;

/// Where the samples of a box lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Byte offset of the sample (0, 0, 0).
    pub base: u64,
    /// Distance in bytes between neighbours along row, column and band.
    pub steps: [u64; 3],
    pub stored: Stored,
}

/// A box of samples inside a layout, and where it goes in the output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// First row, column and band.
    pub start: [u64; 3],
    /// Number of rows, columns and bands.
    pub len: [usize; 3],
    /// Position of the first sample in the output.
    pub out_start: usize,
    /// Distance between neighbours in the output along row, column and band.
    pub out_strides: [usize; 3],
}

impl Part {
    /// The whole of a window, written in the order `[row][col][band]`.
    pub fn whole(window: &Window) -> Self {
        let start = [&window.rows, &window.cols, &window.bands].map(|range| range.start as u64);
        let len = [&window.rows, &window.cols, &window.bands].map(Range::len);
        Self { start, len, out_start: 0, out_strides: [len[COL] * len[BAND], len[BAND], 1] }
    }

    /// Writes one value to every place of the part.
    pub fn fill(self, value: f64, out: &mut [f64]) {
        for row in 0..self.len[ROW] {
            for col in 0..self.len[COL] {
                for band in 0..self.len[BAND] {
                    let [r, c, b] = self.out_strides;
                    out[self.out_start + row * r + col * c + band * b] = value;
                }
            }
        }
    }

    fn slice(self, axis: usize, from: usize, count: usize) -> Self {
        let mut part = self;
        part.start[axis] += from as u64;
        part.len[axis] = count;
        part.out_start += from * self.out_strides[axis];
        part
    }
}

impl Layout {
    /// A layout without gaps: `strides` are distances in samples.
    pub fn new(base: u64, strides: [u64; 3], stored: Stored) -> Self {
        let size = stored.sample.size() as u64;
        Self { base, steps: strides.map(|stride| stride.saturating_mul(size)), stored }
    }

    /// Bytes from the first sample of a box of this size to the end of its last.
    fn span(&self, len: [usize; 3]) -> u64 {
        let size = self.stored.sample.size() as u64;
        size + (0..3).map(|axis| (len[axis].max(1) as u64 - 1) * self.steps[axis]).sum::<u64>()
    }

    /// Bytes from the base to a sample.
    pub fn first(&self, start: [u64; 3]) -> u64 {
        (0..3).map(|axis| start[axis] * self.steps[axis]).sum()
    }

    /// Reads a part of the box from `source`, in few reads of bounded size.
    pub fn read(&self, source: &dyn Source, part: Part, out: &mut [f64]) -> Result<(), SceneError> {
        if part.len.contains(&0) {
            return Ok(());
        }
        let mut axes = [ROW, COL, BAND];
        axes.sort_by_key(|&axis| std::cmp::Reverse(self.steps[axis]));
        self.read_split(source, part, axes, &mut Vec::new(), out)
    }

    fn read_split(
        &self,
        source: &dyn Source,
        part: Part,
        axes: [usize; 3],
        buffer: &mut Vec<u8>,
        out: &mut [f64],
    ) -> Result<(), SceneError> {
        let span = self.span(part.len);
        // From the slowest axis inward: what one step along it spans, and the gap between two steps.
        let mut inner = part.len;
        let mut split = None;
        for axis in axes {
            if inner[axis] > 1 {
                inner[axis] = 1;
                let inner_span = self.span(inner);
                let gap = self.steps[axis].saturating_sub(inner_span);
                split.get_or_insert((axis, inner_span));
                if gap > GAP_MAX {
                    return self.read_groups(source, part, axes, axis, 1, buffer, out);
                }
            }
        }
        match split {
            Some((axis, inner_span)) if span > READ_MAX => {
                let steps = READ_MAX.saturating_sub(inner_span) / self.steps[axis].max(1);
                let group = usize::try_from(steps).unwrap_or(usize::MAX).clamp(1, part.len[axis] - 1);
                self.read_groups(source, part, axes, axis, group, buffer, out)
            }
            _ => {
                // span ≤ READ_MAX, or a single sample.
                buffer.resize(span as usize, 0);
                source.read_at(self.base + self.first(part.start), buffer)?;
                self.scatter(buffer, 0, part, out);
                Ok(())
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one recursion")]
    fn read_groups(
        &self,
        source: &dyn Source,
        part: Part,
        axes: [usize; 3],
        axis: usize,
        group: usize,
        buffer: &mut Vec<u8>,
        out: &mut [f64],
    ) -> Result<(), SceneError> {
        let mut from = 0;
        while from < part.len[axis] {
            let count = group.min(part.len[axis] - from);
            self.read_split(source, part.slice(axis, from, count), axes, buffer, out)?;
            from += count;
        }
        Ok(())
    }

    /// Decodes a part from bytes that hold its first sample at `first`.
    pub fn scatter(&self, bytes: &[u8], first: usize, part: Part, out: &mut [f64]) {
        // Long runs of one decode call: along the bands, or along the columns where few bands are wanted.
        let (run, others) = if part.len[BAND] >= part.len[COL] { (BAND, [ROW, COL]) } else { (COL, [ROW, BAND]) };
        let [a, b] = others;
        let step = self.steps.map(|step| step as usize);
        for i in 0..part.len[a] {
            for j in 0..part.len[b] {
                let from = Run { start: first + i * step[a] + j * step[b], step: step[run] };
                let to = Run {
                    start: part.out_start + i * part.out_strides[a] + j * part.out_strides[b],
                    step: part.out_strides[run],
                };
                decode(self.stored, bytes, from, out, to, part.len[run]);
            }
        }
    }
}

/// Checks a window and the output against a scene.
pub(crate) fn check_window(info: &SceneInfo, window: &Window, out: &[f64]) -> Result<(), SceneError> {
    let fits = |range: &Range<usize>, n: usize| range.start <= range.end && range.end <= n;
    let inside = fits(&window.rows, info.rows) && fits(&window.cols, info.cols) && fits(&window.bands, info.bands);
    if inside && window.len() == out.len() {
        return Ok(());
    }
    Err(SceneError::Window { window: window.clone(), rows: info.rows, cols: info.cols, bands: info.bands })
}

/// Rows that make a block of a few megabytes of `f64`.
pub(crate) fn block_rows(info: &SceneInfo) -> usize {
    let row = info.cols.saturating_mul(info.bands).saturating_mul(size_of::<f64>());
    (BLOCK_BYTES / row.max(1)).clamp(1, info.rows.max(1))
}

/// A scene at fixed strides.
pub(crate) struct StridedCube {
    pub info: SceneInfo,
    pub source: SharedSource,
    pub layout: Layout,
}

impl Cube for StridedCube {
    fn info(&self) -> &SceneInfo {
        &self.info
    }

    fn read(&self, window: &Window, out: &mut [f64]) -> Result<(), SceneError> {
        check_window(&self.info, window, out)?;
        self.layout.read(self.source.as_ref(), Part::whole(window), out)
    }

    fn preferred_rows(&self) -> usize {
        let rows = block_rows(&self.info);
        // Down the columns every block of rows passes over the whole file: fewer, larger blocks.
        let column_major = self.layout.steps[ROW] < self.layout.steps[COL];
        if column_major { rows.saturating_mul(4).min(self.info.rows) } else { rows }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::Endian;
    use super::super::{MemorySource, SampleType};
    use super::*;

    /// Every order of axes, many windows, against the definition.
    #[test]
    fn any_stride_order_reads_any_window() -> Result<(), SceneError> {
        let (rows, cols, bands) = (5u64, 7u64, 300u64);
        let orders = [
            [cols * bands, bands, 1],
            [cols * bands, 1, cols],
            [cols, 1, rows * cols],
            [1, rows, rows * cols],
            [bands, bands * rows, 1],
        ];
        for strides in orders {
            let total = (rows * cols * bands) as usize;
            let mut bytes = vec![0; 3];
            bytes.extend((0..total).flat_map(|i| (i as u32).to_be_bytes()));
            let source = MemorySource::new("x", bytes);
            let stored = Stored { sample: SampleType::U32, endian: Endian::Big };
            let layout = Layout::new(3, strides, stored);
            for window in [
                Window { rows: 0..5, cols: 0..7, bands: 0..300 },
                Window { rows: 2..3, cols: 1..6, bands: 17..18 },
                Window { rows: 1..4, cols: 6..7, bands: 250..300 },
                Window { rows: 1..1, cols: 6..7, bands: 250..300 },
            ] {
                let mut out = vec![-1.0; window.len()];
                layout.read(&source, Part::whole(&window), &mut out)?;
                let mut at = 0;
                for r in window.rows.clone() {
                    for c in window.cols.clone() {
                        for b in window.bands.clone() {
                            let want = r as u64 * strides[0] + c as u64 * strides[1] + b as u64 * strides[2];
                            assert_eq!(out[at], want as f64);
                            at += 1;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Large gaps and reads over the limit are split; every read stays within it.
    #[test]
    fn reads_are_bounded_and_skip_large_gaps() -> Result<(), SceneError> {
        struct Pattern(std::cell::Cell<(u64, u64)>);
        impl Source for Pattern {
            fn name(&self) -> &str {
                "pattern"
            }
            fn len(&self) -> u64 {
                1 << 40
            }
            fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), super::super::SourceError> {
                let (count, bytes) = self.0.get();
                self.0.set((count + 1, bytes + buf.len() as u64));
                assert!(buf.len() as u64 <= READ_MAX);
                for (i, byte) in buf.iter_mut().enumerate() {
                    *byte = ((offset + i as u64) % 251) as u8;
                }
                Ok(())
            }
        }
        // 1000 × 2000 × 3 of a band-sequential file with planes of 10^9 samples: one run of rows a band.
        let stored = Stored { sample: SampleType::U8, endian: Endian::Little };
        let layout = Layout::new(0, [2_000, 1, 1_000_000_000], stored);
        let window = Window { rows: 500..1500, cols: 0..2_000, bands: 0..3 };
        let source = Pattern(std::cell::Cell::default());
        let mut out = vec![0.0; window.len()];
        layout.read(&source, Part::whole(&window), &mut out)?;
        assert_eq!(source.0.get(), (3, 6_000_000));
        assert_eq!(out[2], ((500 * 2_000 + 2_000_000_000u64) % 251) as f64);
        // Rows far apart and longer than a read: every row in pieces.
        let layout = Layout::new(7, [100_000_000, 1, 1_000_000_000], stored);
        let window = Window { rows: 0..2, cols: 0..5_000_000, bands: 0..1 };
        let mut out = vec![0.0; window.len()];
        layout.read(&source, Part::whole(&window), &mut out)?;
        assert_eq!(out[4_999_999], (5_000_006u64 % 251) as f64);
        assert_eq!(out[9_999_999], (105_000_006u64 % 251) as f64);
        Ok(())
    }
}
