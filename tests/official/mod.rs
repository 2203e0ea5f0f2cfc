//! What the official PyTorch code computed, and whether ours computes the same. The native tests and the WebGPU program of
//! the browser tests share it: files come through [`Files`], results of a device are awaited, and what differs is a
//! [`Mismatch`].

mod deviation;
mod files;
pub mod sampling;
mod stored;
pub mod tiny;

pub use deviation::{Deviation, Mismatch, Worst, deviation, ensure};
pub use files::Files;
#[cfg(not(target_arch = "wasm32"))]
pub use files::{Folder, fixtures, shared};
pub use stored::{Stored, parse};

use burn::tensor::Tensor;

/// All values of a tensor, row-major, without its tape.
pub async fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, Mismatch> {
    let data = tensor.inner().into_data_async().await.map_err(|error| Mismatch(error.to_string()))?;
    data.try_to_vec().map_err(|error| Mismatch(format!("{error:?}")))
}
