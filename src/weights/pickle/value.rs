//! What a pickle may build: plain values in an arena, so that neither cycles nor nesting matter.

use super::super::TensorType;

/// A value; everything large lies in the [`Heap`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// Index into [`Heap::texts`].
    Text(u32),
    /// A tuple or a list: index into [`Heap::lists`].
    List(u32),
    /// Index into [`Heap::dicts`].
    Dict(u32),
    Class(Class),
    /// Index into [`Heap::storages`].
    Storage(u32),
    /// Index into [`Heap::tensors`].
    Tensor(u32),
    /// Something that checkpoints hold besides tensors and that nobody here needs: fractions, bytes, settings.
    Opaque,
}

/// The globals that may be named. None of them is Python's: each stands for a few lines of this module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Class {
    OrderedDict,
    /// `_rebuild_tensor`, `_rebuild_tensor_v2`: storage, offset, shape, strides, and what autograd wants.
    Tensor,
    /// `_rebuild_parameter`: a tensor, and what autograd wants.
    Parameter,
    /// `torch.Size`: a tuple.
    Size,
    /// The type of a storage; `None` for types that no weight has.
    Storage(Option<TensorType>),
    /// Makes an opaque value of anything.
    Opaque,
}

impl Class {
    /// The class of a global; `None` for all that a state dict does not need.
    pub fn of(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_parameter") => Self::Parameter,
            ("torch", "Size") => Self::Size,
            ("torch", _) if name.ends_with("Storage") => Self::Storage(storage(name)?),
            // Training scripts save their settings and counters beside the weights.
            ("torch", "device" | "float32" | "float16" | "bfloat16" | "float64")
            | ("argparse", "Namespace")
            | ("collections", "defaultdict")
            | ("builtins" | "__builtin__", "set" | "dict" | "list" | "int" | "float")
            | ("pathlib", "PosixPath" | "PurePosixPath" | "WindowsPath" | "PureWindowsPath")
            | ("pathlib._local", "PosixPath" | "PurePosixPath" | "WindowsPath" | "PureWindowsPath")
            | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar")
            | ("numpy", "dtype")
            | ("_codecs", "encode") => Self::Opaque,
            _ => return None,
        })
    }
}

/// The outer `None` for names that torch does not have.
fn storage(name: &str) -> Option<Option<TensorType>> {
    Some(match name {
        "FloatStorage" => Some(TensorType::F32),
        "HalfStorage" => Some(TensorType::F16),
        "BFloat16Storage" => Some(TensorType::BF16),
        "DoubleStorage" => Some(TensorType::F64),
        "LongStorage" => Some(TensorType::I64),
        "IntStorage" => Some(TensorType::I32),
        "ShortStorage" => Some(TensorType::I16),
        "CharStorage" => Some(TensorType::I8),
        "ByteStorage" => Some(TensorType::U8),
        "BoolStorage" => Some(TensorType::Bool),
        "ComplexFloatStorage" | "ComplexDoubleStorage" | "QInt8Storage" | "QUInt8Storage" | "QInt32Storage" => None,
        _ => return None,
    })
}

/// Numbers that lie elsewhere in the file, by their key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    pub key: String,
    /// `None` for types that no weight has.
    pub kind: Option<TensorType>,
    /// Numbers in it, as the pickle says.
    pub len: u64,
}

/// A view of a storage. Nothing of it has been checked but that no number is negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Index into [`Heap::storages`].
    pub storage: u32,
    /// First number.
    pub offset: u64,
    pub shape: Vec<u64>,
    /// Steps along each axis, in numbers.
    pub strides: Vec<u64>,
}

/// Everything that a pickle has built.
#[derive(Debug, Default)]
pub struct Heap {
    pub texts: Vec<String>,
    pub lists: Vec<Vec<Value>>,
    /// In the order of insertion; of equal keys the last counts.
    pub dicts: Vec<Vec<(Value, Value)>>,
    pub storages: Vec<Storage>,
    pub tensors: Vec<Tensor>,
}

impl Heap {
    pub fn text(&self, value: Value) -> Option<&str> {
        match value {
            Value::Text(index) => self.texts.get(index as usize).map(String::as_str),
            _ => None,
        }
    }

    pub fn list(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::List(index) => self.lists.get(index as usize).map(Vec::as_slice),
            _ => None,
        }
    }

    /// Entries of a dictionary whose keys are texts, in order.
    pub fn entries(&self, value: Value) -> impl Iterator<Item = (&str, Value)> {
        let pairs = match value {
            Value::Dict(index) => self.dicts.get(index as usize).map_or(&[][..], Vec::as_slice),
            _ => &[],
        };
        pairs.iter().filter_map(|&(key, value)| Some((self.text(key)?, value)))
    }

    /// An entry of a dictionary.
    pub fn get(&self, dict: Value, key: &str) -> Option<Value> {
        self.entries(dict).filter(|(found, _)| *found == key).last().map(|(_, value)| value)
    }
}
