//! A reader of pickles that hold state dicts, and of nothing else.
//!
//! A pickle is a program for a stack machine that can call any Python function. This machine knows the opcodes that
//! `torch.save` writes, builds plain values, and calls nothing: a global is one of the few of [`Class`], or an error that names
//! it. All that a pickle can make it hold is bounded: bytes, values, texts.
//!
//! Opcodes: `pickletools.py` of CPython, protocols 2 to 5.

mod machine;
mod value;

use std::io::Read;

pub use value::{Heap, Storage, Tensor, Value};

use machine::Machine;

use super::WeightsError;

/// What a pickle has built.
#[derive(Debug)]
pub struct Pickle {
    pub root: Value,
    pub heap: Heap,
}

impl Pickle {
    /// Reads one pickle from a stream, up to and including its last byte.
    ///
    /// # Errors
    /// [`WeightsError::Global`] for a global that is not in the list; [`WeightsError::Malformed`] or
    /// [`WeightsError::Unsupported`] for all else that no state dict holds.
    pub fn read(name: &str, stream: &mut dyn Read) -> Result<Self, WeightsError> {
        let mut machine = Machine::new(name, stream);
        let root = machine.run()?;
        Ok(Self { root, heap: machine.heap })
    }
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Value, WeightsError> {
        loop {
            let [opcode] = self.bytes()?;
            match opcode {
                // PROTO, FRAME: nothing to do for them.
                0x80 => {
                    let [version] = self.bytes()?;
                    if !(2..=5).contains(&version) {
                        return Err(self.unsupported(format!("its pickle has protocol {version}")));
                    }
                }
                0x95 => drop(self.bytes::<8>()?),
                b'.' => return self.pop(),
                b'(' => self.mark()?,

                b'N' => self.push(Value::None)?,
                0x88 => self.push(Value::Bool(true))?,
                0x89 => self.push(Value::Bool(false))?,
                b'J' => {
                    let number = i32::from_le_bytes(self.bytes()?);
                    self.push(Value::Int(number.into()))?;
                }
                b'K' => {
                    let [number] = self.bytes()?;
                    self.push(Value::Int(number.into()))?;
                }
                b'M' => {
                    let number = u16::from_le_bytes(self.bytes()?);
                    self.push(Value::Int(number.into()))?;
                }
                // LONG1
                0x8a => {
                    let [len] = self.bytes()?;
                    let value = self.long(len)?;
                    self.push(value)?;
                }
                b'G' => {
                    self.bytes::<8>()?;
                    self.push(Value::Opaque)?;
                }

                // Texts: BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, and Python 2's BINSTRING, SHORT_BINSTRING.
                b'X' | b'T' => {
                    let len = u32::from_le_bytes(self.bytes()?);
                    self.push_text(len.into())?;
                }
                0x8c | b'U' => {
                    let [len] = self.bytes()?;
                    self.push_text(len.into())?;
                }
                0x8d => {
                    let len = u64::from_le_bytes(self.bytes()?);
                    self.push_text(len)?;
                }
                // Bytes: BINBYTES, SHORT_BINBYTES.
                b'B' => {
                    let len = u32::from_le_bytes(self.bytes()?);
                    self.push_bytes(len.into())?;
                }
                b'C' => {
                    let [len] = self.bytes()?;
                    self.push_bytes(len.into())?;
                }

                b')' => self.push_list(Vec::new())?,
                b't' => {
                    let items = self.pop_mark()?;
                    self.push_list(items)?;
                }
                0x85..=0x87 => {
                    let items = self.pop_many(usize::from(opcode - 0x84))?;
                    self.push_list(items)?;
                }
                b']' => self.push_list(Vec::new())?,
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.append(items)?;
                }
                b'}' => self.push_dict()?,
                b's' => {
                    let items = self.pop_many(2)?;
                    self.set(&items)?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set(&items)?;
                }
                // EMPTY_SET, ADDITEMS
                0x8f => self.push(Value::Opaque)?,
                0x90 => drop(self.pop_mark()?),

                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push_global(&module, &name)?;
                }
                // STACK_GLOBAL
                0x93 => {
                    let names = self.pop_many(2)?;
                    let text = |value| self.heap.text(value).map(str::to_owned);
                    match (text(names[0]), text(names[1])) {
                        (Some(module), Some(name)) => self.push_global(&module, &name)?,
                        _ => return Err(self.damaged("a global without a name")),
                    }
                }
                // REDUCE, NEWOBJ
                b'R' | 0x81 => {
                    let call = self.pop_many(2)?;
                    self.call(call[0], call[1])?;
                }
                // BUILD: attributes; nobody here needs those of anything.
                b'b' => drop(self.pop()?),
                b'Q' => {
                    let id = self.pop()?;
                    self.persistent(id)?;
                }

                b'q' => {
                    let [index] = self.bytes()?;
                    self.remember(index.into())?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.bytes()?);
                    self.remember(index)?;
                }
                // MEMOIZE
                0x94 => self.remember_next()?,
                b'h' => {
                    let [index] = self.bytes()?;
                    self.recall(index.into())?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.bytes()?);
                    self.recall(index)?;
                }
                other => {
                    return Err(self.unsupported(format!(
                        "its pickle uses the opcode 0x{other:02x}, which no state dict needs; save model.state_dict() with torch.save"
                    )));
                }
            }
        }
    }
}
