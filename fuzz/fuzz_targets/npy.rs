//! A NumPy array.
#![no_main]

sigmascope_fuzz::one_file!("x.npy", b"\x93NUMPY");
