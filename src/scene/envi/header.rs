//! The text header of ENVI files: `key = value` lines, values in braces may span lines.

use std::collections::HashMap;

use super::super::SceneError;

/// A header with 65 536 wavelengths, FWHM and band names stays far below this.
const HEADER_MAX: u64 = 16 << 20;

/// The fields of a header; keys in lower case with single blanks.
#[derive(Debug)]
pub(crate) struct Header {
    name: String,
    fields: HashMap<String, String>,
}

/// Whether a file starts as an ENVI header does: the word ENVI on a line of its own.
pub(crate) fn is_envi(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    start
        .strip_prefix(b"ENVI")
        .is_some_and(|rest| rest.iter().find(|b| !b" \t".contains(b)).is_none_or(|b| b"\r\n".contains(b)))
}

impl Header {
    /// Largest header that is read, bytes.
    pub const MAX: u64 = HEADER_MAX;

    /// Parses the text of a header.
    ///
    /// # Errors
    /// The first line is not `ENVI`, or a brace is never closed.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, SceneError> {
        if !is_envi(bytes) {
            let what = if bytes.is_empty() {
                "the header is empty; fetch it again"
            } else {
                "the header does not start with the word ENVI, so it is not an ENVI header"
            };
            return Err(SceneError::malformed(name, what));
        }
        let text = String::from_utf8_lossy(bytes);
        let mut fields = HashMap::new();
        let mut lines = text.lines().enumerate().skip(1);
        while let Some((number, line)) = lines.next() {
            if line.trim_start().starts_with(';') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let key = key.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
            let mut value = value.trim().to_owned();
            if value.starts_with('{') {
                while !value.contains('}') {
                    let Some((_, more)) = lines.next() else {
                        return Err(SceneError::malformed(
                            name,
                            format!(
                                "the brace opened at `{key}` (line {}) is never closed; the header is cut short",
                                number + 1
                            ),
                        ));
                    };
                    value.push('\n');
                    value.push_str(more.trim_end());
                }
                let end = value.rfind('}').unwrap_or(value.len());
                value = value[1..end].trim().to_owned();
            }
            fields.entry(key).or_insert(value);
        }
        Ok(Self { name: name.to_owned(), fields })
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn bad(&self, key: &str, value: &str, wanted: &str) -> SceneError {
        let shown: String = value.chars().take(40).collect();
        SceneError::malformed(
            &self.name,
            format!("`{key} = {shown}` in the header is not {wanted}; correct the header"),
        )
    }

    /// A whole number, at least 0.
    pub fn optional_count(&self, key: &str) -> Result<Option<u64>, SceneError> {
        self.text(key).map(|value| value.parse().map_err(|_| self.bad(key, value, "a whole number"))).transpose()
    }

    /// A whole number that must be there.
    pub fn count(&self, key: &str) -> Result<u64, SceneError> {
        self.optional_count(key)?.ok_or_else(|| {
            SceneError::malformed(&self.name, format!("the header has no `{key}`; add the line `{key} = …`"))
        })
    }

    pub fn number(&self, key: &str) -> Result<Option<f64>, SceneError> {
        self.text(key).map(|value| value.parse().map_err(|_| self.bad(key, value, "a number"))).transpose()
    }

    /// The items between the braces, trimmed; a comma after the last one adds nothing.
    pub fn list(&self, key: &str) -> Option<Vec<&str>> {
        let mut items: Vec<&str> = self.text(key)?.split(',').map(str::trim).collect();
        if items.last().is_some_and(|last| last.is_empty()) {
            items.pop();
        }
        Some(items)
    }

    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, SceneError> {
        let Some(items) = self.list(key) else { return Ok(None) };
        let parse = |item: &&str| item.parse().map_err(|_| self.bad(key, item, "a list of numbers"));
        items.iter().map(parse).collect::<Result<_, _>>().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_braces_comments_and_line_ends() -> Result<(), SceneError> {
        let text = b"ENVI\r\n; c = { not closed\r\nSamples=13\r\nHeader  Offset = 7\r\nmap info = {UTM, 1,\r\n 2, units=Meters}\r\nbbl={1,0,}\r\n";
        let header = Header::parse("x.hdr", text)?;
        assert_eq!(header.count("samples")?, 13);
        assert_eq!(header.count("header offset")?, 7);
        assert_eq!(header.text("map info"), Some("UTM, 1,\n 2, units=Meters"));
        assert_eq!(header.numbers("bbl")?, Some(vec![1.0, 0.0]));
        assert!(header.count("lines").is_err());
        assert!(Header::parse("x.hdr", b"ENVI\nwavelength = { 1, 2\n").is_err());
        assert!(Header::parse("x.hdr", b"ENVIRONMENT\n").is_err());
        Ok(())
    }
}
