//! PyTorch's `.pth` files: a pickle that says what there is, and the numbers of each tensor beside it.

mod legacy;
mod state_dict;
mod zip;

use std::cell::RefCell;

use super::pickle::{Heap, Pickle, Storage, Tensor};
use super::read::{TensorFile, check_values, count, read_run};
use super::{TensorInfo, WeightsError, block};
use crate::scene::{SharedSource, shape_text};

/// Bytes of one tensor that are held at once when it cannot be read in pieces: deflated, or not in row-major order. The
/// largest tensor of ViT-H has 26 MB.
const HELD_MAX: u64 = 256 << 20;

/// A file written by `torch.save`, open.
pub struct TorchFile {
    source: SharedSource,
    format: &'static str,
    tensors: Vec<TensorInfo>,
    /// One a tensor.
    views: Vec<View>,
    archive: Option<zip::Archive>,
    /// The last tensor that could not be read in pieces.
    held: RefCell<Option<(usize, Vec<u8>)>>,
}

/// Where the numbers of a tensor are.
struct View {
    place: Place,
    /// First number within the storage.
    offset: u64,
    strides: Vec<u64>,
    /// Numbers from the first to the last, those between that are not of the tensor included.
    span: u64,
    row_major: bool,
}

/// Where the bytes of a storage are.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// As they are, from this byte of the file on.
    Plain(u64),
    /// In this member of the archive, deflated.
    Deflated(usize),
}

impl TorchFile {
    /// Does a file that starts like this have the format of PyTorch before 1.6?
    pub fn is_legacy(start: &[u8]) -> bool {
        legacy::is_legacy(start)
    }

    /// Opens the zip format (PyTorch 1.6 and later).
    ///
    /// # Errors
    /// [`WeightsError`] when the archive is damaged or hostile, or holds no state dict.
    pub fn open_zip(source: SharedSource) -> Result<Self, WeightsError> {
        let (archive, pickle) = zip::Archive::open(&source)?;
        let mut file = Self::new(source, "PyTorch (zip)", &pickle, |storage, bytes| archive.place(storage, bytes))?;
        file.archive = Some(archive);
        Ok(file)
    }

    /// Opens the format of PyTorch before 1.6.
    ///
    /// # Errors
    /// [`WeightsError`] when the file is damaged or hostile, or holds no state dict.
    pub fn open_legacy(source: SharedSource) -> Result<Self, WeightsError> {
        let (places, pickle) = legacy::open(&source)?;
        let name = source.name().to_owned();
        Self::new(source, "PyTorch (legacy)", &pickle, |storage, bytes| match places.get(&storage.key) {
            Some(&(start, stored)) if stored == bytes => Ok(Place::Plain(start)),
            Some(_) => Err(WeightsError::malformed(&name, format!("the storage {} has two sizes", storage.key))),
            None => Err(WeightsError::malformed(&name, format!("the storage {} is not there", storage.key))),
        })
    }

    /// Lists the tensors of the state dict and checks each against its storage.
    fn new(
        source: SharedSource,
        format: &'static str,
        pickle: &Pickle,
        place: impl Fn(&Storage, u64) -> Result<Place, WeightsError>,
    ) -> Result<Self, WeightsError> {
        let (mut tensors, mut views) = (Vec::new(), Vec::new());
        for (name, tensor) in state_dict::find(source.name(), pickle)? {
            let (info, view) = view(source.name(), name, tensor, &pickle.heap, &place)?;
            tensors.push(info);
            views.push(view);
        }
        Ok(Self { source, format, tensors, views, archive: None, held: RefCell::new(None) })
    }

    /// Calls `use_bytes` with the bytes of the tensor's span.
    fn with_span(&self, index: usize, use_bytes: impl FnOnce(&[u8])) -> Result<(), WeightsError> {
        let (view, tensor) = (&self.views[index], &self.tensors[index]);
        let mut held = self.held.borrow_mut();
        if held.as_ref().is_none_or(|(of, _)| *of != index) {
            *held = None;
            let size = tensor.kind.block_bytes() as u64;
            let (start, len) = (view.offset * size, view.span * size);
            if len > HELD_MAX {
                let what = format!(
                    "{} would take {} MiB at once, because it is compressed or not in row-major order; save it again with tensor.contiguous() and torch.save",
                    tensor.name,
                    len >> 20
                );
                return Err(WeightsError::unsupported(self.name(), what));
            }
            let bytes = match (view.place, &self.archive) {
                (Place::Plain(at), _) => {
                    let mut bytes = vec![0; len as usize];
                    self.source.read_at(at + start, &mut bytes)?;
                    bytes
                }
                (Place::Deflated(member), Some(archive)) => archive.inflate(member, start, len)?,
                (Place::Deflated(_), None) => return Err(WeightsError::malformed(self.name(), "it has no archive")),
            };
            *held = Some((index, bytes));
        }
        if let Some((_, bytes)) = &*held {
            use_bytes(bytes);
        }
        Ok(())
    }
}

impl TensorFile for TorchFile {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn format(&self) -> &'static str {
        self.format
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn read(&self, index: usize, start: usize, out: &mut [f32]) -> Result<(), WeightsError> {
        let (tensor, view) = (&self.tensors[index], &self.views[index]);
        check_values(self.name(), tensor, start, out.len())?;
        let (kind, size) = (tensor.kind, tensor.kind.block_bytes());
        match view.place {
            Place::Plain(at) if view.row_major => {
                read_run(self.source.as_ref(), at + view.offset * size as u64, kind, start, out)
            }
            _ if view.row_major => {
                self.with_span(index, |bytes| block::decode(kind, &bytes[start * size..][..out.len() * size], out))
            }
            _ => self.with_span(index, |bytes| {
                for (i, value) in out.iter_mut().enumerate() {
                    let at = place_of(start + i, &tensor.shape, &view.strides) as usize * size;
                    block::decode(kind, &bytes[at..at + size], std::slice::from_mut(value));
                }
            }),
        }
    }
}

/// Where number `index` (row-major) of a strided tensor lies behind its first.
fn place_of(mut index: usize, shape: &[usize], strides: &[u64]) -> u64 {
    let mut place = 0;
    for (&side, &stride) in shape.iter().zip(strides).rev() {
        place += (index % side) as u64 * stride;
        index /= side;
    }
    place
}

/// A tensor of the pickle, checked against its storage.
fn view(
    file: &str,
    name: String,
    tensor: &Tensor,
    heap: &Heap,
    place: impl Fn(&Storage, u64) -> Result<Place, WeightsError>,
) -> Result<(TensorInfo, View), WeightsError> {
    let damaged = |what: &str| WeightsError::malformed(file, format!("{name} {what}"));
    let Some(storage) = heap.storages.get(tensor.storage as usize) else { return Err(damaged("has no storage")) };
    let Some(kind) = storage.kind else {
        return Err(WeightsError::unsupported(file, format!("{name} holds complex or quantized numbers of PyTorch")));
    };
    let Some(len) = count(&tensor.shape) else { return Err(damaged("is impossibly large")) };
    let outside = || {
        damaged(&format!(
            "has the shape {}, but its storage holds only {} values",
            shape_text(&tensor.shape),
            storage.len
        ))
    };
    let last = tensor
        .shape
        .iter()
        .zip(&tensor.strides)
        .try_fold(0u64, |last, (&side, &stride)| last.checked_add(side.saturating_sub(1).checked_mul(stride)?));
    let span = if len == 0 { Some(0) } else { last.and_then(|last| last.checked_add(1)) };
    let span = span.ok_or_else(outside)?;
    let end = span.checked_add(tensor.offset).ok_or_else(outside)?;
    if end > storage.len {
        return Err(outside());
    }
    // Repeated numbers (expanded tensors) could claim any size; no weight is stored so.
    if len as u64 > span {
        let what = format!("{name} repeats numbers of its storage; save it again with tensor.contiguous()");
        return Err(WeightsError::unsupported(file, what));
    }
    let bytes = kind.bytes(storage.len).ok_or_else(outside)?;
    let place = place(storage, bytes)?;

    // Cannot overflow: `count` has bounded the product of all sides but zeros.
    let mut stride = 1;
    let mut row_major = true;
    for (&side, &given) in tensor.shape.iter().zip(&tensor.strides).rev() {
        row_major &= side <= 1 || given == stride;
        stride *= side.max(1);
    }
    // `count` has seen that every side fits.
    let shape = tensor.shape.iter().map(|&side| side as usize).collect();
    let view = View { place, offset: tensor.offset, strides: tensor.strides.clone(), span, row_major };
    Ok((TensorInfo { name, shape, kind }, view))
}
