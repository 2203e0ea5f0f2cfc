//! An ENVI header and its data: the bytes up to the first NUL are the header, the rest is the data file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigmascope_fuzz::{exercise, file};

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (header, data) = bytes.split_at(end);
    let header = if header.starts_with(b"ENVI") { header.to_vec() } else { [b"ENVI\n", header].concat() };
    exercise(&[file("x.hdr", &header), file("x.img", data.get(1..).unwrap_or_default())]);
});
