//! The format of PyTorch before 1.6: five pickles one after another (a magic number, a version, the byte order, the object,
//! the keys of its storages), then the storages in the order of their keys, each behind its length.

use std::collections::HashMap;
use std::io::Seek;

use super::super::TensorType;
use super::super::pickle::{Pickle, Value};
use super::WeightsError;
use crate::scene::SharedSource;
use crate::scene::inflate::SourceReader;

/// 0x1950a86a20f9469cfc6c, little-endian, as the pickle holds it.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const VERSION: i64 = 1001;

/// The magic number stands right behind the opcodes of the first pickle, whatever its protocol.
pub fn is_legacy(start: &[u8]) -> bool {
    start.first() == Some(&0x80) && start.windows(MAGIC.len()).any(|window| window == MAGIC)
}

/// Byte at which each storage starts, and its bytes.
pub type Places = HashMap<String, (u64, u64)>;

/// Reads the pickles; gives the object and the places of its storages.
pub fn open(source: &SharedSource) -> Result<(Places, Pickle), WeightsError> {
    let name = source.name();
    let mut stream = SourceReader::whole(source.clone());
    Pickle::read(name, &mut stream)?;
    let version = Pickle::read(name, &mut stream)?;
    if version.root != Value::Int(VERSION) {
        return Err(WeightsError::unsupported(name, "its version of the legacy format is not known"));
    }
    let system = Pickle::read(name, &mut stream)?;
    if system.heap.get(system.root, "little_endian") == Some(Value::Bool(false)) {
        return Err(WeightsError::unsupported(name, "its numbers are big-endian"));
    }
    let object = Pickle::read(name, &mut stream)?;
    let keys = Pickle::read(name, &mut stream)?;
    let at = stream.stream_position().map_err(|error| WeightsError::stream(name, "its pickle", &error))?;
    Ok((places(source, at, &keys, &object)?, object))
}

/// Walks over the storages, which say their own lengths.
fn places(source: &SharedSource, mut at: u64, keys: &Pickle, object: &Pickle) -> Result<Places, WeightsError> {
    let name = source.name();
    let damaged = |what: String| WeightsError::malformed(name, what);
    let known: HashMap<&str, (Option<TensorType>, u64)> =
        object.heap.storages.iter().map(|storage| (storage.key.as_str(), (storage.kind, storage.len))).collect();
    let keys = keys.heap.list(keys.root).map(|list| list.iter().map(|&key| keys.heap.text(key)));
    let Some(keys) = keys else { return Err(damaged("it does not list its storages".to_owned())) };
    let mut places = HashMap::new();
    for key in keys {
        let known = key.and_then(|key| Some((key, known.get(key)?)));
        let Some((key, &(kind, len))) = known else {
            return Err(damaged("it lists a storage of no tensor".to_owned()));
        };
        let Some(kind) = kind else {
            return Err(WeightsError::unsupported(name, "it holds complex or quantized numbers of PyTorch"));
        };
        let mut stored = [0; 8];
        source.read_at(at, &mut stored)?;
        let stored = u64::from_le_bytes(stored);
        if stored != len {
            return Err(damaged(format!("the storage {key} should hold {len} values, but says {stored}")));
        }
        let start = at + 8;
        let bytes = kind.bytes(len).filter(|&bytes| start.checked_add(bytes).is_some_and(|end| end <= source.len()));
        let Some(bytes) = bytes else {
            return Err(damaged(format!("it is cut short: the storage {key} of {len} values is not whole")));
        };
        places.insert(key.to_owned(), (start, bytes));
        at = start + bytes;
    }
    Ok(places)
}
