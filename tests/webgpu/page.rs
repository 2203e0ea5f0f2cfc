//! What the page calls. Every check resolves to the lines of its report, or rejects with what differs.

use burn::tensor::Device;
use js_sys::{Function, Promise, Uint8Array};
use sigmascope::kernels;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::official::sampling::Case;
use crate::official::tiny::Set;
use crate::official::{Files, Mismatch};
use crate::{frozen, huge};

/// Files that a function of the page fetches: path → promise of a `Uint8Array`.
struct Fetched(Function);

impl Files for Fetched {
    async fn read(&self, path: &str) -> Result<Vec<u8>, Mismatch> {
        let bytes = async {
            let promise: Promise = self.0.call1(&JsValue::NULL, &path.into())?.dyn_into()?;
            JsFuture::from(promise).await?.dyn_into::<Uint8Array>()
        };
        let bytes = bytes.await.map_err(|error| Mismatch(format!("{path}: {error:?}")))?;
        Ok(bytes.to_vec())
    }
}

/// The checks on the WebGPU device of this page.
#[wasm_bindgen]
pub struct Parity {
    device: Device,
    files: Fetched,
}

#[wasm_bindgen]
impl Parity {
    /// Opens the device as the engine does. `read` fetches a reference file by its path.
    pub async fn open(read: Function) -> Result<Parity, JsError> {
        let device = Device::wgpu_options().init_async().await?;
        Ok(Self { device, files: Fetched(read) })
    }

    fn on(&self, cpu: bool) -> Device {
        if cpu { Device::flex() } else { self.device.clone() }
    }

    /// What the engine asks of a device before it trusts it.
    #[wasm_bindgen(js_name = selfTest)]
    pub async fn self_test(&self) -> Result<(), JsError> {
        kernels::self_test(&self.device).await?;
        Ok(kernels::self_test_frozen(&self.device).await?)
    }

    /// One case of sparse sampling attention: output and gradients.
    #[wasm_bindgen(js_name = sampling)]
    pub async fn sampling(&self, name: String) -> Result<String, JsError> {
        let case = Case::read(&self.files, &name).await?;
        let results = case.run(&self.device).await?;
        let line = case.compare("WebGPU", &results)?;
        case.compare_refuses_wrong_numbers(&results)?;
        Ok(line)
    }

    /// Frozen layers of the models' shapes, those from `from` to `to` of a list; `cpu`: in WebAssembly instead.
    pub async fn layers(&self, cpu: bool, from: usize, to: usize) -> Result<String, JsError> {
        Ok(frozen::layers(&self.on(cpu), cpu, from, to).await?.join("\n"))
    }

    /// Frozen layers of odd sizes, in parts, in every kind and tile; and proof that the check can fail.
    pub async fn awkward(&self, cpu: bool) -> Result<String, JsError> {
        let report = frozen::awkward(&self.on(cpu), cpu).await?.join("\n");
        frozen::refuses_wrong_weights(&self.on(cpu)).await?;
        Ok(report)
    }

    /// Full attention.
    pub async fn attention(&self, cpu: bool) -> Result<String, JsError> {
        let name = if cpu { "WebAssembly" } else { "WebGPU" };
        Ok(frozen::attention(&self.on(cpu), name).await?.join("\n"))
    }

    /// ViT-H in Q4_0 on the GPU: builds it tensor by tensor, maps one small tile.
    pub async fn huge(&self, complete: bool) -> Result<String, JsError> {
        Ok(huge::run(&self.device, complete).await?)
    }

    /// One tiny network from end to end, against all official numbers or a sample of them.
    pub async fn tiny(&self, name: String, complete: bool) -> Result<String, JsError> {
        let set = match complete {
            true => Set::complete(&self.files, &name).await?,
            false => Set::sampled(&self.files, &name).await?,
        };
        let outcome = set.run(&self.device).await?;
        let report = set.compare(&outcome)?;
        if !complete {
            set.compare_refuses_wrong_numbers(&outcome)?;
        }
        Ok(report.join("\n"))
    }
}
