//! The worker of the page: the engine behind messages.

#[cfg(target_arch = "wasm32")]
mod worker {
    use sigmascope::engine::Allocator;
    use wasm_bindgen::prelude::*;

    #[global_allocator]
    static ALLOCATOR: Allocator = Allocator::new();

    /// Bytes that the engine asked for in vain, 0 if it never did: why it stopped.
    #[wasm_bindgen(js_name = refusedBytes)]
    pub fn refused_bytes() -> usize {
        ALLOCATOR.refused()
    }
}

#[cfg(target_arch = "wasm32")]
fn main() {
    sigmascope::engine::run_constructors();
    sigmascope::engine::worker::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("This program is the page's worker; build it for wasm32-unknown-unknown with ./run.");
    std::process::exit(2);
}
