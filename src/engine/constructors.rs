//! Constructors that run before everything else.

unsafe extern "C" {
    /// Made by the linker: calls every static constructor.
    fn __wasm_call_ctors();
}

/// Runs the static constructors, by which the compiler of the GPU's kernels learns its operations. To be called first in
/// `main`, and only there.
///
/// A program that never calls them is taken for a command by the linker: every function that JavaScript can call then starts
/// with all constructors, some thousands. That costs about half a millisecond a call, and launching one kernel takes a dozen.
pub fn run_constructors() {
    // SAFETY: nothing of the program has run yet, and the constructors only register static nodes, each at most once.
    unsafe { __wasm_call_ctors() }
}
