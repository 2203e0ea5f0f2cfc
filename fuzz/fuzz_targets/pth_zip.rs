//! A checkpoint in the zip format of PyTorch.
#![no_main]

sigmascope_fuzz::one_weights_file!(b"PK\x03\x04");
