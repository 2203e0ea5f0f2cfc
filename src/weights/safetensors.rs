//! safetensors files: a JSON header that is read whole, then the numbers.
//!
//! Format: <https://huggingface.co/docs/safetensors>; the header is parsed and checked by the `safetensors` crate.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors};

use super::WeightsError;
use super::description::Description;
use super::read::{TensorFile, check_values, read_run};
use super::tensor::{TensorInfo, TensorType, count};
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
        let mut header = vec![0; data as usize];
        source.read_at(0, &mut header)?;
        let (_, header) = SafeTensors::read_metadata(&header)
            .map_err(|error| WeightsError::malformed(name, format!("its header is broken ({error})")))?;

        let (mut tensors, mut places) = (Vec::new(), Vec::new());
        for key in header.offset_keys() {
            let Some(info) = header.info(&key) else { continue };
            let Some(kind) = tensor_type(info.dtype) else {
                let what = format!("{key} holds numbers of type {:?}, which no weight has", info.dtype);
                return Err(WeightsError::unsupported(name, what));
            };
            let (start, end) = info.data_offsets;
            let sides: Vec<u64> = info.shape.iter().map(|&side| side as u64).collect();
            let bytes = count(&sides).and_then(|count| kind.bytes(count as u64));
            if bytes != Some((end as u64).wrapping_sub(start as u64)) {
                return Err(WeightsError::malformed(name, format!("{key} has other sizes in its shape and its place")));
            }
            if data + end as u64 > source.len() {
                return Err(WeightsError::malformed(name, format!("it is cut short: {key} is not whole")));
            }
            tensors.push(TensorInfo { name: key, shape: info.shape.clone(), kind });
            places.push(data + start as u64);
        }
        let metadata = header.metadata().clone().unwrap_or_default();
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

fn tensor_type(dtype: Dtype) -> Option<TensorType> {
    Some(match dtype {
        Dtype::F32 => TensorType::F32,
        Dtype::F16 => TensorType::F16,
        Dtype::BF16 => TensorType::BF16,
        Dtype::F64 => TensorType::F64,
        Dtype::I64 => TensorType::I64,
        Dtype::I32 => TensorType::I32,
        Dtype::I16 => TensorType::I16,
        Dtype::I8 => TensorType::I8,
        Dtype::U8 => TensorType::U8,
        Dtype::BOOL => TensorType::Bool,
        _ => return None,
    })
}
