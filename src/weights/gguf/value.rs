//! Values of metadata.

/// A value of metadata. Small types of others are widened when they are read.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    U32(u32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    Text(String),
    U32s(Vec<u32>),
    F64s(Vec<f64>),
    Texts(Vec<String>),
    /// An array of another type; its elements were skipped.
    Other,
}

/// Numbers of the types in the file.
pub(super) mod code {
    pub const U8: u32 = 0;
    pub const I8: u32 = 1;
    pub const U16: u32 = 2;
    pub const I16: u32 = 3;
    pub const U32: u32 = 4;
    pub const I32: u32 = 5;
    pub const F32: u32 = 6;
    pub const BOOL: u32 = 7;
    pub const TEXT: u32 = 8;
    pub const ARRAY: u32 = 9;
    pub const U64: u32 = 10;
    pub const I64: u32 = 11;
    pub const F64: u32 = 12;
}

impl Value {
    /// Appends type and value as the file holds them. What was skipped while reading cannot be written.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let kind = |out: &mut Vec<u8>, kind: u32| out.extend(kind.to_le_bytes());
        let array = |out: &mut Vec<u8>, of: u32, len: usize| {
            kind(out, code::ARRAY);
            kind(out, of);
            out.extend((len as u64).to_le_bytes());
        };
        match self {
            Self::U32(value) => {
                kind(out, code::U32);
                out.extend(value.to_le_bytes());
            }
            Self::U64(value) => {
                kind(out, code::U64);
                out.extend(value.to_le_bytes());
            }
            Self::I64(value) => {
                kind(out, code::I64);
                out.extend(value.to_le_bytes());
            }
            Self::F32(value) => {
                kind(out, code::F32);
                out.extend(value.to_le_bytes());
            }
            Self::F64(value) => {
                kind(out, code::F64);
                out.extend(value.to_le_bytes());
            }
            Self::Bool(value) => {
                kind(out, code::BOOL);
                out.push(u8::from(*value));
            }
            Self::Text(text) => {
                kind(out, code::TEXT);
                write_text(text, out);
            }
            Self::U32s(values) => {
                array(out, code::U32, values.len());
                out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            Self::F64s(values) => {
                array(out, code::F64, values.len());
                out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            Self::Texts(texts) => {
                array(out, code::TEXT, texts.len());
                texts.iter().for_each(|text| write_text(text, out));
            }
            Self::Other => array(out, code::U32, 0),
        }
    }

    /// A number that is not negative, of any integer type.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U32(value) => Some(value.into()),
            Self::U64(value) => Some(value),
            Self::I64(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// A fraction of any type.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(value) => Some(value.into()),
            Self::F64(value) => Some(value),
            _ => None,
        }
    }
}

/// A text behind its length in bytes.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
