//! Scenes from paths: the native twin of dropping files.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Cube, FileSource, Format, OpenOptions, SceneError, SharedSource, envi, open};

/// Opens a scene by its path.
///
/// For an ENVI header the data file is `data`, or the one beside it that fits by name; for ENVI data the header beside it.
/// A TIFF image takes wavelengths and names from an ENVI header of its name and size.
///
/// # Errors
/// As [`open`], or the file cannot be read.
pub fn open_path(path: &Path, data: Option<&Path>, options: &OpenOptions) -> Result<Box<dyn Cube>, SceneError> {
    let source = |path: &Path| -> Result<SharedSource, SceneError> { Ok(Rc::new(FileSource::open(path)?)) };
    let first = source(path)?;
    if let Some(data) = data {
        return open(&[first, source(data)?], options);
    }
    match open(std::slice::from_ref(&first), options) {
        Err(SceneError::MissingCompanion { name, what }) => match companion(path) {
            Some(companion) => open(&[first, source(&companion)?], options),
            None => Err(SceneError::MissingCompanion { name, what }),
        },
        Ok(cube) if cube.info().format == Format::Geotiff => {
            let header = companion(path).map(|header| source(&header)).transpose()?;
            match header.filter(|header| envi::Sidecar::read(header).is_ok_and(|s| s.describes(cube.info()))) {
                Some(header) => open(&[first, header], options),
                None => Ok(cube),
            }
        }
        opened => opened,
    }
}

/// The other half of an ENVI pair in the same folder; a folder of that name is none.
fn companion(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let file_name = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        entry.path().is_file().then(|| entry.file_name().into_string().ok()).flatten()
    };
    let mut names: Vec<String> = std::fs::read_dir(folder).ok()?.filter_map(file_name).collect();
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|&other| other != name).collect();
    let found = envi::find_data(name, &names).or_else(|| {
        let header = envi::find_header(name, &names)?;
        // A header beside other data of its name is not this file's.
        let all = [&names[..], &[name]].concat();
        let own = envi::find_data(names[header], &all)?;
        (all[own] == name || !is_image_name(name)).then_some(header)
    })?;
    Some(folder.join(names[found]))
}

/// Whether a file needs no header by its name.
fn is_image_name(name: &str) -> bool {
    let name = name.to_lowercase();
    name.ends_with(".tif") || name.ends_with(".tiff")
}
