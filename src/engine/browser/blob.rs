//! Files and other blobs as sources.

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, File, FileReaderSync};

use super::describe;
use crate::scene::{Source, SourceError, check_range};

/// A file, read slice by slice. `FileReaderSync` exists only in workers, which is why the engine lives in one.
pub struct BlobSource {
    name: String,
    len: u64,
    blob: Blob,
    reader: FileReaderSync,
}

impl BlobSource {
    /// A file with its own name, or another one for people.
    ///
    /// # Errors
    /// A sentence when it is no file, or this is no worker.
    pub fn new(file: JsValue, name: Option<&str>) -> Result<Self, String> {
        let file: File = file.dyn_into().map_err(|_| "the engine got something that is not a file".to_owned())?;
        let reader = FileReaderSync::new().map_err(|error| describe(&error))?;
        let name = name.map_or_else(|| file.name(), str::to_owned);
        Ok(Self { name, len: file.size() as u64, blob: file.into(), reader })
    }
}

impl Source for BlobSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        check_range(self, offset, buf.len())?;
        let fail = |error: JsValue| SourceError::Read { name: self.name.clone(), reason: describe(&error) };
        // Offsets are below 2^53: a File's size is a JavaScript number.
        let end = offset + buf.len() as u64;
        let slice = self.blob.slice_with_f64_and_f64(offset as f64, end as f64).map_err(fail)?;
        let bytes = Uint8Array::new(&self.reader.read_as_array_buffer(&slice).map_err(fail)?.into());
        if bytes.length() as usize != buf.len() {
            return Err(fail(JsValue::from_str("the file changed while it was read")));
        }
        bytes.copy_to(buf);
        Ok(())
    }
}
