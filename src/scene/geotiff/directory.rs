//! The tags of one image of a TIFF or BigTIFF file.
//!
//! Format: "TIFF Revision 6.0" (Adobe, 1992), section 2; BigTIFF: the design page of the libtiff project.

use std::collections::BTreeMap;

use super::super::samples::{Endian, Run, Stored, decode};
use super::super::{SampleType, SceneError, SharedSource};

/// Images have a few dozen tags.
const ENTRIES_MAX: u64 = 4096;

/// Whether a file starts as a TIFF or BigTIFF file.
pub(crate) fn is_tiff(start: &[u8]) -> bool {
    matches!(start.get(..4), Some(b"II\x2a\0" | b"II\x2b\0" | b"MM\0\x2a" | b"MM\0\x2b"))
}

/// Where the values of a tag are.
#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: u16,
    count: u64,
    offset: u64,
}

/// The tags of one image.
pub(super) struct Directory {
    source: SharedSource,
    pub endian: Endian,
    entries: BTreeMap<u16, Entry>,
    /// Where the next image is described (an overview, a mask, a page).
    pub next: Option<u64>,
}

fn value_size(kind: u16) -> Option<u64> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => return None,
    })
}

fn unsigned(endian: Endian, bytes: &[u8]) -> u64 {
    let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    match endian {
        Endian::Little => bytes.iter().rev().fold(0, fold),
        Endian::Big => bytes.iter().fold(0, fold),
    }
}

/// The first bytes of a file.
struct Head {
    endian: Endian,
    big: bool,
    first: u64,
}

impl Head {
    fn read(source: &SharedSource) -> Result<Self, SceneError> {
        let mut head = [0; 16];
        let len = source.len().min(16) as usize;
        source.read_at(0, &mut head[..len])?;
        let endian = if head[0] == b'M' { Endian::Big } else { Endian::Little };
        let big = head[2..4].contains(&0x2b);
        let number = |bytes: &[u8]| unsigned(endian, bytes);
        if big && (number(&head[4..6]) != 8 || number(&head[6..8]) != 0) {
            let what = "the BigTIFF header is damaged; fetch the file again";
            return Err(SceneError::malformed(source.name(), what));
        }
        Ok(Self { endian, big, first: number(if big { &head[8..16] } else { &head[4..8] }) })
    }
}

impl Directory {
    /// Where the first directory is.
    ///
    /// # Errors
    /// The beginning of the file is damaged.
    pub fn first(source: &SharedSource) -> Result<Option<u64>, SceneError> {
        Head::read(source).map(|head| Some(head.first))
    }

    /// Reads the directory at `start`; none after it is followed.
    ///
    /// # Errors
    /// The directory lies outside the file or is impossibly long.
    pub fn read(source: &SharedSource, start: u64) -> Result<Self, SceneError> {
        let name = source.name();
        let Head { endian, big, .. } = Head::read(source)?;
        let number = |bytes: &[u8]| unsigned(endian, bytes);
        let (count_size, entry_size) = if big { (8, 20) } else { (2, 12) };
        let outside = || {
            SceneError::malformed(
                name,
                format!(
                    "the image directory at byte {start} lies outside the file; it is cut short or damaged, fetch it again"
                ),
            )
        };
        let mut count = [0; 8];
        source.read_at(start, &mut count[..count_size]).map_err(|_| outside())?;
        let count = number(&count[..count_size]);
        if count > ENTRIES_MAX {
            return Err(SceneError::malformed(
                name,
                format!("an image directory of {count} tags; the file is damaged"),
            ));
        }
        let link_size = if big { 8 } else { 4 };
        let mut bytes = vec![0; count as usize * entry_size];
        let first = start + count_size as u64;
        source.read_at(first, &mut bytes).map_err(|_| outside())?;
        let mut link = [0; 8];
        let after = first + bytes.len() as u64;
        let linked = source.read_at(after, &mut link[..link_size]).is_ok();

        let mut entries = BTreeMap::new();
        for (index, entry) in bytes.chunks_exact(entry_size).enumerate() {
            let (tag, kind) = (number(&entry[..2]) as u16, number(&entry[2..4]) as u16);
            let (count, value) = entry[4..].split_at(link_size);
            let count = number(count);
            // Tags of unknown kinds are to be skipped.
            let Some(bytes) = value_size(kind).and_then(|size| size.checked_mul(count)) else { continue };
            let inline = bytes <= value.len() as u64;
            let offset =
                if inline { first + (index * entry_size + entry_size - link_size) as u64 } else { number(value) };
            entries.entry(tag).or_insert(Entry { kind, count, offset });
        }
        let next = linked.then(|| number(&link[..link_size])).filter(|&next| next != 0);
        Ok(Self { source: source.clone(), endian, entries, next })
    }

    /// Number of tags.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The raw bytes of a tag's values and their kind.
    fn bytes(&self, tag: u16, max: u64) -> Result<Option<(u16, Vec<u8>)>, SceneError> {
        let Some(entry) = self.entries.get(&tag) else { return Ok(None) };
        let damaged = |what: &str| {
            SceneError::malformed(
                self.source.name(),
                format!("the values of tag {tag} {what}; the file is damaged, fetch it again"),
            )
        };
        if entry.count > max {
            return Err(damaged(&format!("are {}, more than the {max} that make sense", entry.count)));
        }
        let mut bytes = vec![0; (entry.count * value_size(entry.kind).unwrap_or(0)) as usize];
        if entry.offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.source.len()) {
            return Err(damaged("lie outside the file"));
        }
        self.source.read_at(entry.offset, &mut bytes)?;
        Ok(Some((entry.kind, bytes)))
    }

    /// How many values a tag has.
    pub fn count(&self, tag: u16) -> u64 {
        self.entries.get(&tag).map_or(0, |entry| entry.count)
    }

    /// The unsigned values of a tag; at most `max`, so that memory is bounded.
    pub fn numbers(&self, tag: u16, max: u64) -> Result<Option<Vec<u64>>, SceneError> {
        let Some((kind, bytes)) = self.bytes(tag, max)? else { return Ok(None) };
        let size = match kind {
            1 | 3 | 4 | 13 | 16 | 18 => value_size(kind).unwrap_or(1) as usize,
            _ => {
                let what = format!("tag {tag} is of kind {kind}, not a whole number; the file is damaged");
                return Err(SceneError::malformed(self.source.name(), what));
            }
        };
        Ok(Some(bytes.chunks_exact(size).map(|value| unsigned(self.endian, value)).collect()))
    }

    /// The first unsigned value of a tag.
    pub fn number(&self, tag: u16) -> Result<Option<u64>, SceneError> {
        Ok(self.numbers(tag, 1 << 16)?.and_then(|values| values.first().copied()))
    }

    /// The floating-point values of a tag, empty when it is missing or of another kind.
    pub fn doubles(&self, tag: u16, max: u64) -> Result<Vec<f64>, SceneError> {
        let Some((12, bytes)) = self.bytes(tag, max)? else { return Ok(Vec::new()) };
        let mut out = vec![0.0; bytes.len() / 8];
        let (each, count) = (Run { start: 0, step: 8 }, out.len());
        let to = Run { start: 0, step: 1 };
        decode(Stored { sample: SampleType::F64, endian: self.endian }, &bytes, each, &mut out, to, count);
        Ok(out)
    }

    /// The text of a tag, up to its first NUL.
    pub fn text(&self, tag: u16, max: u64) -> Result<Option<String>, SceneError> {
        let Some((2, bytes)) = self.bytes(tag, max)? else { return Ok(None) };
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        Ok(Some(String::from_utf8_lossy(&bytes[..end]).into_owned()))
    }
}
