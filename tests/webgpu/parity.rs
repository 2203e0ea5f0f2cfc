//! Parity on WebGPU: the checks of `tests/parity` and `tests/kernels` for a page, which `tests/browser` opens in Chromium.

#[cfg(target_arch = "wasm32")]
#[path = "../official/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other programs use the rest")]
mod official;

#[cfg(target_arch = "wasm32")]
#[path = "../kernels/full_attention/case.rs"]
mod attention_case;
#[cfg(target_arch = "wasm32")]
#[path = "../kernels/quantized/case.rs"]
mod linear_case;

#[cfg(target_arch = "wasm32")]
mod frozen;
#[cfg(target_arch = "wasm32")]
mod huge;
#[cfg(target_arch = "wasm32")]
mod page;

#[cfg(target_arch = "wasm32")]
fn main() {
    sigmascope::engine::run_constructors();
    console_error_panic_hook::set_once();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("This program is a page of the browser tests; build it with scripts/build-webgpu-parity.");
    std::process::exit(2);
}
