//! The weights that are shipped with the page: `weights/catalogue.json`.
//!
//! ```json
//! {
//!   "format": 1,
//!   "weights": [{
//!     "name": "nano-q8_0", "description": "Nano, pre-trained on generated scenes", "size": "nano", "quantization": "q8_0",
//!     "bytes": 3000000, "sha256": "…64 hexadecimal digits…", "parameters": 2300000, "device_bytes": 60000000,
//!     "license": "MIT OR Apache-2.0", "url": "weights/nano-q8_0.gguf", "card": "weights/nano.md"
//!   }]
//! }
//! ```

use std::collections::BTreeSet;

use serde::Deserialize;
use thiserror::Error;

use super::CatalogueEntry;

/// Where the catalogue is, relative to the page.
pub const CATALOGUE_URL: &str = "weights/catalogue.json";

/// Rises whenever an older page could no longer read it.
const FORMAT: u32 = 1;
/// Far more than a page ships.
const ENTRIES_MAX: usize = 1000;

/// A catalogue that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CatalogueError {
    #[error("the catalogue of shipped weights cannot be read ({0}); reload the page, or tell who runs this server")]
    Malformed(String),
    #[error("the catalogue of shipped weights has version {found}, but this page reads {FORMAT}; reload the page")]
    Format { found: u32 },
    #[error("the entry {name} of the catalogue of shipped weights cannot be used: {what}")]
    Entry { name: String, what: String },
    #[error("the catalogue has no weights called {name}")]
    Unknown { name: String },
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    #[serde(rename = "format")]
    _format: u32,
    weights: Vec<CatalogueEntry>,
}

/// Reads and checks a catalogue.
///
/// # Errors
/// [`CatalogueError`] names the first thing that is wrong.
pub fn read_catalogue(json: &str) -> Result<Vec<CatalogueEntry>, CatalogueError> {
    let malformed = |error: serde_json::Error| CatalogueError::Malformed(error.to_string());
    let Version { format } = serde_json::from_str(json).map_err(malformed)?;
    if format != FORMAT {
        return Err(CatalogueError::Format { found: format });
    }
    let Catalogue { weights, .. } = serde_json::from_str(json).map_err(malformed)?;
    if weights.len() > ENTRIES_MAX {
        return Err(CatalogueError::Malformed(format!("it has {} entries", weights.len())));
    }
    let mut names = BTreeSet::new();
    for entry in &weights {
        let refuse = |what: &str| Err(CatalogueError::Entry { name: entry.name.clone(), what: what.to_owned() });
        if entry.name.trim().is_empty() || !names.insert(&entry.name) {
            return refuse("its name is empty or not the only one");
        }
        if !is_sha256(&entry.sha256) {
            return refuse("its sha256 is not 64 lower-case hexadecimal digits");
        }
        if entry.bytes == 0 || entry.parameters == 0 || entry.device_bytes == 0 {
            return refuse("it has no bytes, no parameters or no device_bytes");
        }
        if entry.size.is_empty() || entry.license.trim().is_empty() {
            return refuse("it has no size or no licence");
        }
        if !is_address(&entry.url) || entry.card.as_ref().is_some_and(|card| !is_address(card)) {
            return refuse("its addresses are neither relative nor https");
        }
    }
    Ok(weights)
}

pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Relative to the page (without a scheme), or https, or http for whoever serves it so.
fn is_address(url: &str) -> bool {
    let scheme = url.split(['/', '?', '#']).next().and_then(|first| first.split_once(':')).map(|(scheme, _)| scheme);
    !url.is_empty()
        && !url.chars().any(|letter| letter.is_whitespace() || letter.is_control())
        && scheme.is_none_or(|scheme| ["https", "http"].contains(&scheme.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_nowhere_else() {
        for url in ["weights/a.gguf", "https://x.org/a.gguf", "HTTP://x.org/a", "./a:b.gguf", "a?b:c"] {
            assert!(is_address(url), "{url}");
        }
        for url in ["", "javascript:alert(1)", "data:text/plain,a", "file:///etc/passwd", "a b", "a\nb", "blob:x"] {
            assert!(!is_address(url), "{url}");
        }
    }

    #[test]
    fn the_shipped_catalogue_is_sound() {
        let json = include_str!("../../www/weights/catalogue.json");
        let entries = read_catalogue(json).unwrap();
        for entry in entries {
            assert!(!entry.description.is_empty(), "{}", entry.name);
        }
    }
}
