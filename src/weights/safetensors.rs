//! safetensors files: a JSON header that is read whole, then the numbers.
//!
//! Format: <https://huggingface.co/docs/safetensors>. Parsed here, because the usual crate needs the whole file in memory.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::description::Description;
use super::read::{TensorFile, check_values, count, read_run};
use super::{TensorInfo, TensorType, WeightsError};
use crate::scene::SharedSource;

/// The header of a complete ViT-H has 0.2 MB, a model saved here up to 1 MB more.
const HEADER_MAX: u64 = 8 << 20;

/// The key of our own description, written by models saved here.
const KEY: &str = "sigmascope";

/// A safetensors file, open.
pub struct SafetensorsFile {
    source: SharedSource,
    tensors: Vec<TensorInfo>,
    /// Byte of the file at which each tensor starts.
    places: Vec<u64>,
    metadata: HashMap<String, String>,
}

impl SafetensorsFile {
    /// # Errors
    /// [`WeightsError`] when the header is damaged, contradicts the file, or names types of numbers that no weight has.
    pub fn open(source: SharedSource) -> Result<Self, WeightsError> {
        let name = source.name();
        let mut len = [0; 8];
        source.read_at(0, &mut len)?;
        let len = u64::from_le_bytes(len);
        if len > HEADER_MAX {
            return Err(WeightsError::malformed(name, format!("a header of {len} bytes is none")));
        }
        let data = 8 + len;
        if data > source.len() {
            return Err(WeightsError::malformed(name, "its header is cut short"));
        }
        let mut header = vec![0; len as usize];
        source.read_at(8, &mut header)?;
        let Header { metadata, tensors: mut entries } = serde_json::from_slice(&header)
            .map_err(|error| WeightsError::malformed(name, format!("its header is broken ({error})")))?;
        drop(header);
        entries.sort_by_key(|(_, entry)| entry.data_offsets);

        let (mut tensors, mut places, mut end) = (Vec::new(), Vec::new(), 0);
        for (key, Entry { dtype, shape, data_offsets }) in entries {
            let Some(kind) = tensor_type(&dtype) else {
                let what = format!("{key} holds numbers of type {dtype}, which no weight has");
                return Err(WeightsError::unsupported(name, what));
            };
            // Numbers follow one another without gaps, so that nothing is read twice and nothing hides.
            let bytes = count(&shape).and_then(|count| kind.bytes(count as u64));
            if data_offsets[0] != end || bytes.and_then(|bytes| bytes.checked_add(end)) != Some(data_offsets[1]) {
                return Err(WeightsError::malformed(name, format!("{key} has other sizes in its shape and its place")));
            }
            places.push(data + end);
            end = data_offsets[1];
            // `count` has seen that every side fits.
            let shape = shape.into_iter().map(|side| side as usize).collect();
            tensors.push(TensorInfo { name: key, shape, kind });
        }
        if data.checked_add(end) != Some(source.len()) {
            let what = format!("its header lists {end} bytes of numbers, but it has {}", source.len() - data);
            return Err(WeightsError::malformed(name, what));
        }
        Ok(Self { source, tensors, places, metadata })
    }
}

impl TensorFile for SafetensorsFile {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn format(&self) -> &'static str {
        "safetensors"
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn description(&self) -> Result<Option<Description>, WeightsError> {
        self.metadata.get(KEY).map(|json| Description::from_model_file(self.name(), json)).transpose()
    }

    fn read(&self, index: usize, start: usize, out: &mut [f32]) -> Result<(), WeightsError> {
        let tensor = &self.tensors[index];
        check_values(self.name(), tensor, start, out.len())?;
        read_run(self.source.as_ref(), self.places[index], tensor.kind, start, out)
    }
}

/// The header, in the order of the file.
#[derive(Default)]
struct Header {
    metadata: HashMap<String, String>,
    tensors: Vec<(String, Entry)>,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// Reads entry by entry: a generic JSON tree would take many times the header's size.
impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                let mut names = std::collections::HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("{name} is listed twice")));
                    }
                    if name == "__metadata__" {
                        header.metadata = map.next_value()?;
                    } else {
                        header.tensors.push((name, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

fn tensor_type(dtype: &str) -> Option<TensorType> {
    Some(match dtype {
        "F32" => TensorType::F32,
        "F16" => TensorType::F16,
        "BF16" => TensorType::BF16,
        "F64" => TensorType::F64,
        "I64" => TensorType::I64,
        "I32" => TensorType::I32,
        "I16" => TensorType::I16,
        "I8" => TensorType::I8,
        "U8" => TensorType::U8,
        "BOOL" => TensorType::Bool,
        _ => return None,
    })
}
