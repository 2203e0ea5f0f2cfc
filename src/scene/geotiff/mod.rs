//! GeoTIFF: strips or tiles of one image, or of pages of one band each, decoded one at a time.
//!
//! The `tiff` crate is not used: its zstd is the C library, which the wasm build cannot have; chunks that GDAL never
//! wrote (sparse files) are errors to it; and it decodes whole chunks where an uncompressed one can be read in windows.
//! Two readers side by side would be more than this one.

mod chunk;
mod directory;
mod georeference;
mod image;
mod metadata;
mod pages;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use chunk::Compression;
pub(crate) use directory::is_tiff;
use image::Image;
use pages::Pages;

use super::samples::nodata_as_stored;
use super::shape::kind_of;
use super::strided::{Layout, Part, block_rows, check_window};
use super::{Cube, Format, Interleave, SceneError, SceneInfo, SharedSource, Window};

const COLOR_MAP: u16 = 320;
const GDAL_METADATA: u16 = 42112;
const GDAL_NODATA: u16 = 42113;

/// Decoded chunks that are kept, bytes: windows that follow each other share chunks.
const CACHE_BYTES: usize = 64 << 20;
/// The metadata of thousands of bands stays below this.
const METADATA_MAX: u64 = 16 << 20;

/// Opens the image of a TIFF file, or its pages as the bands of one.
///
/// # Errors
/// The file is cut or damaged, or its samples, compression or pages are of a kind that is not read.
pub(crate) fn open(source: &SharedSource) -> Result<GeotiffCube, SceneError> {
    let name = source.name();
    let Pages { tags, image, mut notes } = pages::read(source)?;
    let (bands, dtype) = (image.shape.bands - usize::from(image.alpha.is_some()), image.stored.sample);
    if let Some(alpha) = image.alpha {
        let number = alpha + 1;
        notes.push(format!(
            "sample {number} of each pixel is an alpha channel, not a band: where it is 0 there is no data"
        ));
    }
    let xml = tags.text(GDAL_METADATA, METADATA_MAX)?.unwrap_or_default();
    let metadata = metadata::band_metadata(&xml, bands, image.alpha);
    notes.extend(metadata.notes);
    let nodata = tags.text(GDAL_NODATA, 1 << 10)?.and_then(|text| text.trim().parse().ok());
    let (geo, note) = georeference::georeference(&tags)?;
    notes.extend(note);
    let colors = tags.numbers(COLOR_MAP, 3 << 16)?.unwrap_or_default();
    let third = colors.len() / 3;
    // Red, green and blue one after the other, 0..=65535 each.
    let color = |i: usize| [0, 1, 2].map(|channel| (colors[channel * third + i] >> 8) as u8);
    let info = SceneInfo {
        name: name.to_owned(),
        format: Format::Geotiff,
        variable: None,
        rows: image.shape.rows,
        cols: image.shape.cols,
        bands,
        dtype,
        interleave: if image.planar { Interleave::Bsq } else { Interleave::Bip },
        wavelengths_nm: metadata.wavelengths_nm,
        fwhm_nm: metadata.fwhm_nm,
        band_names: metadata.band_names,
        nodata: nodata.map(|value| nodata_as_stored(value, dtype)),
        good_bands: metadata.good_bands.unwrap_or_else(|| vec![true; bands]),
        kind: kind_of(bands, dtype.is_integer()),
        class_names: None,
        class_colors: (bands == 1 && third > 0).then(|| (0..third).map(color).collect()),
        geo,
        notes,
    };
    Ok(GeotiffCube { info, source: source.clone(), image, cache: RefCell::default() })
}

/// An opened GeoTIFF.
pub(crate) struct GeotiffCube {
    pub info: SceneInfo,
    source: SharedSource,
    image: Image,
    cache: RefCell<Cache>,
}

/// The chunks that were decoded last, newest first.
#[derive(Default)]
struct Cache {
    chunks: VecDeque<(usize, Rc<Vec<u8>>)>,
    bytes: usize,
}

impl GeotiffCube {
    fn chunk(&self, index: usize) -> Result<Rc<Vec<u8>>, SceneError> {
        let mut cache = self.cache.borrow_mut();
        if let Some(at) = cache.chunks.iter().position(|(held, _)| *held == index)
            && let Some(found) = cache.chunks.remove(at)
        {
            let bytes = found.1.clone();
            cache.chunks.push_front(found);
            return Ok(bytes);
        }
        let bytes = Rc::new(chunk::decode_chunk(&self.source, &self.image, index)?);
        cache.bytes += bytes.len();
        cache.chunks.push_front((index, bytes.clone()));
        while cache.bytes > CACHE_BYTES && cache.chunks.len() > 1 {
            if let Some((_, oldest)) = cache.chunks.pop_back() {
                cache.bytes -= oldest.len();
            }
        }
        Ok(bytes)
    }

    /// Reads the part of one chunk that a window needs.
    fn read_part(&self, index: usize, part: Part, out: &mut [f64]) -> Result<(), SceneError> {
        let image = &self.image;
        let (offset, count) = image.chunks[index];
        let pixel = image.chunk_bands() as u64;
        let strides = [image.chunk_cols as u64 * pixel, pixel, 1];
        let layout = Layout::new(offset, strides, image.stored);
        if offset == 0 && count == 0 {
            // A chunk that was never written means no data, or zero where no such value is declared (GDAL's rule).
            part.fill(self.info.nodata.unwrap_or(0.0), out);
            Ok(())
        } else if image.compression == Compression::None {
            layout.read(self.source.as_ref(), part, out)
        } else {
            let bytes = self.chunk(index)?;
            layout.scatter(&bytes, layout.first(part.start) as usize, part, out);
            Ok(())
        }
    }

    /// Reads samples of each pixel of a box. The first goes to `out[first]`; the outputs of neighbouring rows and columns
    /// lie `out_strides` apart, those of neighbouring samples next to each other.
    fn read_samples(
        &self,
        window: &Window,
        out: &mut [f64],
        first: usize,
        out_strides: [usize; 2],
    ) -> Result<(), SceneError> {
        let image = &self.image;
        let [out_row, out_col] = out_strides;
        for down in window.rows.start / image.chunk_rows..=(window.rows.end - 1) / image.chunk_rows {
            let top = down * image.chunk_rows;
            let row = window.rows.start.max(top)..window.rows.end.min(top.saturating_add(image.chunk_rows));
            for across in window.cols.start / image.chunk_cols..=(window.cols.end - 1) / image.chunk_cols {
                let left = across * image.chunk_cols;
                let col = window.cols.start.max(left)..window.cols.end.min(left.saturating_add(image.chunk_cols));
                let mut part = Part {
                    start: [(row.start - top) as u64, (col.start - left) as u64, window.bands.start as u64],
                    len: [row.len(), col.len(), window.bands.len()],
                    out_start: first
                        + (row.start - window.rows.start) * out_row
                        + (col.start - window.cols.start) * out_col,
                    out_strides: [out_row, out_col, 1],
                };
                if !image.planar {
                    self.read_part(image.chunk_index(down, across, 0), part, out)?;
                    continue;
                }
                (part.start[2], part.len[2]) = (0, 1);
                for band in window.bands.clone() {
                    self.read_part(image.chunk_index(down, across, band), part, out)?;
                    part.out_start += 1;
                }
            }
        }
        Ok(())
    }

    /// Puts the no-data value, or NaN where there is none, into the pixels that are wholly transparent.
    fn hide_transparent(&self, window: &Window, alpha: usize, out: &mut [f64]) -> Result<(), SceneError> {
        let (cols, bands) = (window.cols.len(), window.bands.len());
        let hidden = self.info.nodata.unwrap_or(f64::NAN);
        let mut opacity = vec![0.0; cols];
        for (row, pixels) in window.rows.clone().zip(out.chunks_exact_mut(cols * bands)) {
            let line = Window { rows: row..row + 1, cols: window.cols.clone(), bands: alpha..alpha + 1 };
            self.read_samples(&line, &mut opacity, 0, [cols, 1])?;
            for (pixel, opacity) in pixels.chunks_exact_mut(bands).zip(&opacity) {
                if *opacity == 0.0 {
                    pixel.fill(hidden);
                }
            }
        }
        Ok(())
    }
}

impl Cube for GeotiffCube {
    fn info(&self) -> &SceneInfo {
        &self.info
    }

    fn read(&self, window: &Window, out: &mut [f64]) -> Result<(), SceneError> {
        check_window(&self.info, window, out)?;
        if window.is_empty() {
            return Ok(());
        }
        let bands = window.bands.len();
        let out_strides = [window.cols.len() * bands, bands];
        let Some(alpha) = self.image.alpha else { return self.read_samples(window, out, 0, out_strides) };
        // Bands before the alpha channel, then those behind it.
        let Window { rows, cols, bands } = window.clone();
        let split = alpha.clamp(bands.start, bands.end);
        let before = Window { rows: rows.clone(), cols: cols.clone(), bands: bands.start..split };
        let behind = Window { rows, cols, bands: split + 1..bands.end + 1 };
        if !before.is_empty() {
            self.read_samples(&before, out, 0, out_strides)?;
        }
        if !behind.is_empty() {
            self.read_samples(&behind, out, before.bands.len(), out_strides)?;
        }
        self.hide_transparent(window, alpha, out)
    }

    fn preferred_rows(&self) -> usize {
        let image = &self.image;
        let block = block_rows(&self.info);
        // One row of chunks of every band: when it fits the cache, blocks may be cut through it.
        let planes = if image.planar { image.shape.bands } else { 1 };
        let held = image.decoded_bytes(0).saturating_mul((image.across * planes) as u64);
        let chunk = image.chunk_rows.min(image.shape.rows);
        if block >= chunk {
            block - block % chunk
        } else if image.compression == Compression::None || held <= CACHE_BYTES as u64 {
            block
        } else {
            // Decoding again for each block would cost more than a larger block; four times as large at most.
            chunk.min(block.saturating_mul(4))
        }
    }
}
