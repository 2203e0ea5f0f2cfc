//! From dropped files to a scene: what they are, which belong together, and who reads them.

use super::samples::Endian;
use super::{Cube, OpenOptions, SceneError, SharedSource, envi, geotiff, matlab, numpy};

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Empty,
    EnviHeader,
    Matlab5(Endian),
    /// Known, but not opened: what it is and what to do.
    Refused(&'static str),
    Npy,
    Zip,
    Tiff,
    Unknown,
}

impl Content {
    /// Whether one of the readers takes the file alone.
    fn stands_alone(self) -> bool {
        matches!(self, Self::Matlab5(_) | Self::Npy | Self::Zip | Self::Tiff)
    }
}

const HDF5_SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

fn detect(source: &SharedSource) -> Result<Content, SceneError> {
    let mut start = [0; 520];
    let len = source.len().min(start.len() as u64) as usize;
    let start = &mut start[..len];
    source.read_at(0, start)?;
    let start = &*start;
    Ok(if start.is_empty() {
        Content::Empty
    } else if envi::is_envi(start) {
        Content::EnviHeader
    } else if let Some(endian) = matlab::level5_endian(start) {
        Content::Matlab5(endian)
    } else if start.starts_with(b"MATLAB 7.3") || start.get(512..).is_some_and(|rest| rest.starts_with(HDF5_SIGNATURE))
    {
        Content::Refused("this is a MATLAB 7.3 file (HDF5), which cannot be opened yet; in MATLAB save it with -v7")
    } else if start.starts_with(HDF5_SIGNATURE) {
        Content::Refused("this is an HDF5 or NetCDF-4 file, which cannot be opened yet; convert it to ENVI or GeoTIFF")
    } else if numpy::is_npy(start) {
        Content::Npy
    } else if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        Content::Zip
    } else if geotiff::is_tiff(start) {
        Content::Tiff
    } else if matlab::is_level4(start) {
        Content::Refused("this is a MATLAB level-4 file, which cannot hold a cube; in MATLAB save it with -v7")
    } else if start.starts_with(b"\xff\xd8\xff") {
        Content::Refused("this is a JPEG picture, not a hyperspectral scene; choose the original data")
    } else if start.starts_with(b"\x89PNG") {
        Content::Refused("this is a PNG picture, not a hyperspectral scene; choose the original data")
    } else {
        Content::Unknown
    })
}

/// Opens the scene in one or several dropped files, recognised by content, not by extension.
///
/// An ENVI header and its data file are given together, in either order; when more files are given, the data file is
/// found among them by name, and files that belong to no scene are left alone.
///
/// # Errors
/// Every [`SceneError`] except `Window`: no scene among the files or more than one, a companion is missing, the choice of
/// a variable is needed, the file is broken or of a kind that is not opened.
pub fn open(files: &[SharedSource], options: &OpenOptions) -> Result<Box<dyn Cube>, SceneError> {
    let Some(first) = files.first() else {
        return Err(SceneError::unsupported("no file", "nothing was chosen; drop a scene"));
    };
    let contents = files.iter().map(detect).collect::<Result<Vec<_>, _>>()?;
    let header_name = |name: &str| name.to_lowercase().ends_with(".hdr");
    let is_header = |i: &usize| contents[*i] == Content::EnviHeader || header_name(files[*i].name());
    let headers: Vec<usize> = (0..files.len()).filter(is_header).collect();
    let alone: Vec<usize> = (0..files.len()).filter(|&i| contents[i].stands_alone() && !headers.contains(&i)).collect();

    match (&headers[..], &alone[..]) {
        (&[header], _) => open_envi(files, header, &contents),
        ([], &[only]) => open_alone(&files[only], contents[only], options),
        ([], []) => Err(refusal(first, &contents)),
        _ => {
            let scenes = if headers.is_empty() { alone } else { headers };
            let names: Vec<&str> = scenes.iter().map(|&i| files[i].name()).collect();
            Err(SceneError::unsupported(
                first.name(),
                format!(
                    "several scenes were given at once ({}); drop one, with its header if it has one",
                    names.join(", ")
                ),
            ))
        }
    }
}

fn open_envi(files: &[SharedSource], header: usize, contents: &[Content]) -> Result<Box<dyn Cube>, SceneError> {
    let others: Vec<usize> = (0..files.len()).filter(|&i| i != header).collect();
    let names: Vec<&str> = others.iter().map(|&i| files[i].name()).collect();
    let by_name = envi::find_data(files[header].name(), &names).map(|i| others[i]);
    // A pair that was chosen on purpose belongs together whatever its names; the sizes are checked.
    let by_pair = match others[..] {
        [other] if !contents[other].stands_alone() => Some(other),
        _ => None,
    };
    let data = by_name.or(by_pair);
    let mut cube = envi::open(&files[header], data.map(|i| &files[i]))?;
    if let Some(data) = data.filter(|_| by_name.is_none()) {
        cube.info.notes.push(format!("{} taken as the data file", files[data].name()));
    }
    Ok(Box::new(cube))
}

fn open_alone(source: &SharedSource, content: Content, options: &OpenOptions) -> Result<Box<dyn Cube>, SceneError> {
    Ok(match content {
        Content::Matlab5(endian) => Box::new(matlab::open(source, endian, options)?),
        Content::Npy => Box::new(numpy::open_npy(source, options)?),
        Content::Zip => Box::new(numpy::open_npz(source, options)?),
        Content::Tiff => Box::new(geotiff::open(source)?),
        Content::Empty | Content::EnviHeader | Content::Refused(_) | Content::Unknown => {
            return Err(refusal(source, &[content]));
        }
    })
}

/// Why the first of several files is not opened.
fn refusal(source: &SharedSource, contents: &[Content]) -> SceneError {
    let name = source.name();
    match contents.first() {
        Some(Content::Empty) => SceneError::malformed(name, "the file is empty; fetch it again"),
        Some(Content::Refused(what)) => SceneError::unsupported(name, *what),
        _ => {
            let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
            let flat = ["img", "dat", "raw", "bil", "bsq", "bip", "bin"];
            match extension.as_deref() {
                None => missing_header(name),
                Some(extension) if flat.contains(&extension) => missing_header(name),
                Some(extension @ ("mat" | "npy" | "npz" | "tif" | "tiff")) => {
                    let format = match extension {
                        "mat" => "a MATLAB file",
                        "npy" => "a NumPy array",
                        "npz" => "a NumPy archive",
                        _ => "a TIFF image",
                    };
                    SceneError::malformed(
                        name,
                        format!(
                            "the content is not that of {format}; the file is damaged or was renamed, fetch it again"
                        ),
                    )
                }
                _ => SceneError::unsupported(
                    name,
                    "the content is of no known kind; ENVI (header and data), MATLAB, NumPy and GeoTIFF can be opened",
                ),
            }
        }
    }
}

fn missing_header(name: &str) -> SceneError {
    SceneError::MissingCompanion {
        name: name.to_owned(),
        what: "this looks like the data of an ENVI scene; choose it together with its header (.hdr)".to_owned(),
    }
}
