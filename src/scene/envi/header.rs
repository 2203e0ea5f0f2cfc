//! The text header of ENVI files: `key = value` lines, values in braces may span lines.
//!
//! Comments are lines that begin with a semicolon, wherever they stand. Other programs write keys with underscores or
//! without blanks (`wavelength_units`, `headeroffset`) and some in the plural; all of them are understood.

use std::collections::HashMap;

use super::super::SceneError;

/// A header with 65 536 wavelengths, FWHM and band names stays far below this.
const HEADER_MAX: u64 = 16 << 20;

/// Keys that programs write otherwise than ENVI does, without blanks.
const VARIANTS: &[(&str, &str)] = &[
    ("wavelengths", "wavelength"),
    ("wavelengthunit", "wavelengthunits"),
    ("fwhms", "fwhm"),
    ("bandname", "bandnames"),
    ("classname", "classnames"),
    ("badbandslist", "bbl"),
    ("badbandlist", "bbl"),
    ("dataignorevalues", "dataignorevalue"),
];

/// The fields of a header.
#[derive(Debug)]
pub(crate) struct Header {
    name: String,
    /// By [`canonical`] key.
    fields: HashMap<String, String>,
    /// Keys that stand twice with different values.
    pub notes: Vec<String>,
}

/// Whether a file starts as an ENVI header does: the word ENVI on a line of its own.
pub(crate) fn is_envi(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    start
        .strip_prefix(b"ENVI")
        .is_some_and(|rest| rest.iter().find(|b| !b" \t".contains(b)).is_none_or(|b| b"\r\n".contains(b)))
}

/// A key without blanks, underscores and capitals.
fn canonical(key: &str) -> String {
    let key: String = key.chars().filter(|c| !c.is_whitespace() && *c != '_').flat_map(char::to_lowercase).collect();
    VARIANTS.iter().find(|(variant, _)| *variant == key).map_or(key, |(_, usual)| (*usual).to_owned())
}

/// The text with one kind of line end. Old headers are in Latin-1, where µ and Å are single bytes.
fn text_of(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    };
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with(';')
}

/// What stands before a semicolon.
fn before_comment(line: &str) -> &str {
    line.split(';').next().unwrap_or_default().trim()
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
            return Err(SceneError::malformed(name, foreign(bytes)));
        }
        let text = text_of(bytes);
        let mut header = Self { name: name.to_owned(), fields: HashMap::new(), notes: Vec::new() };
        let mut lines = text.lines().enumerate().skip(1).filter(|(_, line)| !is_comment(line)).peekable();
        while let Some((number, line)) = lines.next() {
            let Some((key, value)) = line.split_once('=') else { continue };
            let key = key.split_whitespace().collect::<Vec<_>>().join(" ");
            let mut value = value.trim().to_owned();
            if value.is_empty()
                && let Some((_, more)) = lines.next_if(|(_, more)| more.trim_start().starts_with('{'))
            {
                value = more.trim().to_owned();
            }
            if value.starts_with('{') {
                while !value.contains('}') {
                    let Some((_, more)) = lines.next() else {
                        let key = key.to_lowercase();
                        return Err(SceneError::malformed(
                            name,
                            format!(
                                "the brace opened at \"{key}\" (line {}) is never closed; the header is cut short",
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
            header.insert(&key, value);
        }
        Ok(header)
    }

    /// Tools append corrected lines to a header, so the last of two equal keys counts.
    fn insert(&mut self, key: &str, value: String) {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let value_words = words(&value);
        let earlier = self.fields.insert(canonical(key), value);
        if earlier.is_some_and(|earlier| words(&earlier) != value_words) {
            let shown: String = key.to_lowercase().chars().take(40).collect();
            let note = format!("the header states \"{shown}\" more than once; the last one counts");
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// A value as it stands, without its braces.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(&canonical(key)).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A value that is a word or a number: without what stands behind a semicolon.
    pub fn word(&self, key: &str) -> Option<&str> {
        self.text(key).map(before_comment).filter(|value| !value.is_empty())
    }

    /// A whole number, at least 0.
    ///
    /// # Errors
    /// The value is something else.
    pub fn optional_count(&self, key: &str) -> Result<Option<u64>, SceneError> {
        let bad = |value: &str| {
            let shown: String = value.chars().take(40).collect();
            let what = format!("\"{key} = {shown}\" in the header is not a whole number; correct the header");
            SceneError::malformed(&self.name, what)
        };
        self.word(key).map(|value| value.parse().map_err(|_| bad(value))).transpose()
    }

    /// A whole number that must be there.
    ///
    /// # Errors
    /// The value is missing or something else.
    pub fn count(&self, key: &str) -> Result<u64, SceneError> {
        self.optional_count(key)?.ok_or_else(|| {
            SceneError::malformed(&self.name, format!("the header has no \"{key}\"; add the line \"{key} = …\""))
        })
    }

    /// The items between the braces, trimmed; a comma after the last one adds nothing.
    pub fn list(&self, key: &str) -> Option<Vec<&str>> {
        let mut items: Vec<&str> = self.text(key)?.split(',').map(str::trim).collect();
        if items.last().is_some_and(|last| last.is_empty()) {
            items.pop();
        }
        Some(items)
    }

    /// A list of numbers, with commas or only blanks between them, comments left out.
    ///
    /// # Errors
    /// The item that is not a number.
    pub fn numbers(&self, key: &str) -> Option<Result<Vec<f64>, String>> {
        let lines = self.text(key)?.lines().map(before_comment);
        let items = lines.flat_map(|line| line.split([',', ' ', '\t'])).filter(|item| !item.is_empty());
        Some(items.map(|item| item.parse().map_err(|_| item.chars().take(40).collect())).collect())
    }
}

/// What a file is that is called a header but is none of ENVI.
fn foreign(bytes: &[u8]) -> &'static str {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(2048)]).to_lowercase();
    if bytes.is_empty() {
        "the header is empty; fetch it again"
    } else if start.contains("nrows") && start.contains("ncols") {
        "this is an ESRI header (BIL, BIP or BSQ), not one of ENVI; convert the image with gdal_translate -of ENVI"
    } else if start.starts_with("#?radiance") || start.starts_with("#?rgbe") {
        "this is a picture with a high dynamic range, not an ENVI header"
    } else {
        "the header does not start with the word ENVI, so it is not an ENVI header"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_braces_comments_and_line_ends() -> Result<(), SceneError> {
        let text = "ENVI\n; c = { not closed\nSamples=13 ; columns\nHeader  Offset = 7\nmap info = {UTM, 1,\n 2, units=Meters}\nbbl={1,\n; a } comment\n0,}\nbyte order =\n{0}\n";
        for ends in ["\n", "\r\n", "\r"] {
            let header = Header::parse("x.hdr", text.replace('\n', ends).as_bytes())?;
            assert_eq!(header.count("samples")?, 13);
            assert_eq!(header.count("header offset")?, 7);
            assert_eq!(header.text("map info"), Some("UTM, 1,\n 2, units=Meters"));
            assert_eq!(header.numbers("bbl"), Some(Ok(vec![1.0, 0.0])));
            assert_eq!(header.optional_count("byte order")?, Some(0));
            assert!(header.count("lines").is_err());
            assert_eq!(header.notes, [""; 0]);
        }
        assert!(Header::parse("x.hdr", b"ENVI\nwavelength = { 1, 2\n").is_err());
        assert!(Header::parse("x.hdr", b"ENVIRONMENT\n").is_err());
        Ok(())
    }

    #[test]
    fn variants_of_keys_and_the_last_of_two() -> Result<(), SceneError> {
        let text = b"ENVI\nheaderoffset = 3\nWavelength_Units = \xb5m\nwavelengths = {1 2\t3}\nband_names = {a}\nbands = 2\nBANDS = 3\nlines = 4\nlines=4\n";
        let header = Header::parse("x.hdr", text)?;
        assert_eq!(header.count("header offset")?, 3);
        assert_eq!(header.word("wavelength units"), Some("µm"));
        assert_eq!(header.numbers("wavelength"), Some(Ok(vec![1.0, 2.0, 3.0])));
        assert_eq!(header.list("band names"), Some(vec!["a"]));
        assert_eq!(header.count("bands")?, 3);
        assert_eq!(header.notes, ["the header states \"bands\" more than once; the last one counts"]);
        assert_eq!(Header::parse("x.hdr", b"ENVI\nfwhm = {1, x7}\n")?.numbers("fwhm"), Some(Err("x7".to_owned())));
        Ok(())
    }

    #[test]
    fn other_headers_are_named() {
        let said =
            |bytes: &[u8]| Header::parse("x.hdr", bytes).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said(b"NROWS 12\nNCOLS 10\nNBANDS 8\n").contains("ESRI"));
        assert!(said(b"#?RADIANCE\n").contains("picture"));
        assert!(said(b"").contains("empty"));
    }
}
