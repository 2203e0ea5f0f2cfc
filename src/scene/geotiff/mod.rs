//! GeoTIFF: strips or tiles of one image, decoded one at a time.
//!
//! The `tiff` crate is not used: its zstd is the C library, which the wasm build cannot have; chunks that GDAL never
//! wrote (sparse files) are errors to it; and it decodes whole chunks where an uncompressed one can be read in windows.
//! Two readers side by side would be more than this one.

mod chunk;
mod directory;
mod georeference;
mod image;
mod metadata;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use chunk::Compression;
use directory::Directory;
pub(crate) use directory::is_tiff;
use image::Image;

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

/// Opens the first image of a TIFF file.
///
/// # Errors
/// The file is cut or damaged, or its samples or compression are of a kind that is not read.
pub(crate) fn open(source: &SharedSource) -> Result<GeotiffCube, SceneError> {
    let name = source.name();
    let tags = Directory::read(source)?;
    let image = Image::from_tags(source, &tags)?;
    let (bands, dtype) = (image.shape.bands, image.stored.sample);
    let mut notes = Vec::new();
    if tags.more_images {
        notes.push("the file holds further images (overviews, masks or pages), ignored".to_owned());
    }
    let xml = tags.text(GDAL_METADATA, METADATA_MAX)?.unwrap_or_default();
    let metadata = metadata::band_metadata(&xml, bands);
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
    info: SceneInfo,
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
        let layout = Layout { base: offset, strides, stored: image.stored };
        if offset == 0 && count == 0 {
            // A chunk that was never written means no data, or zero where no such value is declared (GDAL's rule).
            part.fill(self.info.nodata.unwrap_or(0.0), out);
            Ok(())
        } else if image.compression == Compression::None {
            layout.read(self.source.as_ref(), part, out)
        } else {
            let bytes = self.chunk(index)?;
            let first: u64 = (0..3).map(|axis| part.start[axis] * strides[axis]).sum();
            layout.scatter(&bytes, first as usize, part, out);
            Ok(())
        }
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
        let image = &self.image;
        let (rows, cols, bands) = (window.rows.len(), window.cols.len(), window.bands.len());
        let out_strides = [cols * bands, bands, 1];
        debug_assert_eq!(out.len(), rows * cols * bands);
        for down in window.rows.start / image.chunk_rows..=(window.rows.end - 1) / image.chunk_rows {
            let top = down * image.chunk_rows;
            let row = window.rows.start.max(top)..window.rows.end.min(top.saturating_add(image.chunk_rows));
            for across in window.cols.start / image.chunk_cols..=(window.cols.end - 1) / image.chunk_cols {
                let left = across * image.chunk_cols;
                let col = window.cols.start.max(left)..window.cols.end.min(left.saturating_add(image.chunk_cols));
                let mut part = Part {
                    start: [(row.start - top) as u64, (col.start - left) as u64, window.bands.start as u64],
                    len: [row.len(), col.len(), bands],
                    out_start: (row.start - window.rows.start) * out_strides[0]
                        + (col.start - window.cols.start) * bands,
                    out_strides,
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
