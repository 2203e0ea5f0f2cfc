//! Compresses the built page: `pack dist [--quick]` writes `.br` and `.gz` beside every larger file, so that the server never
//! compresses anything itself, and `sizes.json`, from which the page knows how much of the engine's download is left.
//!
//! `--quick` compresses fast instead of well, for builds that are only worked on.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, thread};

use serde::Serialize;

/// Files whose contents are worth compressing; images and fonts are compressed already.
const KINDS: [&str; 8] = ["wasm", "js", "css", "html", "svg", "json", "txt", "webmanifest"];

/// Smaller files fit into one packet anyway.
const SMALLEST: u64 = 1024;

/// In bytes.
#[derive(Debug, PartialEq, Serialize)]
struct Sizes {
    raw: u64,
    brotli: u64,
    gzip: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, quick) = match &*arguments {
        [folder] => (folder, false),
        [folder, quick] if quick == "--quick" => (folder, true),
        _ => {
            eprintln!("Say: pack FOLDER [--quick], FOLDER being the built page.");
            return ExitCode::from(2);
        }
    };
    match pack(Path::new(folder), quick) {
        Ok(sizes) => {
            for (name, sizes) in sizes {
                let [raw, brotli, gzip] = [sizes.raw, sizes.brotli, sizes.gzip].map(|bytes| bytes as f64 / 1e6);
                eprintln!("{name:<44} {raw:9.2} MB raw {gzip:9.2} MB gzip {brotli:9.2} MB brotli");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("The page in {folder} cannot be compressed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Compresses the files of the folder and below; the sizes of its wasm files, which are also written to `sizes.json`.
fn pack(folder: &Path, quick: bool) -> io::Result<BTreeMap<String, Sizes>> {
    let mut files = Vec::new();
    find(folder, &mut files)?;
    // The largest first: the engine takes longer than all others together.
    files.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let todo = std::sync::Mutex::new(files.iter());
    let next = || todo.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| {
                    while let Some((file, _)) = next() {
                        compress(file, quick)?;
                    }
                    Ok(())
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(io::Error::other("a thread died"))))
    })?;
    let mut sizes = BTreeMap::new();
    for (file, raw) in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with("_bg.wasm") && file.parent() == Some(folder) {
            let of = |kind: &str| fs::metadata(beside(file, kind)).map(|file| file.len());
            sizes.insert(name, Sizes { raw: *raw, brotli: of("br")?, gzip: of("gz")? });
        }
    }
    fs::write(folder.join("sizes.json"), serde_json::to_vec(&sizes)?)?;
    Ok(sizes)
}

/// The files that are worth compressing, and their lengths.
fn find(folder: &Path, files: &mut Vec<(PathBuf, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, about) = (entry.path(), entry.metadata()?);
        if about.is_dir() {
            find(&path, files)?;
        } else if about.len() >= SMALLEST
            && path.extension().is_some_and(|kind| KINDS.iter().any(|known| kind == *known))
            // Written anew at every build, while what lies beside it would be of the one before.
            && path.file_name() != Some("sizes.json".as_ref())
        {
            files.push((path, about.len()));
        }
    }
    Ok(())
}

fn beside(file: &Path, kind: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(kind);
    name.into()
}

fn compress(file: &Path, quick: bool) -> io::Result<()> {
    let bytes = fs::read(file)?;
    let params = brotli::enc::BrotliEncoderParams {
        quality: if quick { 1 } else { 11 },
        lgwin: 24,
        size_hint: bytes.len(),
        ..Default::default()
    };
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut bytes.as_slice(), &mut packed, &params)?;
    fs::write(beside(file, "br"), packed)?;
    let level = if quick { flate2::Compression::fast() } else { flate2::Compression::best() };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
    gzip.write_all(&bytes)?;
    fs::write(beside(file, "gz"), gzip.finish()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_written_beside_a_file_unpacks_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let wasm: Vec<u8> = (0..200_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("engine_bg.wasm"), &wasm).unwrap();
        fs::write(folder.path().join("inner/engine.js"), "export default 1;".repeat(100)).unwrap();
        fs::write(folder.path().join("small.js"), "1").unwrap();
        fs::write(folder.path().join("font.woff2"), vec![1; 5000]).unwrap();
        for quick in [true, false] {
            let sizes = pack(folder.path(), quick).unwrap();
            let engine = &sizes["engine_bg.wasm"];
            assert_eq!((sizes.len(), engine.raw), (1, 800_000));
            assert!(engine.brotli < 400_000 && engine.gzip < 400_000, "{engine:?}");
            let mut unpacked = Vec::new();
            let packed = fs::read(folder.path().join("engine_bg.wasm.br")).unwrap();
            brotli::BrotliDecompress(&mut packed.as_slice(), &mut unpacked).unwrap();
            assert_eq!(unpacked, wasm);
            let packed = fs::File::open(folder.path().join("engine_bg.wasm.gz")).unwrap();
            unpacked.clear();
            flate2::read::GzDecoder::new(packed).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, wasm);
            assert!(folder.path().join("inner/engine.js.gz").exists());
        }
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        // Three files with two forms beside one of them, the folder, sizes.json.
        assert_eq!(names.len(), 3 + 2 + 1 + 1, "{names:?}");
        let told: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.path().join("sizes.json")).unwrap()).unwrap();
        assert_eq!(told["engine_bg.wasm"]["raw"], 800_000);
    }
}
