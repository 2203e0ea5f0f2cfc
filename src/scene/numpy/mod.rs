//! NumPy arrays: .npy files and the .npz archives of them.

mod header;
mod npz;

use header::Header;
pub(crate) use header::is_npy;
pub(crate) use npz::open as open_npz;

use super::inflate::SourceReader;
use super::shape::{Shape, guess_band_axis, interleave_of, kind_of};
use super::strided::{Layout, StridedCube};
use super::variables::shape_text;
use super::{Format, OpenOptions, SceneError, SceneInfo, SharedSource};

/// Opens a .npy file.
///
/// # Errors
/// The header is broken, the samples are no real numbers, the array is not 2-D or 3-D, or the file is cut short.
pub(crate) fn open_npy(source: &SharedSource, options: &OpenOptions) -> Result<StridedCube, SceneError> {
    let header = Header::read(source.name(), &mut SourceReader::whole(source.clone()))?;
    let base = header.data_offset;
    cube(source.name(), source.clone(), base, &header, None, options)
}

/// Makes a cube of an array whose samples start at `base` of `source`.
fn cube(
    name: &str,
    source: SharedSource,
    base: u64,
    header: &Header,
    variable: Option<String>,
    options: &OpenOptions,
) -> Result<StridedCube, SceneError> {
    let Placed { shape, strides, notes } = place(name, header, options)?;
    let wanted = base.saturating_add(shape.bytes(header.stored.sample.size()));
    if source.len() < wanted {
        return Err(SceneError::malformed(
            name,
            format!(
                "the header says {} samples of {} bytes, {wanted} bytes in all, but there are {}; the file is cut short or \
                 damaged, fetch it again",
                shape_text(&[shape.rows, shape.cols, shape.bands]),
                header.stored.sample.size(),
                source.len()
            ),
        ));
    }
    let info = SceneInfo {
        name: name.to_owned(),
        format: Format::Numpy,
        variable,
        rows: shape.rows,
        cols: shape.cols,
        bands: shape.bands,
        dtype: header.stored.sample,
        interleave: interleave_of(strides),
        wavelengths_nm: None,
        fwhm_nm: None,
        band_names: None,
        nodata: None,
        good_bands: vec![true; shape.bands],
        kind: kind_of(shape.bands, header.stored.sample.is_integer()),
        class_names: None,
        class_colors: None,
        geo: None,
        notes,
    };
    Ok(StridedCube { info, source, layout: Layout::new(base, strides, header.stored) })
}

struct Placed {
    shape: Shape,
    /// Along row, column and band, in samples.
    strides: [u64; 3],
    notes: Vec<String>,
}

/// Gives the axes of an array their meaning.
fn place(name: &str, header: &Header, options: &OpenOptions) -> Result<Placed, SceneError> {
    let mut notes = Vec::new();
    let steps = |shape: &[u64]| -> Vec<u64> {
        let mut steps = vec![1u64; shape.len()];
        let mut axes: Vec<usize> = (0..shape.len()).collect();
        if !header.fortran_order {
            axes.reverse();
        }
        for pair in axes.windows(2) {
            steps[pair[1]] = steps[pair[0]].saturating_mul(shape[pair[0]]);
        }
        steps
    };
    let (shape, strides) = match header.shape[..] {
        [rows, cols] => {
            let steps = steps(&[rows, cols]);
            (Shape::checked(name, rows, cols, 1)?, [steps[0], steps[1], rows.saturating_mul(cols)])
        }
        [a, b, c] => {
            let dims = [a, b, c];
            let steps = steps(&dims);
            let axis = match options.band_axis {
                Some(axis @ 0..=2) => axis,
                _ => {
                    let (axis, sure) = guess_band_axis(dims);
                    if !sure {
                        notes.push(format!(
                            "bands taken from axis {axis} of {:?}; choose another if that is wrong",
                            header.shape
                        ));
                    }
                    axis
                }
            };
            let [row, col] = [[1, 2], [0, 2], [0, 1]][axis];
            (Shape::checked(name, dims[row], dims[col], dims[axis])?, [steps[row], steps[col], steps[axis]])
        }
        _ => {
            return Err(SceneError::unsupported(
                name,
                format!(
                    "the array has {} dimensions; a scene has 3 (rows, columns, bands) and a label map 2",
                    header.shape.len()
                ),
            ));
        }
    };
    Ok(Placed { shape, strides, notes })
}
