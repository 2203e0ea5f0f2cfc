//! Where the reference files come from.

use super::Mismatch;

/// The files of `tests/fixtures` or of `../shared/reference`, by their path in there.
pub trait Files {
    async fn read(&self, path: &str) -> Result<Vec<u8>, Mismatch>;
}

#[cfg(not(target_arch = "wasm32"))]
pub use native::{Folder, fixtures, shared};

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::path::{Path, PathBuf};

    use super::{Files, Mismatch};

    /// Files on the disk.
    pub struct Folder(pub PathBuf);

    impl Files for Folder {
        async fn read(&self, path: &str) -> Result<Vec<u8>, Mismatch> {
            std::fs::read(self.0.join(path)).map_err(|error| Mismatch(format!("{path}: {error}")))
        }
    }

    /// `../shared/reference` beside the package, or in what SIGMASCOPE_SHARED names. Says so when it is not there.
    pub fn shared(what: &str) -> Option<PathBuf> {
        let shared = match std::env::var_os("SIGMASCOPE_SHARED") {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from("../shared"),
        };
        let reference = shared.join("reference");
        if reference.is_dir() {
            return Some(reference);
        }
        println!("SKIP {what}: ../shared is not here");
        None
    }

    pub fn fixtures() -> Folder {
        Folder("tests/fixtures".into())
    }
}
