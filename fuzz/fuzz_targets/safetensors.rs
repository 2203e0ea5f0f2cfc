//! A safetensors file.
#![no_main]

sigmascope_fuzz::one_weights_file!(b"");
