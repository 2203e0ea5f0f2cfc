//! Where to compute: the adapter decides, the user may overrule, nothing falls back silently.

use burn::tensor::Device;

use super::message::{DeviceChoice, DeviceInfo};

/// A chosen device and how it came about.
#[derive(Clone)]
pub struct Chosen {
    pub device: Device,
    pub info: DeviceInfo,
}

/// What the browser says about its adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    pub name: String,
    /// A renderer on the CPU: slower than our own CPU path.
    pub software: bool,
}

/// Decides between WebGPU and CPU: `Ok` with the reason, or the reason why the wish cannot be granted.
pub fn decide(choice: DeviceChoice, adapter: Option<&Adapter>) -> Result<(DeviceChoice, String), String> {
    match (choice, adapter) {
        (DeviceChoice::Cpu, _) => Ok((DeviceChoice::Cpu, "you chose the CPU".to_owned())),
        (DeviceChoice::Webgpu, Some(adapter)) if adapter.software => {
            Ok((DeviceChoice::Webgpu, format!("you chose WebGPU; {} is a software adapter and slow", adapter.name)))
        }
        (DeviceChoice::Webgpu, Some(_)) => Ok((DeviceChoice::Webgpu, "you chose WebGPU".to_owned())),
        (DeviceChoice::Webgpu, None) => Err(NO_ADAPTER.to_owned()),
        (DeviceChoice::Auto, Some(adapter)) if !adapter.software => {
            Ok((DeviceChoice::Webgpu, "this browser offers a GPU".to_owned()))
        }
        (DeviceChoice::Auto, Some(adapter)) => {
            Ok((DeviceChoice::Cpu, format!("{} is a software adapter, slower than the CPU path", adapter.name)))
        }
        (DeviceChoice::Auto, None) => Ok((DeviceChoice::Cpu, "this browser offers no WebGPU adapter".to_owned())),
    }
}

const NO_ADAPTER: &str = "this browser offers no WebGPU adapter; use a current Chrome, Edge, Firefox or Safari with \
                          hardware acceleration switched on, or stay on the CPU";

/// The CPU as a chosen device.
pub fn cpu(choice: DeviceChoice, reason: String) -> Chosen {
    let name = if cfg!(target_arch = "wasm32") { "CPU, WebAssembly SIMD" } else { "CPU" };
    Chosen {
        device: Device::flex(),
        info: DeviceInfo { choice, active: DeviceChoice::Cpu, name: name.to_owned(), reason },
    }
}

#[cfg(target_arch = "wasm32")]
pub use browser::Devices;

#[cfg(target_arch = "wasm32")]
mod browser {
    use std::cell::{Cell, RefCell};

    use burn::tensor::Device;
    use burn::tensor::wgpu::{WgpuSetup, wgpu};
    use js_sys::{Function, Promise};
    use wasm_bindgen::{JsCast, JsValue};
    use wasm_bindgen_futures::JsFuture;

    use super::{Adapter, Chosen, DeviceChoice, DeviceInfo, cpu, decide};
    use crate::engine::browser::get;
    use crate::engine::clock::now_s;
    use crate::engine::message::FitLimits;
    use crate::kernels::quantized::measure;
    use crate::kernels::{self_test, self_test_frozen};

    /// The GPU is opened once in the life of a worker; a worker that lost it is replaced.
    #[derive(Default)]
    pub struct Devices {
        gpu: RefCell<Option<Gpu>>,
    }

    struct Gpu {
        device: Device,
        setup: WgpuSetup,
        /// A renderer on the CPU.
        software: bool,
        /// The kernels of frozen weights need no test, or have passed it.
        frozen_trusted: Cell<bool>,
    }

    impl Devices {
        /// Grants a wish, opening the GPU on first use.
        ///
        /// # Errors
        /// A sentence for the user when WebGPU was asked for and cannot be had.
        pub async fn select(&self, choice: DeviceChoice) -> Result<Chosen, String> {
            let adapter = if choice == DeviceChoice::Cpu { None } else { adapter().await };
            let (active, reason) = decide(choice, adapter.as_ref())?;
            let software = adapter.as_ref().is_some_and(|adapter| adapter.software);
            let name = adapter.map(|adapter| adapter.name).unwrap_or_default();
            if active == DeviceChoice::Cpu {
                return Ok(cpu(choice, reason));
            }
            match self.open_gpu(software).await {
                Ok(device) => Ok(Chosen { device, info: DeviceInfo { choice, active, name, reason } }),
                Err(error) if choice == DeviceChoice::Auto => {
                    Ok(cpu(choice, format!("{name} could not be opened ({error})")))
                }
                Err(error) => Err(format!("{name} could not be opened ({error}); reload the page or stay on the CPU")),
            }
        }

        /// Opens the GPU and trusts it only after its kernels have computed what the CPU computes. A software adapter, which
        /// the user has chosen against advice, would take a minute for that.
        async fn open_gpu(&self, software: bool) -> Result<Device, String> {
            if let Some(gpu) = &*self.gpu.borrow() {
                return Ok(gpu.device.clone());
            }
            let opened = Device::wgpu_options().init_with_setup_async().await.map_err(|error| error.to_string())?;
            let (device, setup) = opened;
            if !software {
                self_test(&device).await.map_err(|error| error.to_string())?;
            }
            let frozen_trusted = Cell::new(software);
            *self.gpu.borrow_mut() = Some(Gpu { device: device.clone(), setup, software, frozen_trusted });
            Ok(device)
        }

        /// Destroys the GPU device as a driver reset would; false when none is open.
        pub fn destroy_gpu(&self) -> bool {
            let gpu = self.gpu.borrow();
            if let Some(Gpu { setup, .. }) = &*gpu {
                setup.device.destroy();
            }
            gpu.is_some()
        }

        /// Tests the kernels of frozen weights once, and times which of them suit this GPU.
        ///
        /// # Errors
        /// A sentence when the GPU computes something else than the CPU.
        pub async fn trust_frozen(&self) -> Result<(), String> {
            let device = match &*self.gpu.borrow() {
                Some(gpu) if !gpu.frozen_trusted.get() => gpu.device.clone(),
                _ => return Ok(()),
            };
            self_test_frozen(&device)
                .await
                .map_err(|error| format!("this GPU cannot be trusted with frozen weights ({error}); choose the CPU"))?;
            measure(&device, now_s).await.map_err(|error| format!("this GPU failed ({error}); choose the CPU"))?;
            if let Some(gpu) = &*self.gpu.borrow() {
                gpu.frozen_trusted.set(true);
            }
            Ok(())
        }

        /// What the open GPU allows.
        pub fn limits(&self) -> Option<FitLimits> {
            let gpu = self.gpu.borrow();
            let limits = gpu.as_ref()?.setup.device.limits();
            Some(FitLimits {
                buffer: Some(limits.max_buffer_size),
                binding: Some(limits.max_storage_buffer_binding_size),
                memory: None,
            })
        }

        /// Asks the open GPU for so many bytes, in buffers as large as it allows, and gives them back; an error of memory is
        /// caught, nothing else is disturbed. `None` on a renderer on the CPU, which promises memory that it does not have.
        pub async fn try_allocation(&self, bytes: u64) -> Option<bool> {
            const LARGEST: u64 = 256 << 20;
            let device = self.gpu.borrow().as_ref().filter(|gpu| !gpu.software)?.setup.device.clone();
            let most = device.limits().max_buffer_size.min(LARGEST);
            let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
            let mut buffers = Vec::new();
            let mut left = bytes;
            while left > 0 {
                let size = left.min(most).next_multiple_of(4);
                buffers.push(device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("trial"),
                    size,
                    usage: wgpu::BufferUsages::STORAGE,
                    mapped_at_creation: false,
                }));
                left = left.saturating_sub(size);
            }
            let error = scope.pop().await;
            buffers.iter().for_each(wgpu::Buffer::destroy);
            Some(error.is_none())
        }
    }

    /// Asks the browser for its adapter without opening a device.
    async fn adapter() -> Option<Adapter> {
        let global = js_sys::global();
        let navigator = get(&global, "navigator")?;
        let gpu = get(&navigator, "gpu")?;
        let request: Function = get(&gpu, "requestAdapter")?.dyn_into().ok()?;
        let promise: Promise = request.call0(&gpu).ok()?.dyn_into().ok()?;
        let adapter = JsFuture::from(promise).await.ok().filter(|adapter| !adapter.is_null())?;
        let info = get(&adapter, "info")?;
        let text = |key: &str| get(&info, key).and_then(|value| value.as_string()).unwrap_or_default();
        let parts = [text("vendor"), text("architecture"), text("device"), text("description")];
        let mut words: Vec<&str> = Vec::new();
        for part in parts.iter().filter(|part| !part.is_empty()) {
            if !words.contains(&part.as_str()) {
                words.push(part);
            }
        }
        let name = if words.is_empty() { "WebGPU adapter".to_owned() } else { words.join(" ") };
        let fallback = |of: &JsValue| get(of, "isFallbackAdapter").is_some_and(|value| value.is_truthy());
        let lower = name.to_lowercase();
        let renderer =
            ["swiftshader", "llvmpipe", "lavapipe", "basic render"].iter().any(|known| lower.contains(known));
        Some(Adapter { software: renderer || fallback(&info) || fallback(&adapter), name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(software: bool) -> Adapter {
        Adapter { name: "some adapter".to_owned(), software }
    }

    #[test]
    fn a_real_adapter_wins_and_a_software_one_does_not() {
        let active = |choice, adapter: Option<Adapter>| decide(choice, adapter.as_ref()).map(|(active, _)| active);
        assert_eq!(active(DeviceChoice::Auto, Some(adapter(false))), Ok(DeviceChoice::Webgpu));
        assert_eq!(active(DeviceChoice::Auto, Some(adapter(true))), Ok(DeviceChoice::Cpu));
        assert_eq!(active(DeviceChoice::Auto, None), Ok(DeviceChoice::Cpu));
        assert_eq!(active(DeviceChoice::Cpu, Some(adapter(false))), Ok(DeviceChoice::Cpu));
        assert_eq!(active(DeviceChoice::Webgpu, Some(adapter(true))), Ok(DeviceChoice::Webgpu));
        assert!(active(DeviceChoice::Webgpu, None).is_err());
    }

    #[test]
    fn the_reason_names_the_adapter() {
        let (_, reason) = decide(DeviceChoice::Auto, Some(&adapter(true))).unwrap();
        assert!(reason.contains("some adapter"), "{reason}");
    }
}
