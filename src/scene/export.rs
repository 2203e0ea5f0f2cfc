//! Maps out: class maps as ENVI classification and as PNG.

use thiserror::Error;

use super::GeoReference;
use crate::labels::LabelMap;

/// Why a map cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExportError {
    #[error("a map of {rows} × {cols} pixels with {len} labels cannot be written as PNG; map the scene again")]
    Shape { rows: usize, cols: usize, len: usize },
    #[error("the PNG could not be written: {reason}")]
    Png { reason: String },
}

/// A class map as the two files of an ENVI classification: (`NAME.hdr`, header) and (`NAME.img`, one byte a pixel, row by
/// row). Class 0 is "Unclassified" and black.
///
/// `name` loses what file systems and shells dislike; class names lose commas, braces and line ends, which end an entry in a
/// header. Class numbers without a name are called "Class N".
pub fn envi_classification(name: &str, map: &LabelMap, geo: Option<&GeoReference>) -> [(String, Vec<u8>); 2] {
    let entries = entries(map);
    let names: Vec<String> = entries.iter().map(|(name, _)| name.clone()).collect();
    let lookup: Vec<String> = entries.iter().flat_map(|(_, color)| color.map(|channel| channel.to_string())).collect();
    let mut header = format!(
        "ENVI\n\
         description = {{Class map, SigmaScope}}\n\
         samples = {}\n\
         lines = {}\n\
         bands = 1\n\
         header offset = 0\n\
         file type = ENVI Classification\n\
         data type = 1\n\
         interleave = bsq\n\
         byte order = 0\n\
         classes = {}\n\
         class lookup = {{{}}}\n\
         class names = {{{}}}\n\
         band names = {{Class}}\n",
        map.cols,
        map.rows,
        entries.len(),
        lookup.join(", "),
        names.join(", "),
    );
    let braced = |text: &str| text.chars().filter(|c| !matches!(c, '{' | '}' | '\r' | '\n')).collect::<String>();
    if let Some(map_info) = geo.and_then(|geo| geo.map_info.as_deref()) {
        header += &format!("map info = {{{}}}\n", braced(map_info));
    }
    if let Some(system) = geo.and_then(|geo| geo.coordinate_system.as_deref()) {
        header += &format!("coordinate system string = {{{}}}\n", braced(system));
    }
    // The header promises rows × cols bytes: should the map have fewer, the rest is unclassified.
    let mut pixels = map.labels.clone();
    pixels.resize(map.rows.saturating_mul(map.cols), 0);
    let name = file_name(name);
    [(format!("{name}.hdr"), header.into_bytes()), (format!("{name}.img"), pixels)]
}

/// A class map as PNG with a palette; unlabelled pixels are transparent.
///
/// # Errors
/// [`ExportError`] when the map is empty or contradicts its size.
pub fn class_map_png(map: &LabelMap) -> Result<Vec<u8>, ExportError> {
    let shape = ExportError::Shape { rows: map.rows, cols: map.cols, len: map.labels.len() };
    let (Ok(width), Ok(height)) = (u32::try_from(map.cols), u32::try_from(map.rows)) else { return Err(shape) };
    if width == 0 || height == 0 || map.rows.checked_mul(map.cols) != Some(map.labels.len()) {
        return Err(shape);
    }
    let fail = |error: png::EncodingError| ExportError::Png { reason: error.to_string() };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(entries(map).into_iter().flat_map(|(_, color)| color).collect::<Vec<u8>>());
    encoder.set_trns(vec![0]);
    let mut writer = encoder.write_header().map_err(fail)?;
    writer.write_image_data(&map.labels).map_err(fail)?;
    writer.finish().map_err(fail)?;
    Ok(bytes)
}

/// Name and colour of class 0, 1, … up to the highest that is named or used.
fn entries(map: &LabelMap) -> Vec<(String, [u8; 3])> {
    let used = map.labels.iter().copied().max().map_or(0, usize::from);
    let mut entries = vec![("Unclassified".to_owned(), [0; 3])];
    for class in 1..=used.max(map.classes.len()).min(255) {
        let (name, color) =
            map.classes.get(class - 1).map_or(("", [128; 3]), |class| (class.name.as_str(), class.color));
        let separators = |c: char| c.is_control() || matches!(c, ',' | '{' | '}' | '=');
        let name = name.split(separators).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        entries.push((if name.is_empty() { format!("Class {class}") } else { name }, color));
    }
    entries
}

/// Letters, digits, `-`, `_` and inner dots; anything else becomes `_`. At most 100 characters, never empty.
fn file_name(name: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = name.chars().map(kept).take(100).collect();
    let name = name.trim_matches(['.', '_']);
    if name.is_empty() { "map".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Class;

    fn map() -> LabelMap {
        let classes = [("Corn, {no till}\n", [255, 0, 1]), ("Oats", [2, 3, 4])]
            .map(|(name, color)| Class { name: name.to_owned(), color })
            .to_vec();
        LabelMap { rows: 2, cols: 3, labels: vec![0, 1, 2, 2, 3, 0], classes }
    }

    #[test]
    fn envi_header_and_bytes() {
        let geo = GeoReference {
            map_info: Some("UTM, 1, 1, 3e5, 5e6, 30, 30, 33, North".to_owned()),
            coordinate_system: Some("PROJCS[\"WGS 84 / UTM 33N\"]".to_owned()),
        };
        let [(header_name, header), (data_name, data)] = envi_classification("../a b:c.mat", &map(), Some(&geo));
        assert_eq!((header_name.as_str(), data_name.as_str()), ("a_b_c.mat.hdr", "a_b_c.mat.img"));
        assert_eq!(data, [0, 1, 2, 2, 3, 0]);
        let header = String::from_utf8(header).expect("text");
        assert!(header.starts_with("ENVI\n"));
        for line in [
            "samples = 3",
            "lines = 2",
            "file type = ENVI Classification",
            "classes = 4",
            "class lookup = {0, 0, 0, 255, 0, 1, 2, 3, 4, 128, 128, 128}",
            "class names = {Unclassified, Corn no till, Oats, Class 3}",
            "map info = {UTM, 1, 1, 3e5, 5e6, 30, 30, 33, North}",
            "coordinate system string = {PROJCS[\"WGS 84 / UTM 33N\"]}",
        ] {
            assert!(header.lines().any(|found| found == line), "{line} is not in\n{header}");
        }
        assert_eq!(envi_classification("///", &map(), None)[0].0, "map.hdr");
    }

    #[test]
    fn png_round_trip() {
        let bytes = class_map_png(&map()).expect("a map");
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().expect("a PNG");
        let mut pixels = vec![0; 6];
        reader.next_frame(&mut pixels).expect("pixels");
        assert_eq!(pixels, map().labels);
        let info = reader.info();
        assert_eq!((info.width, info.height, info.color_type), (3, 2, png::ColorType::Indexed));
        assert_eq!(info.palette.as_deref(), Some(&[0, 0, 0, 255, 0, 1, 2, 3, 4, 128, 128, 128][..]));
        assert_eq!(info.trns.as_deref(), Some(&[0][..]));
    }

    #[test]
    fn maps_that_contradict_themselves() {
        let mut broken = map();
        broken.rows = 5;
        assert_eq!(class_map_png(&broken), Err(ExportError::Shape { rows: 5, cols: 3, len: 6 }));
        let empty = LabelMap { rows: 0, cols: 0, labels: Vec::new(), classes: Vec::new() };
        assert!(class_map_png(&empty).is_err());
        let [(_, header), (_, data)] = envi_classification("x", &empty, None);
        assert!(data.is_empty() && String::from_utf8_lossy(&header).contains("class names = {Unclassified}"));
    }
}
