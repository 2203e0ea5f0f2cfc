//! A GGUF file.
#![no_main]

sigmascope_fuzz::one_weights_file!(b"GGUF\x03\0\0\0");
