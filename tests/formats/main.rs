//! Scene readers: every file of the shared data against its independent description, every broken file against its
//! expected outcome, small fixtures by independent writers, and properties over random and mutated bytes.

mod fixtures;
mod headers;
mod labels;
mod malformed;
mod memory;
mod properties;
mod shared;
mod tiff;

use std::path::{Path, PathBuf};

use sigmascope::scene::{Cube, SceneError, Window};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// The folder of shared data, or `None` with one line that says what is skipped.
fn shared_data(what: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("SIGMASCOPE_SHARED").map_or_else(|| "../shared".into(), PathBuf::from);
    let data = shared.join("data");
    if data.join("expected.json").is_file() {
        return Some(data);
    }
    println!("SKIP {what}: ../shared is not here");
    None
}

fn fixture(name: &str) -> PathBuf {
    Path::new("tests/fixtures/formats").join(name)
}

/// Reads a window into a fresh vector.
fn read(cube: &dyn Cube, window: &Window) -> Result<Vec<f64>, SceneError> {
    let mut out = vec![f64::NAN; window.len()];
    cube.read(window, &mut out)?;
    Ok(out)
}

fn whole(cube: &dyn Cube) -> Window {
    let info = cube.info();
    Window { rows: 0..info.rows, cols: 0..info.cols, bands: 0..info.bands }
}

/// Same number, or both NaN.
fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

/// Reads the cube whole and in windows with odd edges, and checks that each window holds what the whole holds there.
fn check_windows(name: &str, cube: &dyn Cube) {
    let info = cube.info().clone();
    let all = read(cube, &whole(cube)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let cut = |n: usize| {
        let edges = [0, n / 3, n.saturating_sub(1), n];
        [edges[0]..edges[1], edges[1]..edges[3], edges[2]..edges[3], edges[0]..edges[3]]
    };
    for rows in cut(info.rows) {
        for cols in cut(info.cols) {
            for bands in cut(info.bands) {
                let window = Window { rows: rows.clone(), cols: cols.clone(), bands: bands.clone() };
                let part = read(cube, &window).unwrap_or_else(|error| panic!("{name} {window:?}: {error}"));
                let mut at = 0;
                for row in rows.clone() {
                    for col in cols.clone() {
                        for band in bands.clone() {
                            let want = all[(row * info.cols + col) * info.bands + band];
                            assert!(
                                same(part[at], want),
                                "{name} {window:?} at {row}, {col}, {band}: {} ≠ {want}",
                                part[at]
                            );
                            at += 1;
                        }
                    }
                }
            }
        }
    }
    let outside = Window { rows: 0..info.rows + 1, cols: 0..1, bands: 0..1 };
    let refused = cube.read(&outside, &mut vec![0.0; outside.len()]);
    assert!(matches!(refused, Err(SceneError::Window { .. })), "{name}: {refused:?}");
    let short = cube.read(&Window { rows: 0..1, cols: 0..1, bands: 0..1 }, &mut []);
    assert!(matches!(short, Err(SceneError::Window { .. })), "{name}: {short:?}");
}
