//! Scenes from paths: the native twin of dropping files.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Cube, FileSource, OpenOptions, SceneError, SharedSource, envi, open};

/// Opens a scene by its path.
///
/// For an ENVI header the data file is `data`, or the one beside it that fits by name; for ENVI data the header beside it.
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
        opened => opened,
    }
}

/// The other half of an ENVI pair in the same folder.
fn companion(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut names: Vec<String> =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|&other| other != name).collect();
    let found = envi::find_data(name, &names).or_else(|| envi::find_header(name, &names))?;
    Some(folder.join(names[found]))
}
