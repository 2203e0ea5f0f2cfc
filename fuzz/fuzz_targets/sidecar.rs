//! An ENVI header beside a TIFF image: the bytes up to the first NUL are the header, the rest is the image.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigmascope_fuzz::{exercise, file};

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (header, image) = bytes.split_at(end);
    let header = if header.starts_with(b"ENVI") { header.to_vec() } else { [b"ENVI\n", header].concat() };
    let image = [b"II\x2a\0", image.get(1..).unwrap_or_default()].concat();
    exercise(&[file("x.hdr", &header), file("x.tif", &image)]);
});
