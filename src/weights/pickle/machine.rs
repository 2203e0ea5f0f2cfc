//! What the opcodes work on.

use std::collections::HashMap;
use std::io::Read;

use super::value::{Class, Heap, Storage, Tensor, Value};
use crate::weights::WeightsError;

/// Bytes of one pickle. That of ViT-H with its optimizer has about 300 KB.
const BYTES_MAX: u64 = 16 << 20;
/// Values that are ever put on the stack. A tensor needs about 30, ViT-H with its optimizer 60 000 in all.
const PUSHES_MAX: usize = 1 << 19;
/// A name, a path.
const TEXT_MAX: u64 = 64 << 10;
/// Axes of a tensor.
const AXES_MAX: usize = 8;
/// Bytes of a storage's key: a small number, or an address in decimal.
const KEY_MAX: usize = 64;

/// The stack, the memo and what has been built.
pub(super) struct Machine<'a> {
    name: &'a str,
    stream: std::io::Take<&'a mut dyn Read>,
    pushes: usize,
    stack: Vec<Value>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    pub heap: Heap,
}

impl<'a> Machine<'a> {
    pub fn new(name: &'a str, stream: &'a mut dyn Read) -> Self {
        Self {
            name,
            stream: stream.take(BYTES_MAX),
            pushes: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            heap: Heap::default(),
        }
    }

    pub fn damaged(&self, what: &str) -> WeightsError {
        let at = BYTES_MAX - self.stream.limit();
        WeightsError::malformed(self.name, format!("its pickle holds {what} before byte {at}"))
    }

    pub fn unsupported(&self, what: String) -> WeightsError {
        WeightsError::unsupported(self.name, what)
    }

    // Bytes.

    fn fill(&mut self, out: &mut [u8]) -> Result<(), WeightsError> {
        if (out.len() as u64) > self.stream.limit() {
            return Err(self.unsupported(format!("its pickle is longer than {BYTES_MAX} bytes")));
        }
        self.stream.read_exact(out).map_err(|error| WeightsError::stream(self.name, "its pickle", &error))
    }

    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], WeightsError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn text(&mut self, len: u64) -> Result<String, WeightsError> {
        if len > TEXT_MAX {
            return Err(self.unsupported(format!("its pickle holds a text of {len} bytes")));
        }
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A line of a GLOBAL, without its end.
    pub fn line(&mut self) -> Result<String, WeightsError> {
        let mut line = Vec::new();
        loop {
            match self.bytes()? {
                [b'\n'] => return Ok(String::from_utf8_lossy(&line).into_owned()),
                [byte] if line.len() < 255 => line.push(byte),
                _ => return Err(self.damaged("a global with an endless name")),
            }
        }
    }

    /// A whole number of `len` bytes; those that fill more than 64 bits are no size of anything.
    pub fn long(&mut self, len: u8) -> Result<Value, WeightsError> {
        let mut bytes = vec![0; len.into()];
        self.fill(&mut bytes)?;
        if bytes.len() > 8 {
            return Ok(Value::Opaque);
        }
        let negative = bytes.last().is_some_and(|byte| byte.cast_signed() < 0);
        bytes.resize(8, if negative { 0xff } else { 0 });
        let number = bytes.iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
        Ok(Value::Int(number.cast_signed()))
    }

    // The stack.

    fn count(&mut self) -> Result<(), WeightsError> {
        self.pushes += 1;
        if self.pushes > PUSHES_MAX {
            return Err(self.unsupported(format!("its pickle builds more than {PUSHES_MAX} values")));
        }
        Ok(())
    }

    pub fn mark(&mut self) -> Result<(), WeightsError> {
        self.count()?;
        self.marks.push(self.stack.len());
        Ok(())
    }

    pub fn push(&mut self, value: Value) -> Result<(), WeightsError> {
        self.count()?;
        self.stack.push(value);
        Ok(())
    }

    pub fn push_text(&mut self, len: u64) -> Result<(), WeightsError> {
        let text = self.text(len)?;
        self.heap.texts.push(text);
        self.push(Value::Text(self.heap.texts.len() as u32 - 1))
    }

    pub fn push_bytes(&mut self, len: u64) -> Result<(), WeightsError> {
        self.text(len)?;
        self.push(Value::Opaque)
    }

    pub fn push_list(&mut self, items: Vec<Value>) -> Result<(), WeightsError> {
        self.heap.lists.push(items);
        self.push(Value::List(self.heap.lists.len() as u32 - 1))
    }

    pub fn push_dict(&mut self) -> Result<(), WeightsError> {
        self.heap.dicts.push(Vec::new());
        self.push(Value::Dict(self.heap.dicts.len() as u32 - 1))
    }

    pub fn push_global(&mut self, module: &str, name: &str) -> Result<(), WeightsError> {
        match Class::of(module, name) {
            Some(class) => self.push(Value::Class(class)),
            None => Err(WeightsError::Global { name: self.name.to_owned(), global: format!("{module}.{name}") }),
        }
    }

    /// Values since the last mark stay out of reach of single pops.
    pub fn pop(&mut self) -> Result<Value, WeightsError> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return Err(self.damaged("an opcode without its operand"));
        }
        self.stack.pop().ok_or_else(|| self.damaged("an opcode without its operand"))
    }

    pub fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, WeightsError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() < floor + count {
            return Err(self.damaged("an opcode without its operands"));
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    pub fn pop_mark(&mut self) -> Result<Vec<Value>, WeightsError> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height)),
            None => Err(self.damaged("an opcode without its mark")),
        }
    }

    fn top(&self) -> Result<Value, WeightsError> {
        self.stack.last().copied().ok_or_else(|| self.damaged("an opcode without its operand"))
    }

    pub fn remember(&mut self, index: u32) -> Result<(), WeightsError> {
        self.count()?;
        let value = self.top()?;
        self.memo.insert(index, value);
        Ok(())
    }

    /// MEMOIZE numbers values as they come.
    pub fn remember_next(&mut self) -> Result<(), WeightsError> {
        self.remember(self.memo.len() as u32)
    }

    pub fn recall(&mut self, index: u32) -> Result<(), WeightsError> {
        match self.memo.get(&index) {
            Some(&value) => self.push(value),
            None => Err(self.damaged("a reference to nothing")),
        }
    }

    // Containers and calls.

    pub fn append(&mut self, items: Vec<Value>) -> Result<(), WeightsError> {
        match self.top()? {
            Value::List(index) => self.heap.lists[index as usize].extend(items),
            Value::Opaque => {}
            _ => return Err(self.damaged("an item for what is no list")),
        }
        Ok(())
    }

    pub fn set(&mut self, items: &[Value]) -> Result<(), WeightsError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.damaged("a key without a value"));
        }
        match self.top()? {
            Value::Dict(index) => {
                self.heap.dicts[index as usize].extend(pairs.iter().map(|&[key, value]| (key, value)))
            }
            Value::Opaque => {}
            _ => return Err(self.damaged("an entry for what is no dictionary")),
        }
        Ok(())
    }

    pub fn call(&mut self, class: Value, arguments: Value) -> Result<(), WeightsError> {
        let Value::Class(class) = class else { return Err(self.damaged("a call of what is no class")) };
        let Some(arguments) = self.heap.list(arguments) else { return Err(self.damaged("a call without arguments")) };
        match (class, arguments) {
            (Class::Opaque, _) => self.push(Value::Opaque),
            (Class::OrderedDict, []) => self.push_dict(),
            (Class::Size, &[sides @ Value::List(_)]) => self.push(sides),
            (Class::Parameter, &[tensor @ Value::Tensor(_), ..]) => self.push(tensor),
            (Class::Tensor, &[Value::Storage(storage), Value::Int(offset), shape, strides, ..]) => {
                let (shape, strides) = (self.numbers(shape)?, self.numbers(strides)?);
                let offset = u64::try_from(offset).map_err(|_| self.damaged("a negative offset"))?;
                if shape.len() != strides.len() {
                    return Err(self.damaged("a tensor whose shape and strides differ"));
                }
                self.heap.tensors.push(Tensor { storage, offset, shape, strides });
                self.push(Value::Tensor(self.heap.tensors.len() as u32 - 1))
            }
            _ => Err(self.damaged("a call with arguments that do not fit")),
        }
    }

    /// A tuple of sizes.
    fn numbers(&self, value: Value) -> Result<Vec<u64>, WeightsError> {
        let list = self.heap.list(value).filter(|list| list.len() <= AXES_MAX);
        let number = |value: &Value| match value {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        list.and_then(|list| list.iter().map(number).collect())
            .ok_or_else(|| self.damaged("a tensor whose shape or strides are none"))
    }

    /// `('storage', type, key, device, length[, view])`: what `torch.save` writes for numbers that lie elsewhere.
    pub fn persistent(&mut self, id: Value) -> Result<(), WeightsError> {
        let Some(&[tag, Value::Class(Class::Storage(kind)), key, _, Value::Int(len), ref view @ ..]) =
            self.heap.list(id)
        else {
            return Err(self.damaged("a storage that is none"));
        };
        let (Some("storage"), Some(key), Ok(len)) = (self.heap.text(tag), self.heap.text(key), u64::try_from(len))
        else {
            return Err(self.damaged("a storage that is none"));
        };
        if key.len() > KEY_MAX {
            return Err(self.damaged("a storage with an endless key"));
        }
        if !matches!(view, [] | [Value::None]) {
            let what =
                "it was saved by a very old PyTorch, which stored views of storages; save it again with a newer one";
            return Err(self.unsupported(what.to_owned()));
        }
        let storage = Storage { key: key.to_owned(), kind, len };
        self.heap.storages.push(storage);
        self.push(Value::Storage(self.heap.storages.len() as u32 - 1))
    }
}
