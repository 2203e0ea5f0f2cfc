//! From dropped files to a scene: what they are, which belong together, and who reads them.

use super::content::Content;
use super::{Cube, OpenOptions, SceneError, SharedSource, envi, geotiff, matlab, numpy};

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
    let contents = files.iter().map(Content::of).collect::<Result<Vec<_>, _>>()?;
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
        [other] if contents[other] == Content::Tiff || !contents[other].stands_alone() => Some(other),
        _ => None,
    };
    let data = by_name.or(by_pair);
    if let Some(image) = data.filter(|&i| contents[i] == Content::Tiff)
        && let Some(cube) = open_image(&files[image], &files[header])?
    {
        return Ok(Box::new(cube));
    }
    let mut cube = envi::open(&files[header], data.map(|i| &files[i]))?;
    if let Some(data) = data.filter(|_| by_name.is_none()) {
        cube.info.notes.push(format!("{} taken as the data file", files[data].name()));
    }
    Ok(Box::new(cube))
}

/// Opens a TIFF image beside an ENVI header, which adds wavelengths and names; `None` where the header points into the
/// file's bytes itself.
fn open_image(image: &SharedSource, header: &SharedSource) -> Result<Option<geotiff::GeotiffCube>, SceneError> {
    match envi::Sidecar::read(header) {
        Ok(sidecar) if sidecar.points_into_bytes() => Ok(None),
        Ok(sidecar) => {
            let mut cube = geotiff::open(image)?;
            sidecar.complete(&mut cube.info)?;
            Ok(Some(cube))
        }
        // Other programs have files of that name, too.
        Err(error) => {
            let mut cube = geotiff::open(image)?;
            cube.info.notes.push(format!("{error}; it was not used"));
            Ok(Some(cube))
        }
    }
}

fn open_alone(source: &SharedSource, content: Content, options: &OpenOptions) -> Result<Box<dyn Cube>, SceneError> {
    Ok(match content {
        Content::Matlab5(endian) => Box::new(matlab::open(source, endian, options)?),
        Content::Npy => Box::new(numpy::open_npy(source, options)?),
        Content::Zip => Box::new(numpy::open_npz(source, options)?),
        Content::Tiff => Box::new(geotiff::open(source)?),
        Content::Empty | Content::EnviHeader | Content::Refused(_) | Content::Text | Content::Unknown => {
            return Err(refusal(source, &[content]));
        }
    })
}

/// Why the first of several files is not opened.
fn refusal(source: &SharedSource, contents: &[Content]) -> SceneError {
    let name = source.name();
    let content = contents.first().copied().unwrap_or(Content::Unknown);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default();
    match content {
        Content::Empty => return SceneError::malformed(name, "the file is empty; fetch it again"),
        // Samples may begin like any file: with its header such a file opens.
        Content::Refused(what) if is_flat(&extension) => {
            return SceneError::MissingCompanion { name: name.to_owned(), what: what.to_owned() };
        }
        Content::Refused(what) => return SceneError::unsupported(name, what),
        _ if is_flat(&extension) => return missing_header(name),
        _ => {}
    }
    let format = match extension.as_str() {
        "sli" => {
            let what =
                "this is the data of a spectral library (a table of spectra), not an image; choose an image cube";
            return SceneError::unsupported(name, what);
        }
        "mat" if content == Content::Text => {
            let what = "this is text, not a binary MATLAB file; in MATLAB or Octave save it with save -v7";
            return SceneError::unsupported(name, what);
        }
        "mat" => "a MATLAB file",
        "npy" => "a NumPy array",
        "npz" => "a NumPy archive",
        "tif" | "tiff" => "a TIFF image",
        _ => {
            let what = if content == Content::Text {
                "this is a text file (a table or a description), not an image; ENVI (header and data), MATLAB, NumPy and \
                 GeoTIFF can be opened"
            } else {
                "the content is of no known kind; ENVI (header and data), MATLAB, NumPy and GeoTIFF can be opened"
            };
            return SceneError::unsupported(name, what);
        }
    };
    let what = format!("the content is not that of {format}; the file is damaged or was renamed, fetch it again");
    SceneError::malformed(name, what)
}

/// Whether files of this extension usually are bare samples.
fn is_flat(extension: &str) -> bool {
    ["", "img", "dat", "raw", "bil", "bsq", "bip", "bin"].contains(&extension)
}

fn missing_header(name: &str) -> SceneError {
    SceneError::MissingCompanion {
        name: name.to_owned(),
        what: "this looks like the data of an ENVI scene; choose it together with its header (.hdr)".to_owned(),
    }
}
