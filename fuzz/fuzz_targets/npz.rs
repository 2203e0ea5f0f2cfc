//! A NumPy archive.
#![no_main]

sigmascope_fuzz::one_file!("x.npz", b"PK\x03\x04");
