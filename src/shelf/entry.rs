//! What is known of weights without opening them: plain data for the page.

use serde::{Deserialize, Serialize};

use crate::weights::{Origin, Quantization};

/// What a set of weights is, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsSummary {
    /// "HyperSIGMA Base, pre-trained encoders".
    pub title: String,
    /// `base`, `large`, `huge`, `nano`, …; `None` for a shape without a name.
    pub size: Option<String>,
    pub quantization: Quantization,
    pub origin: Origin,
    /// Bytes of the GGUF file.
    pub bytes: u64,
    /// Numbers in it.
    pub parameters: u64,
    /// It holds also what never influences the result.
    pub complete: bool,
    /// Classes of a fine-tuned network, 0 otherwise.
    pub classes: usize,
    /// SPDX identifier, or words.
    pub license: Option<String>,
    /// Where the weights come from: an address, or the names of the files they were converted from.
    pub source: Option<String>,
}

/// Weights that are kept in this browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedWeights {
    /// SHA-256 of the file, in hexadecimal.
    pub id: String,
    /// Name of the file, for people: `spat-vit-base-…-q8_0.gguf`.
    pub name: String,
    pub summary: WeightsSummary,
    /// Milliseconds since 1970 when it was stored.
    pub stored_ms: u64,
}

/// Weights that are shipped with the page: an entry of `weights/catalogue.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueEntry {
    /// Unique; names it in requests.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// `base`, `nano`, …
    pub size: String,
    pub quantization: Quantization,
    /// Of the file.
    pub bytes: u64,
    /// Of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Numbers in it.
    pub parameters: u64,
    /// Bytes on the device to map one tile of the size's preset.
    pub device_bytes: u64,
    /// SPDX identifier, or words.
    pub license: String,
    /// Relative to the page's own address, or absolute.
    pub url: String,
    /// Address of the model card, relative to the page's or absolute.
    #[serde(default)]
    pub card: Option<String>,
}

/// The browser's estimate of its own storage for this page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub used_bytes: u64,
    pub total_bytes: u64,
}

/// The name of the file in an address.
pub fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
    let name = path.rsplit('/').next().filter(|name| !name.is_empty() && !name.contains(':'));
    name.map_or_else(|| "weights.gguf".to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_give_names() {
        for (url, name) in [
            ("https://x.org/a/base-q4_0.gguf?download=true", "base-q4_0.gguf"),
            ("weights/nano.gguf", "nano.gguf"),
            ("https://x.org/", "x.org"),
            ("https:", "weights.gguf"),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
    }
}
