//! The worker of the page: the engine behind messages.

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
