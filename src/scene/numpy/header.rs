//! The header of a .npy array: a Python dictionary literal, read by a parser of exactly that and never evaluated.
//!
//! Format: `numpy.lib.format` in the NumPy documentation, versions 1 to 3.

use std::io::Read;

use super::super::samples::{Endian, Stored};
use super::super::{SampleType, SceneError, inflate};

const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy's own limit is 10 000 bytes.
const HEADER_MAX: u32 = 64 << 10;
/// NumPy's own limit on dimensions.
const DIMENSIONS_MAX: usize = 64;

pub(crate) fn is_npy(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

/// What the header says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub stored: Stored,
    /// `|b1`: true and false.
    pub boolean: bool,
    pub fortran_order: bool,
    pub shape: Vec<u64>,
    /// Offset of the first sample.
    pub data_offset: u64,
}

impl Header {
    /// Reads a header from the start of a stream.
    ///
    /// # Errors
    /// Not a .npy stream, a header that is no plain literal, or samples that are no real numbers.
    pub fn read(name: &str, stream: &mut dyn Read) -> Result<Self, SceneError> {
        let failed = |error: std::io::Error| inflate::stream_error(name, "the header", &error);
        let mut start = [0; 8];
        stream.read_exact(&mut start).map_err(failed)?;
        if !is_npy(&start) {
            return Err(SceneError::malformed(name, "this is not a NumPy array; the file is damaged or was renamed"));
        }
        let (len, before) = match start[6] {
            1 => {
                let mut len = [0; 2];
                stream.read_exact(&mut len).map_err(failed)?;
                (u32::from(u16::from_le_bytes(len)), 10)
            }
            2 | 3 => {
                let mut len = [0; 4];
                stream.read_exact(&mut len).map_err(failed)?;
                (u32::from_le_bytes(len), 12)
            }
            version => {
                return Err(SceneError::unsupported(
                    name,
                    format!("version {version} of the NumPy format is not known"),
                ));
            }
        };
        if len > HEADER_MAX {
            return Err(SceneError::malformed(
                name,
                format!("a header of {len} bytes is not one; the file is damaged"),
            ));
        }
        let mut text = vec![0; len as usize];
        stream.read_exact(&mut text).map_err(failed)?;
        Literal { name, text: &text, at: 0 }.dictionary(before + u64::from(len))
    }
}

/// The sample type behind a type string such as `<u2`.
fn sample_type(name: &str, text: &str) -> Result<(Stored, bool), SceneError> {
    let refuse = |what: &str| {
        Err(SceneError::unsupported(name, format!("the array holds {what} (`{text}`); save it as numbers")))
    };
    let (order, code) = match text.as_bytes() {
        [order @ (b'<' | b'>' | b'|' | b'='), ..] => (*order, &text[1..]),
        _ => (b'=', text),
    };
    let endian = if order == b'>' { Endian::Big } else { Endian::Little };
    let sample = match code {
        "u1" | "b1" | "?" => SampleType::U8,
        "i1" => SampleType::I8,
        "u2" => SampleType::U16,
        "i2" => SampleType::I16,
        "u4" => SampleType::U32,
        "i4" => SampleType::I32,
        "u8" => SampleType::U64,
        "i8" => SampleType::I64,
        "f2" => SampleType::F16,
        "f4" => SampleType::F32,
        "f8" => SampleType::F64,
        _ => {
            return match code.as_bytes().first() {
                Some(b'O') => refuse("Python objects"),
                Some(b'c') => refuse("complex numbers"),
                Some(b'S' | b'U' | b'a') => refuse("text"),
                Some(b'V') => refuse("raw bytes or records"),
                Some(b'M' | b'm') => refuse("dates"),
                _ => refuse("samples of an unknown type"),
            };
        }
    };
    Ok((Stored { sample, endian }, matches!(code, "b1" | "?")))
}

struct Literal<'a> {
    name: &'a str,
    text: &'a [u8],
    at: usize,
}

impl Literal<'_> {
    fn damaged(&self, what: &str) -> SceneError {
        SceneError::malformed(
            self.name,
            format!(
                "{what} at character {} of the header; the header is not a plain NumPy one and is not evaluated",
                self.at
            ),
        )
    }

    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, wanted: u8) -> Result<(), SceneError> {
        if self.peek() != Some(wanted) {
            return Err(self.damaged(&format!("no `{}`", char::from(wanted))));
        }
        self.at += 1;
        Ok(())
    }

    fn skip(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn string(&mut self) -> Result<String, SceneError> {
        let quote = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => quote,
            _ => return Err(self.damaged("no quoted text")),
        };
        let start = self.at + 1;
        let len = self.text[start..].iter().position(|&b| b == quote).ok_or_else(|| self.damaged("an open quote"))?;
        self.at = start + len + 1;
        Ok(String::from_utf8_lossy(&self.text[start..start + len]).into_owned())
    }

    fn word(&mut self) -> &[u8] {
        self.peek();
        let start = self.at;
        while self.text.get(self.at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'-') {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn boolean(&mut self) -> Result<bool, SceneError> {
        match self.word() {
            b"True" => Ok(true),
            b"False" => Ok(false),
            _ => Err(self.damaged("neither True nor False")),
        }
    }

    fn tuple(&mut self) -> Result<Vec<u64>, SceneError> {
        self.expect(b'(')?;
        let mut shape = Vec::new();
        while !self.skip(b')') {
            let word = String::from_utf8_lossy(self.word()).into_owned();
            // Python 2 wrote long integers as 10L.
            let n: i128 = word.trim_end_matches('L').parse().map_err(|_| self.damaged("no whole number"))?;
            let n = u64::try_from(n)
                .map_err(|_| SceneError::malformed(self.name, format!("the shape holds {n}; the file is damaged")))?;
            shape.push(n);
            if shape.len() > DIMENSIONS_MAX {
                return Err(self.damaged("too many dimensions"));
            }
            if !self.skip(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }

    fn dictionary(mut self, data_offset: u64) -> Result<Header, SceneError> {
        let (mut stored, mut fortran_order, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.skip(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            match key.as_str() {
                "descr" if self.peek() == Some(b'[') => {
                    let what = "the array holds records of several fields; save the field that is the cube as an array of its own";
                    return Err(SceneError::unsupported(self.name, what));
                }
                "descr" => stored = Some(sample_type(self.name, &self.string()?)?),
                "fortran_order" => fortran_order = Some(self.boolean()?),
                "shape" => shape = Some(self.tuple()?),
                _ => return Err(self.damaged("an unknown key")),
            }
            if !self.skip(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        match (stored, fortran_order, shape) {
            (Some((stored, boolean)), Some(fortran_order), Some(shape)) => {
                Ok(Header { stored, boolean, fortran_order, shape, data_offset })
            }
            _ => Err(self.damaged("descr, fortran_order or shape is missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Header, SceneError> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        Header::read("x.npy", &mut &bytes[..])
    }

    #[test]
    fn literals_of_every_writer() -> Result<(), SceneError> {
        let header = parse("{'descr': '>f4', 'fortran_order': True, 'shape': (3, 4, 5), }   \n")?;
        assert_eq!(header.stored, Stored { sample: SampleType::F32, endian: Endian::Big });
        assert_eq!((header.fortran_order, header.shape), (true, vec![3, 4, 5]));
        assert_eq!(parse("{\"shape\":(10L,),\"descr\":\"|u1\",\"fortran_order\":False}")?.shape, vec![10]);
        assert_eq!(parse("{'descr': '<i8', 'fortran_order': False, 'shape': ()}")?.shape, Vec::<u64>::new());
        Ok(())
    }

    #[test]
    fn nothing_but_literals() {
        for text in [
            "{'descr': __import__('os').system('x'), 'shape'      ",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (3, 4)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, -4)}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (3, 4)}",
            "{'descr': '<c8', 'fortran_order': False, 'shape': (3, 4)}",
            "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3, 4)}",
            "",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
