//! .npz archives: a zip of .npy arrays. Stored arrays are read in place, deflated ones are inflated once.

use std::io::Read;
use std::rc::Rc;

use zip::{CompressionMethod, ZipArchive};

use super::super::inflate::{SourceReader, check_inflated_size, inflate_exact, stream_error};
use super::super::strided::StridedCube;
use super::super::variables::choose;
use super::super::{MemorySource, OpenOptions, SceneError, SharedSource, Variable};
use super::header::Header;

/// Archives with more members are not scenes.
const MEMBERS_MAX: usize = 4096;

/// One array of the archive.
struct Member {
    index: usize,
    header: Header,
    /// Offset of the member's bytes in the archive, when they are stored as they are.
    stored_at: Option<u64>,
    compressed: u64,
    inflated: u64,
}

fn zip_error(name: &str, error: zip::result::ZipError) -> SceneError {
    match error {
        zip::result::ZipError::Io(error) => stream_error(name, "the archive", &error),
        zip::result::ZipError::UnsupportedArchive(what) => {
            SceneError::unsupported(name, format!("the archive uses a feature that is not read ({what})"))
        }
        error => SceneError::malformed(name, format!("the archive is damaged ({error}); fetch it again")),
    }
}

/// Opens one array of an archive. Members are only ever read by their place in the archive: their names are shown, never
/// used as paths.
///
/// # Errors
/// As for a .npy file; no or several arrays that could be the scene; an array that inflates beyond the limit.
pub(crate) fn open(source: &SharedSource, options: &OpenOptions) -> Result<StridedCube, SceneError> {
    let name = source.name();
    let mut archive = ZipArchive::new(SourceReader::whole(source.clone())).map_err(|error| zip_error(name, error))?;
    let (mut members, mut variables, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let count = archive.len();
    for index in 0..count.min(MEMBERS_MAX) {
        let mut file = archive.by_index(index).map_err(|error| zip_error(name, error))?;
        let Some(array) = file.name().strip_suffix(".npy").map(str::to_owned) else {
            others.push(file.name().to_owned());
            continue;
        };
        let stored_at = (file.compression() == CompressionMethod::Stored).then(|| file.data_start()).flatten();
        let (compressed, inflated) = (file.compressed_size(), file.size());
        // An array that is not opened may be of any kind; the chosen one has to be sound.
        let header = match Header::read(name, &mut file) {
            Ok(header) => header,
            Err(error) if options.variable.as_deref() == Some(&array) || count == 1 => return Err(error),
            Err(_) => {
                others.push(format!("{array} (not numeric or damaged)"));
                continue;
            }
        };
        let shape = header.shape.iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
        let dtype = if header.boolean { "bool" } else { header.stored.sample.name() };
        variables.push(Variable { name: array, shape, dtype: dtype.to_owned() });
        members.push(Member { index, header, stored_at, compressed, inflated });
    }
    let chosen = choose(name, &variables, options.variable.as_deref(), &others)?;
    let (Member { index, header, stored_at, compressed, inflated }, variable) =
        (&members[chosen], variables[chosen].name.clone());
    let what = format!("the array {variable}");
    let wanted = super::place(name, header, options)?.shape.bytes(header.stored.sample.size());
    if header.data_offset.saturating_add(wanted) > *inflated {
        return Err(SceneError::malformed(
            name,
            format!(
                "{what} should have {wanted} bytes, but the archive holds {inflated}; it is damaged, fetch it again"
            ),
        ));
    }
    if let Some(at) = stored_at {
        return super::cube(name, source.clone(), at + header.data_offset, header, Some(variable), options);
    }
    check_inflated_size(name, &what, *compressed, wanted)?;
    let mut file = archive.by_index(*index).map_err(|error| zip_error(name, error))?;
    let failed = |error: &std::io::Error| stream_error(name, &what, error);
    std::io::copy(&mut (&mut file).take(header.data_offset), &mut std::io::sink()).map_err(|error| failed(&error))?;
    let bytes = inflate_exact(name, &what, &mut file, wanted)?;
    // Reading on to the end makes the archive check its sum.
    std::io::copy(&mut (&mut file).take(64), &mut std::io::sink()).map_err(|error| failed(&error))?;
    super::cube(name, Rc::new(MemorySource::new(name, bytes)), 0, header, Some(variable), options)
}
