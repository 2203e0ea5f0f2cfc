//! Sparse sampling attention: the Rust side of `shaders/`, each kernel beside its plain reference.
