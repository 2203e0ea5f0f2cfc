//! The origin's private file system as a [`Store`]: a folder that only this page sees, and the browser counts.
//!
//! Writing goes through synchronous access handles, which workers have: bytes go from WebAssembly's memory to the file without
//! a copy in between, and nobody else can open or remove the file meanwhile. Reading goes through `File`, which several tabs
//! can do at once. Interfaces that web-sys lacks or hides are declared here.

use std::rc::Rc;

use js_sys::{Array, AsyncIterator, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::{BlobSource, describe, get};
use crate::scene::SharedSource;
use crate::shelf::{Local, Quota, Store, StoreError, StoreFile, StoredFile};

#[wasm_bindgen]
extern "C" {
    #[derive(Clone)]
    type Directory;
    #[wasm_bindgen(method, catch, js_name = getDirectoryHandle)]
    fn directory(this: &Directory, name: &str, options: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getFileHandle)]
    fn file(this: &Directory, name: &str, options: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = removeEntry)]
    fn remove_entry(this: &Directory, name: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn entries(this: &Directory) -> Result<AsyncIterator, JsValue>;

    type FileHandle;
    #[wasm_bindgen(method, catch, js_name = getFile)]
    fn contents(this: &FileHandle) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = createSyncAccessHandle)]
    fn access(this: &FileHandle) -> Result<Promise, JsValue>;

    type Access;
    #[wasm_bindgen(method, catch)]
    fn write(this: &Access, bytes: &[u8], options: &JsValue) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn read(this: &Access, bytes: &mut [u8], options: &JsValue) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn truncate(this: &Access, len: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = getSize)]
    fn size(this: &Access) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn flush(this: &Access) -> Result<(), JsValue>;
    #[wasm_bindgen(method)]
    fn close(this: &Access);
}

/// A folder of the origin's private file system.
pub struct PrivateFolder(Directory);

impl PrivateFolder {
    /// Opens a folder, making it if it is not there.
    ///
    /// # Errors
    /// A sentence for people when this browser has no such thing, or not in this mode.
    pub async fn open(name: &str) -> Result<Self, String> {
        let none = "this browser keeps no files for this page (a private window, or an old browser); weights stay in memory until the page is reloaded";
        let storage = storage().ok_or(none)?;
        let root = call(&storage, "getDirectory").ok_or(none)?;
        let root: Directory = JsFuture::from(root).await.map_err(|_| none)?.unchecked_into();
        let folder = root.directory(name, &creating()).map_err(|_| none)?;
        let folder: Directory = JsFuture::from(folder).await.map_err(|_| none)?.unchecked_into();
        // Some browsers have the folder but no way to write it from a worker: better to know now.
        let probe = Self(folder);
        let written = probe.handle(PROBE).await.map(|file| file.write_at(0, &[1]));
        let _ = probe.remove_file(PROBE).await;
        match written {
            // Full, or probed by another tab at this moment: it is there.
            Ok(Ok(()) | Err(StoreError::Full)) | Err(StoreError::Full | StoreError::Busy { .. }) => Ok(probe),
            _ => Err(none.to_owned()),
        }
    }

    async fn handle(&self, name: &str) -> Result<PrivateFile, StoreError> {
        let failed = |error: JsValue| failure(&error, name);
        let file: FileHandle =
            JsFuture::from(self.0.file(name, &creating()).map_err(failed)?).await.map_err(failed)?.unchecked_into();
        let access = JsFuture::from(file.access().map_err(failed)?).await.map_err(failed)?;
        Ok(PrivateFile { name: name.to_owned(), access: access.unchecked_into() })
    }

    async fn remove_file(&self, name: &str) -> Result<(), StoreError> {
        let failed = |error: JsValue| failure(&error, name);
        match JsFuture::from(self.0.remove_entry(name).map_err(failed)?).await {
            Ok(_) => Ok(()),
            Err(error) => match failed(error) {
                StoreError::Missing { .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    async fn blob(&self, name: &str) -> Result<JsValue, StoreError> {
        let failed = |error: JsValue| failure(&error, name);
        let file: FileHandle = JsFuture::from(self.0.file(name, &JsValue::UNDEFINED).map_err(failed)?)
            .await
            .map_err(failed)?
            .unchecked_into();
        JsFuture::from(file.contents().map_err(failed)?).await.map_err(failed)
    }

    async fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = |error: JsValue| failure(&error, "the folder of weights");
        let entries = self.0.entries().map_err(failed)?;
        let mut names = Vec::new();
        loop {
            let next = JsFuture::from(entries.next().map_err(failed)?).await.map_err(failed)?;
            if get(&next, "done").is_none_or(|done| done.is_truthy()) {
                return Ok(names);
            }
            let pair: Array = get(&next, "value").unwrap_or_default().unchecked_into();
            names.extend(pair.get(0).as_string());
        }
    }
}

const PROBE: &str = "probe";

impl Store for PrivateFolder {
    fn list(&self) -> Local<'_, Result<Vec<StoredFile>, StoreError>> {
        Box::pin(async {
            let mut files = Vec::new();
            for name in self.names().await? {
                // One that another tab has just removed is no file of ours.
                let Ok(blob) = self.blob(&name).await else { continue };
                let bytes = get(&blob, "size").and_then(|size| size.as_f64()).unwrap_or(0.0) as u64;
                files.push(StoredFile { name, bytes });
            }
            Ok(files)
        })
    }

    fn write<'a>(&'a self, name: &'a str) -> Local<'a, Result<Rc<dyn StoreFile>, StoreError>> {
        Box::pin(async move { Ok(Rc::new(self.handle(name).await?) as Rc<dyn StoreFile>) })
    }

    fn read<'a>(&'a self, name: &'a str, title: &'a str) -> Local<'a, Result<SharedSource, StoreError>> {
        Box::pin(async move {
            let blob = self.blob(name).await?;
            let source = BlobSource::new(blob, Some(title)).map_err(|reason| StoreError::Failed { reason })?;
            Ok(Rc::new(source) as SharedSource)
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> Local<'a, Result<(), StoreError>> {
        Box::pin(self.remove_file(name))
    }

    fn quota(&self) -> Local<'_, Option<Quota>> {
        Box::pin(async {
            let estimate = JsFuture::from(call(&storage()?, "estimate")?).await.ok()?;
            let number = |key| get(&estimate, key).and_then(|value| value.as_f64()).map(|value| value as u64);
            Some(Quota { used_bytes: number("usage")?, total_bytes: number("quota")? })
        })
    }
}

/// A file that only this handle writes until it is dropped.
struct PrivateFile {
    name: String,
    access: Access,
}

impl PrivateFile {
    fn failed(&self, error: &JsValue) -> StoreError {
        failure(error, &self.name)
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        self.access.close();
    }
}

impl StoreFile for PrivateFile {
    fn len(&self) -> Result<u64, StoreError> {
        Ok(self.access.size().map_err(|error| self.failed(&error))? as u64)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let mut done = 0;
        while done < bytes.len() {
            let written = self.access.write(&bytes[done..], &at(offset + done as u64));
            let count = written.map_err(|error| self.failed(&error))? as usize;
            // Browsers that do not throw write less; Chromium 156 even answers with 2^32 − 8, its code for a full disk.
            if count == 0 || count > bytes.len() - done {
                return Err(StoreError::Full);
            }
            done += count;
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        let count = self.access.read(out, &at(offset)).map_err(|error| self.failed(&error))? as usize;
        if count == out.len() { Ok(()) } else { Err(StoreError::Failed { reason: "a file is too short".to_owned() }) }
    }

    fn truncate(&self, len: u64) -> Result<(), StoreError> {
        self.access.truncate(len as f64).map_err(|error| self.failed(&error))
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.access.flush().map_err(|error| self.failed(&error))
    }
}

fn storage() -> Option<JsValue> {
    get(&get(&js_sys::global(), "navigator")?, "storage")
}

/// A promise of an object's method without arguments.
fn call(object: &JsValue, method: &str) -> Option<Promise> {
    let method: js_sys::Function = get(object, method)?.dyn_into().ok()?;
    method.call0(object).ok()?.dyn_into().ok()
}

fn creating() -> JsValue {
    option("create", &JsValue::TRUE)
}

fn at(offset: u64) -> JsValue {
    option("at", &JsValue::from_f64(offset as f64))
}

fn option(key: &str, value: &JsValue) -> JsValue {
    let options = Object::new();
    // A plain object takes every property.
    let _ = Reflect::set(&options, &JsValue::from_str(key), value);
    options.into()
}

/// The browser's exceptions by their names.
fn failure(error: &JsValue, name: &str) -> StoreError {
    let kind = get(error, "name").and_then(|kind| kind.as_string()).unwrap_or_default();
    let name = name.to_owned();
    match kind.as_str() {
        "QuotaExceededError" => StoreError::Full,
        "NoModificationAllowedError" | "InvalidStateError" => StoreError::Busy { name },
        "NotFoundError" => StoreError::Missing { name },
        _ => StoreError::Failed { reason: describe(error) },
    }
}
