//! Files of the page's own in the browser (origin private file system): labels, models, maps. Nothing leaves the machine.

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions, FileSystemGetFileOptions,
    FileSystemWritableFileStream,
};

/// Changes when the kept bytes change their meaning; older ones are then ignored.
const FOLDER: &str = "sigmascope-1";

async fn wait<T: JsCast>(promise: js_sys::Promise) -> Result<T, JsValue> {
    JsFuture::from(promise).await?.dyn_into()
}

async fn folder() -> Result<FileSystemDirectoryHandle, JsValue> {
    let navigator = web_sys::window().ok_or(JsValue::NULL)?.navigator();
    let manager = js_sys::Reflect::get(&navigator, &"storage".into())?;
    // Absent outside https and localhost.
    let manager: web_sys::StorageManager = manager.dyn_into()?;
    let root: FileSystemDirectoryHandle = wait(manager.get_directory()).await?;
    let create = FileSystemGetDirectoryOptions::new();
    create.set_create(true);
    wait(root.get_directory_handle_with_options(FOLDER, &create)).await
}

/// The bytes kept under a name; `None` when there are none or the browser keeps nothing.
pub async fn read(name: &str) -> Option<Vec<u8>> {
    let handle: FileSystemFileHandle = wait(folder().await.ok()?.get_file_handle(name)).await.ok()?;
    let file: File = wait(handle.get_file()).await.ok()?;
    let buffer = JsFuture::from(file.array_buffer()).await.ok()?;
    Some(Uint8Array::new(&buffer).to_vec())
}

/// Keeps bytes under a name. The former bytes stay until the new ones are complete.
///
/// # Errors
/// What the browser says: no room, or no such storage here.
pub async fn write(name: &str, bytes: &[u8]) -> Result<(), JsValue> {
    let create = FileSystemGetFileOptions::new();
    create.set_create(true);
    let handle: FileSystemFileHandle = wait(folder().await?.get_file_handle_with_options(name, &create)).await?;
    if !js_sys::Reflect::has(&handle, &"createWritable".into())? {
        return Err("this browser cannot write files of its own".into());
    }
    let stream: FileSystemWritableFileStream = wait(handle.create_writable()).await?;
    JsFuture::from(stream.write_with_u8_array(bytes)?).await?;
    JsFuture::from(stream.close()).await?;
    Ok(())
}

pub async fn remove(name: &str) {
    if let Ok(folder) = folder().await {
        // It may not exist, which is what was wanted.
        let _ = JsFuture::from(folder.remove_entry(name)).await;
    }
}
