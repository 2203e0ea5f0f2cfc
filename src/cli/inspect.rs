//! `sigmascope inspect`: what a scene file holds, for people and for scripts.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::Outcome;
use crate::scene::{self, Cube, Inspection, Kind, OpenOptions, SceneError, SceneInfo};

#[derive(Debug, Args)]
pub struct Inspect {
    /// The scene: an ENVI header, a .mat, .npy or .npz file, or a GeoTIFF.
    file: PathBuf,
    /// The data file of an ENVI header, when it does not lie beside it under its usual name.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The array of a MATLAB or NPZ file.
    #[arg(long, value_name = "NAME")]
    variable: Option<String>,
    /// A sample to print, 0-based; may be given several times, or several after one `--pixel`.
    #[arg(long = "pixel", value_name = "ROW,COL,BAND", num_args = 1.., value_parser = pixel)]
    pixels: Vec<[usize; 3]>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn pixel(text: &str) -> Result<[usize; 3], String> {
    let numbers: Result<Vec<usize>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[row, col, band]) => Ok([row, col, band]),
        _ => Err("a pixel is row,col,band, three whole numbers from 0".to_owned()),
    }
}

impl Inspect {
    /// Opens the scene, streams over it once and describes it.
    pub fn run(self) -> Outcome {
        let options = OpenOptions { variable: self.variable, band_axis: None };
        let cube = match scene::open_path(&self.file, self.data.as_deref(), &options) {
            Err(error @ SceneError::ChooseVariable { .. }) => return Err(format!("{error} with --variable").into()),
            opened => opened?,
        };
        for &[row, col, band] in &self.pixels {
            let SceneInfo { rows, cols, bands, .. } = *cube.info();
            if row >= rows || col >= cols || band >= bands {
                let scene = format!("{rows} rows × {cols} columns × {bands} bands");
                return Err(
                    format!("the pixel {row},{col},{band} lies outside the scene of {scene}, counted from 0").into()
                );
            }
        }
        let inspection = scene::inspect(cube.as_ref(), &self.pixels)?;
        Ok(if self.json { serde_json::to_string(&inspection)? } else { summary(cube.as_ref(), &inspection)? })
    }
}

/// The description for people.
fn summary(cube: &dyn Cube, inspection: &Inspection) -> Result<String, std::fmt::Error> {
    let info = cube.info();
    let mut text = String::new();
    let what = match info.kind {
        Kind::Cube => "cube",
        Kind::Labels => "label map",
    };
    writeln!(text, "{}: {what} of {} rows × {} columns × {} bands", info.name, info.rows, info.cols, info.bands)?;
    if let Some(variable) = &info.variable {
        writeln!(text, "variable     {variable}")?;
    }
    writeln!(text, "samples      {}, {}", info.dtype.name(), info.interleave.name())?;
    match info.wavelengths_nm.as_deref() {
        Some([first, .., last]) => writeln!(text, "wavelengths  {first:.2} to {last:.2} nm")?,
        Some([only]) => writeln!(text, "wavelength   {only:.2} nm")?,
        _ => writeln!(text, "wavelengths  unknown")?,
    }
    if let Some(widths) = &info.fwhm_nm {
        let low = widths.iter().copied().fold(f64::INFINITY, f64::min);
        let high = widths.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        writeln!(text, "band widths  {low:.2} to {high:.2} nm (FWHM)")?;
    }
    if let Some([first, .., last]) = info.band_names.as_deref() {
        writeln!(text, "band names   {first} to {last}")?;
    }
    let bad = info.good_bands.iter().filter(|good| !**good).count();
    if bad > 0 {
        writeln!(text, "bad bands    {bad}")?;
    }
    if let Some(nodata) = info.nodata {
        writeln!(text, "no data      {nodata}")?;
    }
    if let Some(names) = &info.class_names {
        writeln!(text, "classes      {}", names.join(", "))?;
    }
    if let Some(map_info) = info.geo.as_ref().and_then(|geo| geo.map_info.as_ref()) {
        writeln!(text, "map info     {}", map_info.split_whitespace().collect::<Vec<_>>().join(" "))?;
    }
    match inspection.mean {
        Some(mean) => writeln!(text, "mean         {mean} (of all finite samples as stored)")?,
        None => writeln!(text, "mean         none: no finite sample")?,
    }
    for sample in &inspection.samples {
        writeln!(text, "({}, {}, {})  {}", sample.row, sample.col, sample.band, sample.value)?;
    }
    for note in &info.notes {
        writeln!(text, "note         {note}")?;
    }
    text.truncate(text.trim_end().len());
    Ok(text)
}
