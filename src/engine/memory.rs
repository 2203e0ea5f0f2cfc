//! What the engine holds, and what its device allows.

use burn::backend::Cube;
use burn::tensor::{Device, Tensor};
use cubecl::MemoryScope;
use cubecl::client::Client;

use super::fit::WASM_MEMORY;
use super::message::{FitLimits, MemoryUse};

/// The GPU's side of a device; `None` for the CPU.
fn client(device: &Device) -> Option<Client> {
    // A tensor of burn's tells what the device is.
    let probe = Tensor::<1>::zeros([1], &device.clone().without_autodiff()).try_into_primitive::<Cube>();
    probe.ok().map(|tensor| tensor.client)
}

/// What is held now. `device` is the chosen one, if any was.
pub fn measure(device: Option<&Device>) -> MemoryUse {
    let usage = device.and_then(client).map(|client| client.memory_report(MemoryScope::Device).usage());
    MemoryUse {
        heap_bytes: heap(),
        gpu_bytes: usage.as_ref().map(|usage| usage.bytes_in_use),
        gpu_reserved_bytes: usage.as_ref().map(|usage| usage.bytes_reserved),
    }
}

/// Gives back what the device keeps for later tensors.
pub fn release(device: &Device) {
    if let Some(client) = client(device) {
        // Refused only while a graph is recorded, which nothing here does.
        let _ = client.memory_cleanup();
    }
}

/// What a device allows. The page of a GPU's allocator is what it binds at once.
pub fn limits(device: &Device) -> FitLimits {
    match client(device) {
        Some(client) => {
            let binding = client.properties().memory.max_page_size;
            FitLimits { buffer: Some(binding), binding: Some(binding), memory: None }
        }
        None => FitLimits { memory: cfg!(target_arch = "wasm32").then_some(WASM_MEMORY), ..FitLimits::default() },
    }
}

#[cfg(target_arch = "wasm32")]
fn heap() -> Option<u64> {
    const PAGE: u64 = 1 << 16;
    Some(core::arch::wasm32::memory_size(0) as u64 * PAGE)
}

#[cfg(not(target_arch = "wasm32"))]
fn heap() -> Option<u64> {
    None
}
