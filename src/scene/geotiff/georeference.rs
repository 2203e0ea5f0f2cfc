//! GeoTIFF keys as the two lines that an ENVI header has for them.
//!
//! Format: OGC 19-008r4 (GeoTIFF 1.1); "map info" in the ENVI documentation of header files.

use super::super::{GeoReference, SceneError};
use super::directory::Directory;

const MODEL_PIXEL_SCALE: u16 = 33550;
const MODEL_TIEPOINT: u16 = 33922;
const MODEL_TRANSFORMATION: u16 = 34264;
const GEO_KEY_DIRECTORY: u16 = 34735;

const RASTER_TYPE: u64 = 1025;
const GEODETIC_CRS: u64 = 2048;
const PROJECTED_CRS: u64 = 3072;
const PIXEL_IS_POINT: u64 = 2;

/// A datum that UTM zones are commonly given in: the offset of its EPSG codes, ENVI's name, and its WKT parts.
struct Datum {
    epsg: u64,
    south: bool,
    envi: &'static str,
    crs: &'static str,
    gcs: &'static str,
}

const WGS84: &str = r#"GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]"#;
const ETRS89: &str = r#"GEOGCS["GCS_ETRS_1989",DATUM["D_ETRS_1989",SPHEROID["GRS_1980",6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]"#;
const NAD83: &str = r#"GEOGCS["GCS_North_American_1983",DATUM["D_North_American_1983",SPHEROID["GRS_1980",6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]"#;

const UTM_DATUMS: [Datum; 4] = [
    Datum { epsg: 32600, south: false, envi: "WGS-84", crs: "WGS_1984", gcs: WGS84 },
    Datum { epsg: 32700, south: true, envi: "WGS-84", crs: "WGS_1984", gcs: WGS84 },
    Datum { epsg: 25800, south: false, envi: "ETRS-89", crs: "ETRS_1989", gcs: ETRS89 },
    Datum { epsg: 26900, south: false, envi: "North America 1983", crs: "NAD_1983", gcs: NAD83 },
];

/// Corner and size of the pixels on the ground.
struct Grid {
    /// Raster position of the tie point, from the upper left corner of the first pixel.
    pixel: [f64; 2],
    /// Easting or longitude, northing or latitude of that position.
    ground: [f64; 2],
    size: [f64; 2],
}

fn grid(tags: &Directory) -> Result<Option<Grid>, SceneError> {
    let scale = tags.doubles(MODEL_PIXEL_SCALE, 16)?;
    let tie = tags.doubles(MODEL_TIEPOINT, 1 << 16)?;
    if let ([x, y, ..], [i, j, _, east, north, ..]) = (&scale[..], &tie[..]) {
        return Ok(Some(Grid { pixel: [*i, *j], ground: [*east, *north], size: [*x, *y] }));
    }
    let matrix = tags.doubles(MODEL_TRANSFORMATION, 16)?;
    // Rotated grids have no place in these two lines.
    Ok(match matrix[..] {
        [a, 0.0, _, east, 0.0, e, _, north, ..] => Some(Grid { pixel: [0.0; 2], ground: [east, north], size: [a, -e] }),
        _ => None,
    })
}

/// The numeric keys that are stored in the key directory itself.
fn keys(tags: &Directory) -> Result<Vec<(u64, u64)>, SceneError> {
    let directory = tags.numbers(GEO_KEY_DIRECTORY, 1 << 16)?.unwrap_or_default();
    let entries = directory.get(4..).unwrap_or_default().chunks_exact(4);
    Ok(entries.filter(|entry| entry[1] == 0).map(|entry| (entry[0], entry[3])).collect())
}

/// The georeference of an image; `None` without one or with a rotated grid.
///
/// UTM and geographic systems get full lines; others keep the grid as "Arbitrary", because an EPSG code alone does not
/// tell the projection's parameters. The second value says so.
pub(super) fn georeference(tags: &Directory) -> Result<(Option<GeoReference>, Option<String>), SceneError> {
    let Some(Grid { pixel, ground, size }) = grid(tags)? else { return Ok((None, None)) };
    let keys = keys(tags)?;
    let key = |wanted: u64| keys.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
    // ENVI counts from 1 at the upper left corner of the first pixel; "pixel is point" counts from its centre.
    let half = if key(RASTER_TYPE) == Some(PIXEL_IS_POINT) { 0.5 } else { 0.0 };
    let [x, y] = pixel.map(|p| p + 1.0 + half);
    let place = format!("{x:.4}, {y:.4}, {}, {}, {}, {}", ground[0], ground[1], size[0], size[1]);
    let geographic = |gcs: &str| GeoReference {
        map_info: Some(format!("Geographic Lat/Lon, {place}, WGS-84, units=Degrees")),
        coordinate_system: Some(gcs.to_owned()),
    };
    let projected = key(PROJECTED_CRS).filter(|&code| code != 32767);
    let utm = projected.and_then(|code| {
        let datum =
            UTM_DATUMS.iter().find(|datum| (1..=60).contains(&code.saturating_sub(datum.epsg)) && code > datum.epsg)?;
        Some((datum, code - datum.epsg))
    });
    Ok(match (utm, projected, key(GEODETIC_CRS)) {
        (Some((datum, zone)), ..) => {
            let Datum { south, envi, crs, gcs, .. } = datum;
            let (hemisphere, letter, northing) = if *south { ("South", "S", 10_000_000) } else { ("North", "N", 0) };
            let meridian = zone as i64 * 6 - 183;
            let geo = GeoReference {
                map_info: Some(format!("UTM, {place}, {zone}, {hemisphere}, {envi}, units=Meters")),
                coordinate_system: Some(format!(
                    "PROJCS[\"{crs}_UTM_Zone_{zone}{letter}\",{gcs},PROJECTION[\"Transverse_Mercator\"],\
                     PARAMETER[\"False_Easting\",500000.0],PARAMETER[\"False_Northing\",{northing}.0],\
                     PARAMETER[\"Central_Meridian\",{meridian}.0],PARAMETER[\"Scale_Factor\",0.9996],\
                     PARAMETER[\"Latitude_Of_Origin\",0.0],UNIT[\"Meter\",1.0]]"
                )),
            };
            (Some(geo), None)
        }
        (None, None, Some(4326)) => (Some(geographic(WGS84)), None),
        (None, projected, geodetic) => {
            let geo =
                GeoReference { map_info: Some(format!("Arbitrary, {place}, units=Meters")), coordinate_system: None };
            let note = match projected.or(geodetic) {
                Some(code) => format!("coordinate system EPSG:{code}: maps keep the pixel grid, not the projection"),
                None => "no known coordinate system: maps keep the pixel grid only".to_owned(),
            };
            (Some(geo), Some(note))
        }
    })
}
