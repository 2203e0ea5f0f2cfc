//! Writing GGUF, tensor by tensor.

use std::io::{self, Write};

use super::super::TensorInfo;
use super::value::write_text;
use super::{ALIGNMENT, AXES_MAX, MAGIC, NAME_MAX, VERSION, Value, code};

/// Everything before the tensors, and where they will be: known before anything of them has been read.
#[derive(Debug, Clone)]
pub struct Layout {
    header: Vec<u8>,
    /// Bytes of each tensor, without what fills the gap to the next.
    sizes: Vec<u64>,
}

impl Layout {
    /// # Errors
    /// A sentence for a tensor that GGUF cannot hold: a longer name or more axes than ggml has, rows that do not fill blocks,
    /// a type that it lacks.
    pub fn new(metadata: &[(String, Value)], tensors: &[TensorInfo]) -> Result<Self, String> {
        let mut header = Vec::new();
        header.extend(MAGIC);
        header.extend(VERSION.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            write_text(key, &mut header);
            value.write(&mut header);
        }
        let (mut sizes, mut offset) = (Vec::new(), 0u64);
        for tensor in tensors {
            let TensorInfo { name, shape, kind } = tensor;
            let refuse = |why: &str| Err(format!("{name} cannot be written as GGUF: {why}"));
            if name.len() > NAME_MAX {
                return refuse("its name is too long");
            }
            if !(1..=AXES_MAX).contains(&shape.len()) {
                return refuse("it has no axes, or more than four");
            }
            let whole = shape[shape.len() - 1].is_multiple_of(kind.block_len());
            let (Some(number), Some(bytes), true) = (code(*kind), kind.bytes(tensor.len() as u64), whole) else {
                return refuse("its type does not fit");
            };
            write_text(name, &mut header);
            header.extend((shape.len() as u32).to_le_bytes());
            for &side in shape.iter().rev() {
                header.extend((side as u64).to_le_bytes());
            }
            header.extend(number.to_le_bytes());
            header.extend(offset.to_le_bytes());
            sizes.push(bytes);
            offset += bytes.next_multiple_of(ALIGNMENT);
        }
        header.resize(header.len().next_multiple_of(ALIGNMENT as usize), 0);
        Ok(Self { header, sizes })
    }

    /// Bytes of the whole file.
    pub fn len(&self) -> u64 {
        self.header.len() as u64 + self.sizes.iter().map(|bytes| bytes.next_multiple_of(ALIGNMENT)).sum::<u64>()
    }

    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Bytes before the first tensor.
    pub fn header_len(&self) -> u64 {
        self.header.len() as u64
    }
}

/// Writes the bytes of a [`Layout`] in its order; refuses too many and too few.
#[derive(Debug)]
pub struct Writer {
    layout: Layout,
    /// The tensor that is being written, and how many of its bytes are.
    place: (usize, u64),
    begun: bool,
}

impl Writer {
    pub fn new(layout: Layout) -> Self {
        Self { layout, place: (0, 0), begun: false }
    }

    /// Bytes of the file that have been written.
    pub fn written(&self) -> u64 {
        let (tensor, bytes) = self.place;
        let before: u64 = self.layout.sizes[..tensor].iter().map(|bytes| bytes.next_multiple_of(ALIGNMENT)).sum();
        if self.begun { self.layout.header_len() + before + bytes } else { 0 }
    }

    /// Writes the next bytes of the current tensor; a tensor that is whole is filled up and the next one begins.
    ///
    /// # Errors
    /// The sink's own; `InvalidInput` for more bytes than the tensor has.
    pub fn write(&mut self, bytes: &[u8], sink: &mut dyn Write) -> io::Result<()> {
        if !self.begun {
            sink.write_all(&self.layout.header)?;
            self.begun = true;
        }
        let (tensor, done) = self.place;
        let size = self.layout.sizes.get(tensor).copied().unwrap_or(0);
        let done = done + bytes.len() as u64;
        if done > size {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more bytes than the tensor has"));
        }
        sink.write_all(bytes)?;
        self.place = (tensor, done);
        if done == size {
            let gap = size.next_multiple_of(ALIGNMENT) - size;
            sink.write_all(&[0; ALIGNMENT as usize][..gap as usize])?;
            self.place = (tensor + 1, 0);
        }
        Ok(())
    }

    /// Checks that everything has been written, and flushes.
    ///
    /// # Errors
    /// The sink's own; `InvalidInput` when tensors are missing.
    pub fn finish(self, sink: &mut dyn Write) -> io::Result<()> {
        if self.place != (self.layout.sizes.len(), 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "tensors are missing"));
        }
        sink.flush()
    }
}
