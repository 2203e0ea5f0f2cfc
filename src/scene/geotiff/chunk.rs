//! One strip or tile: decompression and the predictor, always into a buffer of exactly the declared size.

use std::io::Read;

use flate2::read::ZlibDecoder;
use ruzstd::decoding::StreamingDecoder;
use weezl::{BitOrder, LzwStatus, decode};

use super::super::inflate::refuse_bomb;
use super::super::{SceneError, SharedSource};
use super::image::{Image, Predictor};

/// The largest strip or tile that is decompressed, bytes: it has to be held whole.
const CHUNK_MAX: u64 = 256 << 20;
/// A zstd frame may ask for this much memory, whatever the size of the chunk: libtiff streams without telling the size,
/// so that the window is that of the level, 32 MiB at level 20.
const ZSTD_WINDOW: u64 = 32 << 20;

/// How chunks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
    Zstd,
}

impl Compression {
    pub fn from_code(name: &str, code: u64) -> Result<Self, SceneError> {
        let known = match code {
            1 => return Ok(Self::None),
            5 => return Ok(Self::Lzw),
            8 | 32946 => return Ok(Self::Deflate),
            32773 => return Ok(Self::PackBits),
            50000 => return Ok(Self::Zstd),
            2..=4 => " (fax)",
            6 | 7 => " (JPEG)",
            34712 => " (JPEG 2000)",
            34887 => " (LERC)",
            34925 => " (LZMA)",
            50001 => " (WebP)",
            50002 => " (JPEG XL)",
            _ => "",
        };
        Err(SceneError::unsupported(
            name,
            format!(
                "compression {code}{known} cannot be read; none, LZW, deflate, PackBits and zstd can. Save it again with one of these"
            ),
        ))
    }
}

/// Reads, decompresses and un-predicts a chunk; its samples come out in the file's byte order.
///
/// # Errors
/// The chunk is damaged, or larger than what is held in memory.
pub(super) fn decode_chunk(source: &SharedSource, image: &Image, index: usize) -> Result<Vec<u8>, SceneError> {
    let name = source.name();
    let (offset, count) = image.chunks[index];
    let size = image.decoded_bytes(index);
    let what = format!("strip or tile {index}");
    if size > CHUNK_MAX {
        return Err(SceneError::unsupported(
            name,
            format!(
                "{what} has {} MiB, and at most {} MiB are decompressed at once; save the image in tiles of 256 × 256",
                size.div_ceil(1 << 20),
                CHUNK_MAX >> 20
            ),
        ));
    }
    refuse_bomb(name, &what, count, size)?;
    // No compressor makes chunks much larger than they are; more is damage.
    if count > size * 2 + (64 << 10) {
        return Err(SceneError::malformed(name, format!("{what} takes {count} bytes for {size}; the file is damaged")));
    }
    let mut packed = vec![0; count as usize];
    source.read_at(offset, &mut packed)?;
    let mut out = vec![0; size as usize];
    unpack(image.compression, &packed, &mut out).map_err(|reason| {
        SceneError::malformed(
            name,
            format!("{what} cannot be decompressed ({reason}); the file is damaged, fetch it again"),
        )
    })?;
    drop(packed);
    let row_bytes = image.chunk_cols * image.chunk_bands() * image.stored.sample.size();
    match image.predictor {
        Predictor::None => {}
        Predictor::Horizontal => out.chunks_exact_mut(row_bytes).for_each(|row| undo_horizontal(row, image)),
        Predictor::FloatingPoint => {
            let mut planes = vec![0; row_bytes];
            out.chunks_exact_mut(row_bytes).for_each(|row| undo_floating_point(row, &mut planes, image));
        }
    }
    Ok(out)
}

/// Fills `out` exactly; the error is a reason in words.
fn unpack(compression: Compression, packed: &[u8], out: &mut [u8]) -> Result<(), String> {
    match compression {
        Compression::None => match packed.get(..out.len()) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                Ok(())
            }
            None => Err("it is too short".to_owned()),
        },
        Compression::Deflate => ZlibDecoder::new(packed).read_exact(out).map_err(|error| error.to_string()),
        Compression::Lzw => unpack_lzw(packed, out),
        Compression::PackBits => unpack_bits(packed, out),
        Compression::Zstd => {
            check_zstd_window(packed, out.len() as u64)?;
            let mut stream = StreamingDecoder::new(packed).map_err(|error| error.to_string())?;
            stream.read_exact(out).map_err(|error| error.to_string())
        }
    }
}

fn unpack_lzw(mut packed: &[u8], mut out: &mut [u8]) -> Result<(), String> {
    let mut decoder = decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    while !out.is_empty() {
        let step = decoder.decode_bytes(packed, out);
        packed = &packed[step.consumed_in..];
        out = &mut out[step.consumed_out..];
        match step.status {
            Ok(LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(_) if out.is_empty() => {}
            Ok(_) => return Err("it ends too early".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// TIFF 6.0 section 9.
fn unpack_bits(mut packed: &[u8], mut out: &mut [u8]) -> Result<(), String> {
    let early = || "it ends too early".to_owned();
    while !out.is_empty() {
        let (&code, rest) = packed.split_first().ok_or_else(early)?;
        packed = rest;
        // -128 does nothing; n ≥ 0 copies n + 1 bytes; n < 0 repeats one byte 1 - n times.
        let code = code.cast_signed();
        if code == -128 {
            continue;
        }
        let len = if code >= 0 { code as usize + 1 } else { 1 + code.unsigned_abs() as usize };
        let len = len.min(out.len());
        if code >= 0 {
            out[..len].copy_from_slice(packed.get(..len).ok_or_else(early)?);
            packed = &packed[len..];
        } else {
            let (&byte, rest) = packed.split_first().ok_or_else(early)?;
            out[..len].fill(byte);
            packed = rest;
        }
        out = &mut out[len..];
    }
    Ok(())
}

/// Refuses a zstd frame that asks for far more memory than its chunk has (RFC 8878, section 3.1.1.1).
fn check_zstd_window(packed: &[u8], size: u64) -> Result<(), String> {
    let Some(&[m0, m1, m2, m3, descriptor, ref rest @ ..]) = packed.get(..) else {
        return Err("it is too short".to_owned());
    };
    if [m0, m1, m2, m3] != [0x28, 0xb5, 0x2f, 0xfd] {
        return Err("it is no zstd frame".to_owned());
    }
    let single_segment = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let window = if single_segment {
        let len = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        let field = rest.get(dictionary..dictionary + len).ok_or("it is too short")?;
        field.iter().rev().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte)) + if len == 2 { 256 } else { 0 }
    } else {
        let byte = u64::from(*rest.first().ok_or("it is too short")?);
        let base = 1u64 << (10 + (byte >> 3));
        base + (base >> 3) * (byte & 7)
    };
    if window > ZSTD_WINDOW.max(size) {
        return Err(format!("it asks for {window} bytes of memory"));
    }
    Ok(())
}

/// Adds to each sample the one of the same band to its left, with wrap-around.
fn undo_horizontal(row: &mut [u8], image: &Image) {
    macro_rules! add {
        ($type:ty) => {{
            const SIZE: usize = size_of::<$type>();
            let step = image.chunk_bands() * SIZE;
            let (from, to): (fn([u8; SIZE]) -> $type, fn($type) -> [u8; SIZE]) = if image.big_endian() {
                (<$type>::from_be_bytes, <$type>::to_be_bytes)
            } else {
                (<$type>::from_le_bytes, <$type>::to_le_bytes)
            };
            let mut at = step;
            while at + SIZE <= row.len() {
                let (mut left, mut here) = ([0; SIZE], [0; SIZE]);
                left.copy_from_slice(&row[at - step..at - step + SIZE]);
                here.copy_from_slice(&row[at..at + SIZE]);
                row[at..at + SIZE].copy_from_slice(&to(from(here).wrapping_add(from(left))));
                at += SIZE;
            }
        }};
    }
    match image.stored.sample.size() {
        1 => add!(u8),
        2 => add!(u16),
        4 => add!(u32),
        _ => add!(u64),
    }
}

/// Adds bytes from left to right, then puts together the bytes of each sample, which lie in planes from the most
/// significant to the least.
fn undo_floating_point(row: &mut [u8], planes: &mut [u8], image: &Image) {
    let (step, size) = (image.chunk_bands(), image.stored.sample.size());
    for at in step..row.len() {
        row[at] = row[at].wrapping_add(row[at - step]);
    }
    planes.copy_from_slice(row);
    let samples = row.len() / size;
    for (i, sample) in row.chunks_exact_mut(size).enumerate() {
        for (byte, value) in sample.iter_mut().enumerate() {
            let plane = if image.big_endian() { byte } else { size - 1 - byte };
            *value = planes[plane * samples + i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packbits_of_the_specification() {
        // The example of Apple's TN1023, from which TIFF took the scheme.
        let packed = [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let mut out = [0; 24];
        assert_eq!(unpack_bits(&packed, &mut out), Ok(()));
        let want = [
            0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22, 0xaa, 0xaa, 0xaa, 0xaa,
            0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        ];
        assert_eq!(out, want);
        assert!(unpack_bits(&packed[..14], &mut out).is_err());
    }

    #[test]
    fn greedy_zstd_frames_are_refused() {
        // Window descriptor 0xff: 2^41 and more.
        assert!(check_zstd_window(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0, 0], 1000).is_err());
        // Single segment of 2^56 bytes.
        assert!(check_zstd_window(&[0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 1], 1000).is_err());
        assert!(check_zstd_window(&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 200], 1000).is_ok());
    }
}
