//! The image that the tags describe: its size, its samples, and where its chunks (strips or tiles) lie.

use super::super::samples::{Endian, Stored};
use super::super::shape::Shape;
use super::super::{SampleType, SceneError, SharedSource};
use super::chunk::Compression;
use super::directory::Directory;

/// Offsets and lengths are held in memory, 16 bytes a chunk.
pub(super) const CHUNKS_MAX: u64 = 1 << 22;

const IMAGE_WIDTH: u16 = 256;
const IMAGE_LENGTH: u16 = 257;
const BITS_PER_SAMPLE: u16 = 258;
const COMPRESSION: u16 = 259;
const STRIP_OFFSETS: u16 = 273;
const SAMPLES_PER_PIXEL: u16 = 277;
const ROWS_PER_STRIP: u16 = 278;
const STRIP_BYTE_COUNTS: u16 = 279;
const PLANAR_CONFIGURATION: u16 = 284;
const PREDICTOR: u16 = 317;
const TILE_WIDTH: u16 = 322;
const TILE_LENGTH: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTE_COUNTS: u16 = 325;
const EXTRA_SAMPLES: u16 = 338;
const SAMPLE_FORMAT: u16 = 339;

/// How neighbouring samples were subtracted before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// TIFF 6.0 section 14.
    Horizontal,
    /// Adobe Photoshop TIFF Technical Note 3.
    FloatingPoint,
}

/// Everything needed to find and decode chunks.
#[derive(Debug)]
pub(super) struct Image {
    /// Rows, columns, and samples of a pixel, an alpha channel included.
    pub shape: Shape,
    /// The sample that is an alpha channel: how opaque the pixel is.
    pub alpha: Option<usize>,
    pub stored: Stored,
    pub compression: Compression,
    pub predictor: Predictor,
    /// Whether every band has chunks of its own.
    pub planar: bool,
    pub tiled: bool,
    pub chunk_rows: usize,
    pub chunk_cols: usize,
    /// Chunks side by side and one below the other.
    pub across: usize,
    pub down: usize,
    /// Offset and length of each chunk in bytes; both 0 where a chunk was never written.
    pub chunks: Vec<(u64, u64)>,
}

impl Image {
    /// # Errors
    /// Tags that are missing, contradictory or outside the file, and images of a kind that is not opened.
    pub fn from_tags(source: &SharedSource, tags: &Directory) -> Result<Self, SceneError> {
        let name = source.name();
        let needed = |tag: u16, what: &str| -> Result<u64, SceneError> {
            let missing =
                || SceneError::malformed(name, format!("the file has no {what} (tag {tag}), so it holds no image"));
            tags.number(tag)?.ok_or_else(missing)
        };
        let (cols, rows) = (needed(IMAGE_WIDTH, "image width")?, needed(IMAGE_LENGTH, "image length")?);
        let bands = tags.number(SAMPLES_PER_PIXEL)?.unwrap_or(1);
        let shape = Shape::checked(name, rows, cols, bands)?;
        let stored = Stored { sample: sample_type(name, tags)?, endian: tags.endian };
        let compression = Compression::from_code(name, tags.number(COMPRESSION)?.unwrap_or(1))?;
        let predictor = match tags.number(PREDICTOR)?.unwrap_or(1) {
            // Without compression there is nothing to predict; GDAL and libtiff ignore the tag then, too.
            _ if compression == Compression::None => Predictor::None,
            1 => Predictor::None,
            2 => Predictor::Horizontal,
            3 if !stored.sample.is_integer() => Predictor::FloatingPoint,
            other => {
                let what = format!("predictor {other} is not known for {} samples", stored.sample.name());
                return Err(SceneError::unsupported(name, what));
            }
        };
        let planar = match tags.number(PLANAR_CONFIGURATION)?.unwrap_or(1) {
            1 => false,
            // With one band both are the same.
            2 => shape.bands > 1,
            other => return Err(SceneError::malformed(name, format!("planar configuration {other} does not exist"))),
        };

        let tiled = tags.count(TILE_OFFSETS) > 0;
        let (chunk_cols, chunk_rows, offsets_tag, counts_tag) = if tiled {
            (needed(TILE_WIDTH, "tile width")?, needed(TILE_LENGTH, "tile length")?, TILE_OFFSETS, TILE_BYTE_COUNTS)
        } else {
            let strip = tags.number(ROWS_PER_STRIP)?.unwrap_or(rows).min(rows);
            (cols, strip, STRIP_OFFSETS, STRIP_BYTE_COUNTS)
        };
        let chunk = Shape::checked(name, chunk_rows, chunk_cols, if planar { 1 } else { bands })?;
        let (across, down) = (shape.cols.div_ceil(chunk.cols), shape.rows.div_ceil(chunk.rows));
        let mut image = Self {
            shape,
            alpha: alpha(tags, shape.bands)?,
            stored,
            compression,
            predictor,
            planar,
            tiled,
            chunk_rows: chunk.rows,
            chunk_cols: chunk.cols,
            across,
            down,
            chunks: Vec::new(),
        };
        image.chunks = image.locate(source, tags, offsets_tag, counts_tag)?;
        Ok(image)
    }

    /// Reads and checks where the chunks lie.
    fn locate(
        &self,
        source: &SharedSource,
        tags: &Directory,
        offsets_tag: u16,
        counts_tag: u16,
    ) -> Result<Vec<(u64, u64)>, SceneError> {
        let name = source.name();
        let planes = if self.planar { self.shape.bands } else { 1 };
        let wanted = (self.across as u64).checked_mul(self.down as u64).and_then(|n| n.checked_mul(planes as u64));
        let wanted = wanted.filter(|&n| n <= CHUNKS_MAX).ok_or_else(|| {
            SceneError::unsupported(
                name,
                format!("the image is cut into more than {CHUNKS_MAX} pieces; save it with larger tiles"),
            )
        })?;
        let missing = |what: &str| {
            SceneError::malformed(
                name,
                format!("the file does not say where its {wanted} strips or tiles {what}; it is damaged"),
            )
        };
        let offsets = tags.numbers(offsets_tag, CHUNKS_MAX)?.ok_or_else(|| missing("are"))?;
        let counts = match tags.numbers(counts_tag, CHUNKS_MAX)? {
            Some(counts) => counts,
            // Old writers left the lengths out where they follow from the size.
            None if self.compression == Compression::None => {
                (0..offsets.len()).map(|index| self.decoded_bytes(index)).collect()
            }
            None => return Err(missing("end")),
        };
        if (offsets.len() as u64) < wanted || (counts.len() as u64) < wanted {
            return Err(missing("all are"));
        }
        let chunks: Vec<(u64, u64)> = offsets.into_iter().zip(counts).take(wanted as usize).collect();
        if chunks.iter().all(|&chunk| chunk == (0, 0)) {
            return Err(SceneError::malformed(
                name,
                "no strip or tile of the image was ever written; write the file again",
            ));
        }
        for (index, &(offset, count)) in chunks.iter().enumerate() {
            let absent = offset == 0 && count == 0;
            let needed =
                if self.compression == Compression::None && !absent { self.decoded_bytes(index) } else { count };
            if offset.checked_add(count.max(needed)).is_none_or(|end| end > source.len()) {
                return Err(SceneError::malformed(
                    name,
                    format!(
                        "strip or tile {index} should lie at bytes {offset} to {}, but the file ends at {}; it is cut short, \
                         fetch it again",
                        offset.saturating_add(count.max(needed)),
                        source.len()
                    ),
                ));
            }
            if count < needed {
                let what = format!("strip or tile {index} has {count} bytes and needs {needed}; the file is damaged");
                return Err(SceneError::malformed(name, what));
            }
        }
        Ok(chunks)
    }

    /// Samples of one pixel inside a chunk.
    pub fn chunk_bands(&self) -> usize {
        if self.planar { 1 } else { self.shape.bands }
    }

    /// Rows of a chunk: the last strip ends with the image, a tile is always whole.
    pub fn rows_of(&self, index: usize) -> usize {
        let first = index / self.across % self.down * self.chunk_rows;
        if self.tiled { self.chunk_rows } else { self.chunk_rows.min(self.shape.rows.saturating_sub(first)) }
    }

    /// Bytes of a chunk when nothing is compressed.
    pub fn decoded_bytes(&self, index: usize) -> u64 {
        self.bytes_of_rows(self.rows_of(index))
    }

    /// Bytes of so many rows of a chunk.
    pub fn bytes_of_rows(&self, rows: usize) -> u64 {
        let row = self.chunk_cols as u64 * self.chunk_bands() as u64 * self.stored.sample.size() as u64;
        rows as u64 * row
    }

    /// Bytes of one band.
    pub fn plane_bytes(&self) -> u64 {
        Shape { bands: 1, ..self.shape }.bytes(self.stored.sample.size())
    }

    /// Number of the chunk that holds a pixel of a band.
    pub fn chunk_index(&self, down: usize, across: usize, band: usize) -> usize {
        let plane = if self.planar { band } else { 0 };
        (plane * self.down + down) * self.across + across
    }

    pub fn big_endian(&self) -> bool {
        self.stored.endian == Endian::Big
    }
}

/// Which sample is an alpha channel: the one that ExtraSamples calls so (1: associated, 2: unassociated). Where several
/// are called so, the tag does not mean it.
fn alpha(tags: &Directory, samples: usize) -> Result<Option<usize>, SceneError> {
    let extra = tags.numbers(EXTRA_SAMPLES, 1 << 16)?.unwrap_or_default();
    let mut called: Vec<usize> = Vec::new();
    if let Some(first) = samples.checked_sub(extra.len()) {
        called.extend((0..extra.len()).filter(|&i| matches!(extra[i], 1 | 2)).map(|i| first + i));
    }
    Ok(match called[..] {
        [only] if samples > 1 => Some(only),
        _ => None,
    })
}

/// The one type of all samples.
fn sample_type(name: &str, tags: &Directory) -> Result<SampleType, SceneError> {
    let uniform = |tag: u16, default: u64, what: &str| -> Result<u64, SceneError> {
        let values = tags.numbers(tag, 1 << 16)?.unwrap_or_default();
        let first = values.first().copied().unwrap_or(default);
        if values.iter().any(|&value| value != first) {
            let what = format!("the bands differ in their {what}; save them all as one type");
            return Err(SceneError::unsupported(name, what));
        }
        Ok(first)
    };
    let bits = uniform(BITS_PER_SAMPLE, 1, "number of bits")?;
    let format = uniform(SAMPLE_FORMAT, 1, "sample format")?;
    Ok(match (format, bits) {
        // 4 is "undefined": whole numbers, as every reader takes it.
        (1 | 4, 8) => SampleType::U8,
        (1 | 4, 16) => SampleType::U16,
        (1 | 4, 32) => SampleType::U32,
        (1 | 4, 64) => SampleType::U64,
        (2, 8) => SampleType::I8,
        (2, 16) => SampleType::I16,
        (2, 32) => SampleType::I32,
        (2, 64) => SampleType::I64,
        (3, 16) => SampleType::F16,
        (3, 32) => SampleType::F32,
        (3, 64) => SampleType::F64,
        (5 | 6, _) => {
            let what = "the samples are complex numbers; save their real part or magnitude instead";
            return Err(SceneError::unsupported(name, what));
        }
        _ => {
            let what =
                format!("samples of {bits} bits (format {format}) are not opened; save them as 8, 16, 32 or 64 bits");
            return Err(SceneError::unsupported(name, what));
        }
    })
}
