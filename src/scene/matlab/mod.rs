//! MATLAB level-5 files (`save -v6` and `-v7`): one numeric array of the file is the scene.

mod elements;

use std::io::Read;
use std::rc::Rc;

use elements::{Class, Data, Elements, MI_COMPRESSED, MI_MATRIX};
use flate2::read::ZlibDecoder;

use super::inflate::{SourceReader, check_inflated_size, inflate_exact, stream_error};
use super::samples::{Endian, Run, Stored, decode};
use super::shape::{Shape, guess_band_axis, interleave_of, kind_of};
use super::strided::{Layout, StridedCube};
use super::variables::{choose, shape_text};
use super::{Format, MemorySource, OpenOptions, SampleType, SceneError, SceneInfo, SharedSource, Variable};

/// Files with more variables are not scenes; the walk stops there.
const VARIABLES_MAX: usize = 4096;
const HEADER_BYTES: u64 = 128;

/// Where a numeric array is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the file as it is; [`Data::offset`] counts from the start of the file.
    Plain,
    /// In a compressed element; [`Data::offset`] counts in the inflated stream.
    Compressed { start: u64, end: u64 },
}

/// A numeric array of the file.
#[derive(Debug, Clone)]
struct Array {
    name: String,
    class: SampleType,
    logical: bool,
    complex: bool,
    dims: Vec<u64>,
    data: Data,
    place: Place,
}

impl Array {
    fn variable(&self) -> Variable {
        let dims = || self.dims.iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX));
        let dtype = if self.logical { "logical" } else { self.class.name() };
        Variable { name: self.name.clone(), shape: dims().collect(), dtype: dtype.to_owned() }
    }
}

/// The byte order that the header of a level-5 file states; `None` when it is no such header.
pub(crate) fn level5_endian(start: &[u8]) -> Option<Endian> {
    match start.get(124..128)? {
        [0, 1, b'I', b'M'] => Some(Endian::Little),
        [1, 0, b'M', b'I'] => Some(Endian::Big),
        _ => None,
    }
}

/// Whether a file looks like MATLAB level 4: a matrix header without any text before it.
pub(crate) fn is_level4(start: &[u8]) -> bool {
    let Some(head) = start.get(..20) else { return false };
    let word = |i: usize| [head[4 * i], head[4 * i + 1], head[4 * i + 2], head[4 * i + 3]];
    [u32::from_le_bytes, u32::from_be_bytes].into_iter().any(|read| {
        let [kind, rows, cols, imaginary, name] = [0, 1, 2, 3, 4].map(|i| read(word(i)));
        let digits = [kind / 1000, kind / 100 % 10, kind / 10 % 10, kind % 10];
        digits[0] <= 4
            && digits[1] == 0
            && digits[2] <= 5
            && digits[3] <= 2
            && (1..1 << 24).contains(&rows)
            && (1..1 << 24).contains(&cols)
            && imaginary <= 1
            && (2..=64).contains(&name)
    })
}

/// Opens one numeric array of a level-5 file.
///
/// # Errors
/// The file is cut or damaged, holds no or several candidates ([`SceneError::ChooseVariable`]), or the array is complex,
/// not 2-D or 3-D, or compressed beyond what can be held in memory.
pub(crate) fn open(source: &SharedSource, endian: Endian, options: &OpenOptions) -> Result<StridedCube, SceneError> {
    let name = source.name();
    let (arrays, others) = list(source, endian)?;
    if let Some((index, shape, strides)) = pixel_table(source, endian, &arrays, options.variable.as_deref())? {
        return build(source, endian, &arrays[index], shape, strides, Vec::new());
    }
    let variables: Vec<Variable> = arrays.iter().map(Array::variable).collect();
    let array = &arrays[choose(name, &variables, options.variable.as_deref(), &others)?];
    let mut notes = Vec::new();
    let (shape, strides) = match array.dims[..] {
        [rows, cols] => (Shape::checked(name, rows, cols, 1)?, [1, rows, rows.saturating_mul(cols)]),
        [a, b, c] => {
            let step = [1, a, a.saturating_mul(b)];
            let axis = match options.band_axis {
                Some(axis @ 0..=2) => axis,
                _ => {
                    let (axis, sure) = guess_band_axis([a, b, c]);
                    if !sure {
                        notes.push(format!(
                            "bands taken from axis {} of {}",
                            axis + 1,
                            shape_text(&[a as usize, b as usize, c as usize])
                        ));
                    }
                    axis
                }
            };
            let [row, col] = [[1, 2], [0, 2], [0, 1]][axis];
            let dims = [a, b, c];
            (Shape::checked(name, dims[row], dims[col], dims[axis])?, [step[row], step[col], step[axis]])
        }
        _ => {
            let shape: Vec<usize> = array.variable().shape;
            return Err(SceneError::unsupported(
                name,
                format!("{} has the shape {}; a scene has 2 or 3 dimensions", array.name, shape_text(&shape)),
            ));
        }
    };
    build(source, endian, array, shape, strides, notes)
}

/// Walks over the variables without inflating more than their heads.
fn list(source: &SharedSource, endian: Endian) -> Result<(Vec<Array>, Vec<String>), SceneError> {
    let name = source.name();
    let (mut arrays, mut others) = (Vec::new(), Vec::new());
    let mut at = HEADER_BYTES;
    for _ in 0..VARIABLES_MAX {
        if at + 8 > source.len() {
            break;
        }
        let mut stream = SourceReader::new(source.clone(), at, source.len());
        let (code, bytes) = Elements::new(name, &mut stream, endian).top_level()?;
        let (start, end) = (at + 8, at + 8 + u64::from(bytes));
        if end > source.len() {
            return Err(SceneError::malformed(
                name,
                format!(
                    "the variable at byte {at} needs {bytes} bytes, but the file ends at {}; it is cut short, fetch it again",
                    source.len()
                ),
            ));
        }
        let (head, place) = match code {
            MI_MATRIX => {
                let mut head = Elements::new(name, &mut stream, endian).head()?;
                if let Some(data) = &mut head.data {
                    data.offset += start;
                    if data.offset + data.bytes > end {
                        return Err(SceneError::malformed(
                            name,
                            format!("the numbers of {} run beyond the variable; the file is damaged", head.name),
                        ));
                    }
                }
                (head, Place::Plain)
            }
            MI_COMPRESSED => {
                let mut inflated = ZlibDecoder::new(SourceReader::new(source.clone(), start, end));
                let mut elements = Elements::new(name, &mut inflated, endian);
                if elements.top_level()?.0 != MI_MATRIX {
                    return Err(SceneError::malformed(
                        name,
                        format!("the compressed element at byte {at} is not an array"),
                    ));
                }
                (elements.head()?, Place::Compressed { start, end })
            }
            _ => {
                let what = format!("the element of type {code} at byte {at} is not a variable; the file is damaged");
                return Err(SceneError::malformed(name, what));
            }
        };
        match (head.class, head.data) {
            // Arrays without a name are MATLAB's own bookkeeping of objects.
            (Class::Numeric(class), Some(data)) if !head.name.is_empty() => arrays.push(Array {
                name: head.name,
                class,
                logical: head.logical,
                complex: head.complex,
                dims: head.dims,
                data,
                place,
            }),
            (Class::Other(what), _) if head.name.is_empty() => others.push(what.to_owned()),
            (Class::Other(what), _) => others.push(format!("{what} {}", head.name)),
            _ => {}
        }
        at = end;
    }
    Ok((arrays, others))
}

/// The bytes of an array that is read whole.
fn inflated(source: &SharedSource, array: &Array) -> Result<Vec<u8>, SceneError> {
    let (name, what) = (source.name(), format!("the variable {}", array.name));
    match array.place {
        Place::Plain => {
            let mut bytes = vec![0; array.data.bytes as usize];
            source.read_at(array.data.offset, &mut bytes)?;
            Ok(bytes)
        }
        Place::Compressed { start, end } => {
            check_inflated_size(name, &what, end - start, array.data.bytes)?;
            let mut stream = ZlibDecoder::new(SourceReader::new(source.clone(), start, end));
            let failed = |error: &std::io::Error| stream_error(name, &what, error);
            std::io::copy(&mut (&mut stream).take(array.data.offset), &mut std::io::sink()).map_err(|e| failed(&e))?;
            let bytes = inflate_exact(name, &what, &mut stream, array.data.bytes)?;
            if !array.complex {
                // The padding and the checksum behind the numbers: damage anywhere in the stream shows here.
                std::io::copy(&mut (&mut stream).take(64), &mut std::io::sink()).map_err(|e| failed(&e))?;
            }
            Ok(bytes)
        }
    }
}

/// Unmixing benchmarks (Samson, Jasper Ridge, Urban) store a table of spectra, one pixel a column or a row, running
/// down the columns of the image, with its size in the scalars nRow, nCol and nBand.
///
/// Returns the index of the table, the shape and the strides.
fn pixel_table(
    source: &SharedSource,
    endian: Endian,
    arrays: &[Array],
    wanted: Option<&str>,
) -> Result<Option<(usize, Shape, [u64; 3])>, SceneError> {
    let mut sizes = [None; 3];
    for (size, names) in sizes.iter_mut().zip([["nrow", "nrows"], ["ncol", "ncols"], ["nband", "nbands"]]) {
        let named = |array: &&Array| names.contains(&array.name.to_lowercase().as_str());
        if let Some(array) = arrays.iter().find(named)
            && array.dims.iter().all(|&n| n == 1)
            && array.data.bytes == array.data.stored.size() as u64
        {
            let bytes = inflated(source, array)?;
            let mut out = [0.0];
            let one = Run { start: 0, step: 1 };
            decode(Stored { sample: array.data.stored, endian }, &bytes, one, &mut out, one, 1);
            *size = (out[0] >= 1.0 && out[0] < 1e9 && out[0].fract() == 0.0).then_some(out[0] as u64);
        }
    }
    let [Some(rows), Some(cols), Some(bands)] = sizes else { return Ok(None) };
    let pixels = rows * cols;
    let tables = [([bands, pixels], [bands, bands * rows, 1]), ([pixels, bands], [1, rows, pixels])];
    for (index, array) in arrays.iter().enumerate() {
        if wanted.is_some_and(|wanted| wanted != array.name) {
            continue;
        }
        if let Some((_, strides)) = tables.iter().find(|(dims, _)| array.dims == dims) {
            return Ok(Some((index, Shape::checked(source.name(), rows, cols, bands)?, *strides)));
        }
    }
    Ok(None)
}

fn build(
    source: &SharedSource,
    endian: Endian,
    array: &Array,
    shape: Shape,
    strides: [u64; 3],
    notes: Vec<String>,
) -> Result<StridedCube, SceneError> {
    let name = source.name();
    if array.complex {
        let what = format!("{} holds complex numbers; save its real part or magnitude instead", array.name);
        return Err(SceneError::unsupported(name, what));
    }
    let stored = array.data.stored;
    if shape.bytes(stored.size()) != array.data.bytes {
        return Err(SceneError::malformed(
            name,
            format!(
                "{} should have {} samples of {} bytes, but {} bytes are stored; the file is damaged",
                array.name,
                shape_text(&array.variable().shape),
                stored.size(),
                array.data.bytes
            ),
        ));
    }
    let (source, base): (SharedSource, u64) = match array.place {
        Place::Plain => (source.clone(), array.data.offset),
        Place::Compressed { .. } => (Rc::new(MemorySource::new(name, inflated(source, array)?)), 0),
    };
    let info = SceneInfo {
        name: name.to_owned(),
        format: Format::Matlab,
        variable: Some(array.name.clone()),
        rows: shape.rows,
        cols: shape.cols,
        bands: shape.bands,
        dtype: array.class,
        interleave: interleave_of(strides),
        wavelengths_nm: None,
        fwhm_nm: None,
        band_names: None,
        nodata: None,
        good_bands: vec![true; shape.bands],
        // MATLAB keeps doubles that are whole numbers as integers: such a map is one of class numbers.
        kind: kind_of(shape.bands, stored.is_integer()),
        class_names: None,
        class_colors: None,
        geo: None,
        notes,
    };
    Ok(StridedCube { info, source, layout: Layout::new(base, strides, Stored { sample: stored, endian }) })
}
