//! A MATLAB level-5 file.
#![no_main]

/// 116 bytes of text, the subsystem offset, version 1, little-endian.
const START: &[u8; 128] = b"MATLAB 5.0 MAT-file                                                                                                         \x00\x01IM";

sigmascope_fuzz::one_file!("x.mat", START);
