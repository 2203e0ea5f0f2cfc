//! Reading GGUF.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Seek};

use super::super::description::Description;
use super::super::read::{TensorFile, check_values, count, read_run};
use super::super::{TensorInfo, TensorType, WeightsError};
use super::value::code;
use super::{ALIGNMENT, ARCHITECTURE, AXES_MAX, MAGIC, VERSION, Value, tensor_type};
use crate::scene::SharedSource;
use crate::scene::inflate::SourceReader;

/// Everything before the tensors. Ours has less than 1 MB.
const HEADER_MAX: u64 = 4 << 20;
/// Pairs of metadata, tensors. ViT-H has 920 tensors.
const ENTRIES_MAX: u64 = 1 << 16;
const TEXT_MAX: u64 = 1 << 20;

/// A GGUF file, open.
pub struct GgufFile {
    source: SharedSource,
    metadata: BTreeMap<String, Value>,
    tensors: Vec<TensorInfo>,
    /// Byte of the file at which each tensor starts.
    places: Vec<u64>,
}

impl GgufFile {
    /// # Errors
    /// [`WeightsError`] when the file is damaged, cut short, or of another version.
    pub fn open(source: SharedSource) -> Result<Self, WeightsError> {
        let mut stream = SourceReader::whole(source.clone());
        let mut header = Header { name: source.name(), stream: Read::take(&mut stream, HEADER_MAX) };
        if header.bytes()? != MAGIC {
            return Err(header.damaged("it is no GGUF file"));
        }
        match u32::from_le_bytes(header.bytes()?) {
            VERSION => {}
            0x0300_0000 => return Err(WeightsError::unsupported(header.name, "its numbers are big-endian")),
            other => return Err(WeightsError::unsupported(header.name, format!("GGUF version {other} is not known"))),
        }
        let (tensor_count, pair_count) = (header.count("tensors")?, header.count("pairs of metadata")?);
        let mut metadata = BTreeMap::new();
        for _ in 0..pair_count {
            let key = header.text()?;
            let value = header.value(&key)?;
            if let ("general.architecture", Value::Text(found)) = (key.as_str(), &value)
                && found != ARCHITECTURE
            {
                let (name, found) = (source.name().to_owned(), format!("a GGUF file of the architecture {found}"));
                return Err(WeightsError::Format { name, found });
            }
            metadata.insert(key, value);
        }
        let alignment = match metadata.get("general.alignment") {
            None => ALIGNMENT,
            Some(value) => match value.as_u64() {
                Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 16 => alignment,
                _ => return Err(header.damaged("its alignment is none")),
            },
        };
        let (mut tensors, mut offsets) = (Vec::new(), Vec::new());
        for _ in 0..tensor_count {
            let (tensor, offset) = header.tensor()?;
            tensors.push(tensor);
            offsets.push(offset);
        }
        let name = source.name();
        let at = stream.stream_position().map_err(|error| WeightsError::stream(name, "its header", &error))?;
        let data = at.next_multiple_of(alignment);
        let damaged = |what: String| Err(WeightsError::malformed(name, what));
        let (mut places, mut names) = (Vec::new(), HashSet::new());
        for (tensor, offset) in tensors.iter().zip(offsets) {
            if !names.insert(&tensor.name) {
                return damaged(format!("it holds {} twice", tensor.name));
            }
            if !offset.is_multiple_of(alignment) {
                return damaged(format!("{} does not start at a multiple of {alignment} bytes", tensor.name));
            }
            let Some(bytes) = row_bytes(tensor) else {
                return damaged(format!("rows of {} do not fill blocks of {}", tensor.name, tensor.kind.name()));
            };
            let place = data.checked_add(offset);
            match place.and_then(|place| place.checked_add(bytes)) {
                Some(end) if end <= source.len() => places.push(data + offset),
                _ => return damaged(format!("it is cut short: {} is not whole", tensor.name)),
            }
        }
        Ok(Self { source, metadata, tensors, places })
    }

    /// All pairs of metadata.
    pub fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }

    /// The bytes of a tensor as they are stored, from byte `start` of it on: what a GPU takes.
    ///
    /// # Errors
    /// [`WeightsError`] when the medium fails or the range lies outside the tensor.
    pub fn read_bytes(&self, index: usize, start: u64, out: &mut [u8]) -> Result<(), WeightsError> {
        let tensor = &self.tensors[index];
        let end = start.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > row_bytes(tensor).unwrap_or(0)) {
            return Err(WeightsError::malformed(self.name(), format!("{} has fewer bytes", tensor.name)));
        }
        Ok(self.source.read_at(self.places[index] + start, out)?)
    }
}

/// Bytes of a tensor; `None` if its rows do not fill blocks.
fn row_bytes(tensor: &TensorInfo) -> Option<u64> {
    let row = tensor.shape.last().copied().unwrap_or(1);
    row.is_multiple_of(tensor.kind.block_len()).then(|| tensor.kind.bytes(tensor.len() as u64)).flatten()
}

impl TensorFile for GgufFile {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn format(&self) -> &'static str {
        "GGUF"
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn description(&self) -> Result<Option<Description>, WeightsError> {
        Description::from_metadata(self.name(), &self.metadata).map(Some)
    }

    fn read(&self, index: usize, start: usize, out: &mut [f32]) -> Result<(), WeightsError> {
        let tensor = &self.tensors[index];
        check_values(self.name(), tensor, start, out.len())?;
        read_run(self.source.as_ref(), self.places[index], tensor.kind, start, out)
    }

    fn stored(&self, index: usize) -> Result<Option<Vec<u8>>, WeightsError> {
        // Opening the file has compared the shape with what is there.
        let mut bytes = vec![0; row_bytes(&self.tensors[index]).unwrap_or(0) as usize];
        self.read_bytes(index, 0, &mut bytes)?;
        Ok(Some(bytes))
    }
}

/// The part before the tensors, read once from front to back.
struct Header<'a> {
    name: &'a str,
    stream: std::io::Take<&'a mut SourceReader>,
}

impl Header<'_> {
    fn damaged(&self, what: &str) -> WeightsError {
        WeightsError::malformed(self.name, what)
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), WeightsError> {
        if out.len() as u64 > self.stream.limit() {
            return Err(self.damaged(&format!("its header is longer than {HEADER_MAX} bytes")));
        }
        self.stream.read_exact(out).map_err(|error| WeightsError::stream(self.name, "its header", &error))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], WeightsError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, WeightsError> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, WeightsError> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn count(&mut self, what: &str) -> Result<u64, WeightsError> {
        let count = self.u64()?;
        if count > ENTRIES_MAX {
            return Err(self.damaged(&format!("it says it has {count} {what}")));
        }
        Ok(count)
    }

    fn text(&mut self) -> Result<String, WeightsError> {
        let len = self.u64()?;
        if len > TEXT_MAX.min(self.stream.limit()) {
            return Err(self.damaged(&format!("it says a text has {len} bytes")));
        }
        let mut bytes = Vec::new();
        // Reading grows with what is there, not with what is said.
        let read = (&mut self.stream).take(len).read_to_end(&mut bytes);
        read.map_err(|error| WeightsError::stream(self.name, "its header", &error))?;
        if bytes.len() as u64 != len {
            return Err(self.damaged("its header ends too early"));
        }
        String::from_utf8(bytes).map_err(|_| self.damaged("a text of its header is not UTF-8"))
    }

    fn value(&mut self, key: &str) -> Result<Value, WeightsError> {
        let kind = self.u32()?;
        if kind != code::ARRAY {
            return self.scalar(key, kind);
        }
        let (kind, len) = (self.u32()?, self.u64()?);
        if len > self.stream.limit() {
            return Err(self.damaged(&format!("it says {key} has {len} elements")));
        }
        match kind {
            code::U32 | code::I32 => {
                let mut values = Vec::new();
                for _ in 0..len {
                    values.push(self.u32()?);
                }
                Ok(Value::U32s(values))
            }
            code::F64 => {
                let mut values = Vec::new();
                for _ in 0..len {
                    values.push(f64::from_le_bytes(self.bytes()?));
                }
                Ok(Value::F64s(values))
            }
            code::TEXT => {
                let mut texts = Vec::new();
                for _ in 0..len {
                    texts.push(self.text()?);
                }
                Ok(Value::Texts(texts))
            }
            code::ARRAY => Err(WeightsError::unsupported(self.name, format!("{key} is an array of arrays"))),
            other => {
                for _ in 0..len {
                    self.scalar(key, other)?;
                }
                Ok(Value::Other)
            }
        }
    }

    fn scalar(&mut self, key: &str, kind: u32) -> Result<Value, WeightsError> {
        Ok(match kind {
            code::U8 => Value::U32(self.bytes::<1>()?[0].into()),
            code::I8 => Value::I64(self.bytes::<1>()?[0].cast_signed().into()),
            code::U16 => Value::U32(u16::from_le_bytes(self.bytes()?).into()),
            code::I16 => Value::I64(i16::from_le_bytes(self.bytes()?).into()),
            code::U32 => Value::U32(self.u32()?),
            code::I32 => Value::I64(i32::from_le_bytes(self.bytes()?).into()),
            code::F32 => Value::F32(f32::from_le_bytes(self.bytes()?)),
            code::BOOL => Value::Bool(self.bytes::<1>()?[0] != 0),
            code::TEXT => Value::Text(self.text()?),
            code::U64 => Value::U64(self.u64()?),
            code::I64 => Value::I64(i64::from_le_bytes(self.bytes()?)),
            code::F64 => Value::F64(f64::from_le_bytes(self.bytes()?)),
            other => return Err(self.damaged(&format!("{key} is of the unknown type {other}"))),
        })
    }

    /// An entry of the list of tensors, and its offset behind the header.
    fn tensor(&mut self) -> Result<(TensorInfo, u64), WeightsError> {
        let name = self.text()?;
        let axes = self.u32()?;
        if axes as usize > AXES_MAX {
            return Err(self.damaged(&format!("{name} has {axes} axes")));
        }
        let mut sides = Vec::new();
        for _ in 0..axes {
            sides.push(self.u64()?);
        }
        sides.reverse();
        if count(&sides).is_none() {
            return Err(self.damaged(&format!("{name} is impossibly large")));
        }
        let number = self.u32()?;
        let Some(kind): Option<TensorType> = tensor_type(number) else {
            return Err(WeightsError::unsupported(
                self.name,
                format!("{name} is stored in ggml's type {number}; f32, f16, bf16, q8_0 and q4_0 are read"),
            ));
        };
        let offset = self.u64()?;
        // `count` has seen that every side fits.
        let shape = sides.into_iter().map(|side| side as usize).collect();
        Ok((TensorInfo { name, shape, kind }, offset))
    }
}
