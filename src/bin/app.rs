//! The page: paints at once, then fetches the engine.

#[cfg(target_arch = "wasm32")]
fn main() {
    sigmascope::app::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("The page runs in a browser: start it with ./run.");
    std::process::exit(2);
}
