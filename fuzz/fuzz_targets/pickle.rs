//! The pickle of a checkpoint, in an archive that is sound: most damage to an archive never reaches its pickle.
#![no_main]

use std::io::{Cursor, Write};

libfuzzer_sys::fuzz_target!(|pickle: &[u8]| {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, data) in [("archive/data.pkl", pickle), ("archive/data/0", &[0; 96])] {
        archive.start_file(name, options).expect("memory takes everything");
        archive.write_all(data).expect("memory takes everything");
    }
    let bytes = archive.finish().expect("memory takes everything").into_inner();
    sigmascope_fuzz::exercise_weights(&sigmascope_fuzz::file("x.pth", &bytes));
});
