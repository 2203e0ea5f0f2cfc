//! What a conversion holds in memory, on files that exist only as far as they are read.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;

use sigmascope::model::{Config, Task};
use sigmascope::scene::{SharedSource, Source, SourceError, check_range};
use sigmascope::weights::{Checkpoint, Conversion, ConversionOptions, Quantization, Status, open};

use super::peak::peak_of;
use super::synthetic::{Opcodes, autoencoder};
use super::values;

/// A file of which only some parts are stored; between them lies the F32 number [`BETWEEN`], again and again.
pub struct Virtual {
    name: String,
    len: u64,
    parts: Vec<(u64, Vec<u8>)>,
    /// The longest read so far.
    longest: Cell<usize>,
}

const BETWEEN: f32 = 0.0146484375;

impl Virtual {
    pub fn new(name: &str, len: u64, parts: Vec<(u64, Vec<u8>)>) -> Self {
        Self { name: name.to_owned(), len, parts, longest: Cell::new(0) }
    }

    /// A safetensors file with these tensors.
    pub fn safetensors(name: &str, list: &[(String, Vec<usize>)]) -> Self {
        let mut entries = Vec::new();
        let mut offset = 0u64;
        for (tensor, shape) in list {
            let end = offset + 4 * shape.iter().product::<usize>() as u64;
            entries.push(format!(r#""{tensor}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{offset},{end}]}}"#));
            offset = end;
        }
        let mut header = format!("{{{}}}", entries.join(","));
        header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
        let start = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        Self::new(name, start.len() as u64 + offset, vec![(0, start)])
    }
}

impl Source for Virtual {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        check_range(self, offset, buf.len())?;
        self.longest.set(self.longest.get().max(buf.len()));
        let between = BETWEEN.to_le_bytes();
        for (i, byte) in buf.iter_mut().enumerate() {
            *byte = between[(offset as usize + i) % 4];
        }
        let end = offset + buf.len() as u64;
        for (start, part) in &self.parts {
            let (from, to) = (offset.max(*start), end.min(start + part.len() as u64));
            if from < to {
                let source = &part[(from - start) as usize..(to - start) as usize];
                buf[(from - offset) as usize..][..source.len()].copy_from_slice(source);
            }
        }
        Ok(())
    }
}

/// Counts what is written and keeps nothing.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The spectral encoder of ViT-B, 360 MB, in less than 8 MiB: so ViT-H, whose tensors are three times as large, which makes no
/// difference, needs no more.
#[test]
fn a_conversion_holds_a_few_mebibytes() {
    let config = Config::base(Task::Segmentation, [128, 128], 20, 9);
    let source = Rc::new(Virtual::safetensors("spec.safetensors", &autoencoder(&config, true)));
    let len = source.len();
    assert!(len > 350_000_000, "{len}");
    let mut sink = Counter(0);
    let (report, peak) = peak_of(|| {
        let checkpoint = Checkpoint::open(&[source.clone() as SharedSource], None).unwrap();
        let options = ConversionOptions { quantization: Quantization::Q4_0, complete: true, ..Default::default() };
        let mut conversion = Conversion::new(checkpoint, &options).unwrap();
        while conversion.step(&mut sink).unwrap().is_some() {}
        conversion.report().clone()
    });
    assert_eq!(sink.0, report.bytes);
    assert_eq!(report.of(Status::Matched).count(), 12 * 12 + 3);
    assert!(peak < 8 << 20, "{peak} bytes");
    assert!(source.longest.get() <= 1 << 20, "one read took {} bytes", source.longest.get());
    println!("{len} bytes to {}, at most {:.1} MiB held", sink.0, peak as f64 / (1 << 20) as f64);
}

/// An archive of 6 GiB with 64-bit sizes and offsets, as PyTorch writes it for ViT-H with its optimizer.
#[test]
fn archives_of_more_than_4_gib() {
    let moments = 5u64 << 30;
    let wanted: Vec<u8> = [1.5f32, -2.0, 3.25].iter().flat_map(|value| value.to_le_bytes()).collect();
    let pickle = Opcodes::new().raw(b"}(").text("optimizer").raw(b"}").text("moments");
    let all = moments as i64 / 4;
    let pickle = pickle.tensor(("FloatStorage", "0", all), 0, &[all], &[1]).raw(b"s").text("model").raw(b"}").text("w");
    let pickle = pickle.tensor(("FloatStorage", "1", 3), 0, &[3], &[1]).raw(b"su.").0;
    let members: [(&str, u64, Vec<u8>); 3] = [
        ("vit/data.pkl", pickle.len() as u64, pickle),
        ("vit/data/0", moments, Vec::new()),
        ("vit/data/1", wanted.len() as u64, wanted),
    ];
    let source: SharedSource = Rc::new(zip64("huge.pth", &members));
    assert!(source.len() > 5 << 30);
    let (found, peak) = peak_of(|| values(open(&source).unwrap().as_ref(), "w"));
    assert_eq!(found, [1.5, -2.0, 3.25]);
    assert!(peak < 1 << 20, "{peak}");
}

/// A zip archive with sizes and offsets in the extra fields that hold 64 bits (APPNOTE 4.3.6, 4.5.3).
fn zip64(name: &str, members: &[(&str, u64, Vec<u8>)]) -> Virtual {
    let (mut parts, mut directory, mut at) = (Vec::new(), Vec::new(), 0u64);
    for (member, size, data) in members {
        let common = |extra: u16| {
            let fields: [&[u8]; 8] = [
                &45u16.to_le_bytes(),
                &[0; 8],
                &[0; 4],
                &[0xff; 4],
                &[0xff; 4],
                &(member.len() as u16).to_le_bytes(),
                &extra.to_le_bytes(),
                &[],
            ];
            fields.concat()
        };
        let sizes = [size.to_le_bytes(), size.to_le_bytes()].concat();
        let local = [b"PK\x03\x04", &common(20)[..], member.as_bytes(), &[1, 0, 16, 0], &sizes].concat();
        let central = [
            b"PK\x01\x02\x2d\0",
            &common(28)[..],
            &[0; 10],
            &[0xff; 4],
            member.as_bytes(),
            &[1, 0, 24, 0],
            &sizes,
            &at.to_le_bytes(),
        ];
        directory.extend(central.concat());
        let data_at = at + local.len() as u64;
        parts.push((at, local));
        if !data.is_empty() {
            parts.push((data_at, data.clone()));
        }
        at = data_at + size;
    }
    let (start, len, count) = (at, directory.len() as u64, members.len() as u64);
    let end = [
        b"PK\x06\x06",
        &44u64.to_le_bytes()[..],
        &[45, 0, 45, 0],
        &[0; 8],
        &count.to_le_bytes(),
        &count.to_le_bytes(),
        &len.to_le_bytes(),
        &start.to_le_bytes(),
        b"PK\x06\x07",
        &[0; 4],
        &(start + len).to_le_bytes(),
        &1u32.to_le_bytes(),
        b"PK\x05\x06",
        &[0; 4],
        &[0xff; 12],
        &[0; 2],
    ];
    directory.extend(end.concat());
    let total = at + directory.len() as u64;
    parts.push((at, directory));
    Virtual::new(name, total, parts)
}
