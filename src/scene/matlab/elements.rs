//! The elements of a MATLAB level-5 file: tags, and the head of a matrix.
//!
//! Format: "MAT-File Format", MathWorks, chapter 1 (level 5).

use std::io::Read;

use super::super::samples::Endian;
use super::super::{SampleType, SceneError, inflate};

pub(super) const MI_MATRIX: u32 = 14;
pub(super) const MI_COMPRESSED: u32 = 15;

/// More dimensions or a longer name than any program writes is damage.
const DIMENSIONS_MAX: u32 = 32;
const NAME_MAX: u32 = 4096;

/// The sample type of a data element (`miINT8` …).
pub(super) fn stored_type(code: u32) -> Option<SampleType> {
    Some(match code {
        1 => SampleType::I8,
        2 => SampleType::U8,
        3 => SampleType::I16,
        4 => SampleType::U16,
        5 => SampleType::I32,
        6 => SampleType::U32,
        7 => SampleType::F32,
        9 => SampleType::F64,
        12 => SampleType::I64,
        13 => SampleType::U64,
        _ => return None,
    })
}

/// What an array is (`mxDOUBLE_CLASS` …).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Numeric(SampleType),
    /// Anything that holds no plain numbers, in words: "a struct".
    Other(&'static str),
}

fn class(code: u32) -> Class {
    Class::Numeric(match code {
        6 => SampleType::F64,
        7 => SampleType::F32,
        8 => SampleType::I8,
        9 => SampleType::U8,
        10 => SampleType::I16,
        11 => SampleType::U16,
        12 => SampleType::I32,
        13 => SampleType::U32,
        14 => SampleType::I64,
        15 => SampleType::U64,
        1 => return Class::Other("a cell array"),
        2 => return Class::Other("a struct"),
        4 => return Class::Other("text"),
        5 => return Class::Other("a sparse matrix"),
        _ => return Class::Other("an object"),
    })
}

/// The head of a matrix: everything before its numbers.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub class: Class,
    pub complex: bool,
    pub logical: bool,
    pub dims: Vec<u64>,
    pub name: String,
    /// Where the numbers are; `None` unless the class is numeric.
    pub data: Option<Data>,
}

/// The real part of a numeric matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data {
    /// Offset of the first number from the start of the stream.
    pub offset: u64,
    pub bytes: u64,
    pub stored: SampleType,
}

/// A stream of elements that knows its position.
pub(super) struct Elements<'a> {
    name: &'a str,
    stream: &'a mut dyn Read,
    endian: Endian,
    at: u64,
}

/// Kind and length of an element; a small one carries its data in the tag.
struct Tag {
    code: u32,
    bytes: u32,
    small: Option<[u8; 4]>,
}

impl<'a> Elements<'a> {
    pub fn new(name: &'a str, stream: &'a mut dyn Read, endian: Endian) -> Self {
        Self { name, stream, endian, at: 0 }
    }

    fn damaged(&self, what: &str) -> SceneError {
        SceneError::malformed(self.name, format!("{what}; the file is damaged, fetch it again"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SceneError> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).map_err(|error| inflate::stream_error(self.name, "a variable", &error))?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn number(&self, bytes: [u8; 4]) -> u32 {
        match self.endian {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        }
    }

    fn u32(&mut self) -> Result<u32, SceneError> {
        let bytes = self.array()?;
        Ok(self.number(bytes))
    }

    fn tag(&mut self) -> Result<Tag, SceneError> {
        let first = self.u32()?;
        if first >> 16 != 0 {
            let bytes = first >> 16;
            if bytes > 4 {
                return Err(self.damaged("a small element is longer than 4 bytes"));
            }
            return Ok(Tag { code: first & 0xffff, bytes, small: Some(self.array()?) });
        }
        Ok(Tag { code: first, bytes: self.u32()?, small: None })
    }

    /// The bytes of a short element and the padding after it.
    fn payload(&mut self, tag: &Tag, max: u32, what: &str) -> Result<Vec<u8>, SceneError> {
        if let Some(small) = tag.small {
            return Ok(small[..tag.bytes as usize].to_vec());
        }
        if tag.bytes > max {
            return Err(self.damaged(what));
        }
        let padded = u64::from(tag.bytes).next_multiple_of(8);
        let mut bytes = vec![0; padded as usize];
        self.stream.read_exact(&mut bytes).map_err(|error| inflate::stream_error(self.name, "a variable", &error))?;
        self.at += padded;
        bytes.truncate(tag.bytes as usize);
        Ok(bytes)
    }

    /// Reads a top-level tag: `(code, bytes)`.
    pub fn top_level(&mut self) -> Result<(u32, u32), SceneError> {
        Ok((self.u32()?, self.u32()?))
    }

    /// Reads the head of a matrix; the stream stands behind the matrix' own tag.
    pub fn head(&mut self) -> Result<Head, SceneError> {
        let tag = self.tag()?;
        let flags = self.payload(&tag, 8, "the flags of a variable are too long")?;
        let [a, b, c, d, ..] = flags[..] else { return Err(self.damaged("the flags of a variable are missing")) };
        let flags = self.number([a, b, c, d]);
        let mut head = Head {
            class: class(flags & 0xff),
            complex: flags & 0x800 != 0,
            logical: flags & 0x200 != 0,
            dims: Vec::new(),
            name: String::new(),
            data: None,
        };
        if flags & 0xff > 15 {
            // Objects of newer classes have no dimensions; nothing in them is needed.
            return Ok(head);
        }
        let tag = self.tag()?;
        let dims = self.payload(&tag, 4 * DIMENSIONS_MAX, "a variable has too many dimensions")?;
        for raw in dims.chunks_exact(4) {
            let n = self.number([raw[0], raw[1], raw[2], raw[3]]) as i32;
            let n = u64::try_from(n).map_err(|_| self.damaged(&format!("a variable has the dimension {n}")))?;
            head.dims.push(n);
        }
        let tag = self.tag()?;
        let text = self.payload(&tag, NAME_MAX, "the name of a variable is too long")?;
        head.name = String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned();
        if matches!(head.class, Class::Numeric(_)) {
            let tag = self.tag()?;
            let offset = if tag.small.is_some() { self.at - 4 } else { self.at };
            let stored = stored_type(tag.code).ok_or_else(|| {
                self.damaged(&format!("the numbers of {} are of the unknown type {}", head.name, tag.code))
            })?;
            head.data = Some(Data { offset, bytes: u64::from(tag.bytes), stored });
        }
        Ok(head)
    }
}
