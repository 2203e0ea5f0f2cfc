//! A TIFF, BigTIFF or GeoTIFF file of either byte order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigmascope_fuzz::{exercise, file};

fuzz_target!(|bytes: &[u8]| {
    let known = [b"II\x2a\0", b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b"].iter().any(|start| bytes.starts_with(*start));
    let whole = if known { bytes.to_vec() } else { [b"II\x2a\0", bytes].concat() };
    exercise(&[file("x.tif", &whole)]);
});
