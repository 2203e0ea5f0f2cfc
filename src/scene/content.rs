//! What a file is, by its first bytes.

use super::samples::Endian;
use super::{SceneError, SharedSource, envi, geotiff, matlab, numpy};

/// How much of a file is looked at.
const START: usize = 520;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Empty,
    EnviHeader,
    Matlab5(Endian),
    Npy,
    Zip,
    Tiff,
    /// Known, but not opened: what it is and what to do.
    Refused(&'static str),
    /// Lines of readable text of no known kind.
    Text,
    Unknown,
}

impl Content {
    /// Whether one of the readers takes the file alone.
    pub fn stands_alone(self) -> bool {
        matches!(self, Self::Matlab5(_) | Self::Npy | Self::Zip | Self::Tiff)
    }

    /// Looks at the beginning of a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(source: &SharedSource) -> Result<Self, SceneError> {
        let mut start = [0; START];
        let len = source.len().min(START as u64) as usize;
        let start = &mut start[..len];
        source.read_at(0, start)?;
        Ok(Self::of_start(start))
    }

    fn of_start(start: &[u8]) -> Self {
        if start.is_empty() {
            Self::Empty
        } else if envi::is_envi(start) {
            Self::EnviHeader
        } else if let Some(endian) = matlab::level5_endian(start) {
            Self::Matlab5(endian)
        } else if numpy::is_npy(start) {
            Self::Npy
        } else if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
            Self::Zip
        } else if geotiff::is_tiff(start) {
            Self::Tiff
        } else if let Some((.., what)) =
            REFUSED.iter().find(|(at, magic, _)| start.get(*at..).is_some_and(|rest| rest.starts_with(magic)))
        {
            Self::Refused(what)
        } else if matlab::is_level4(start) {
            Self::Refused("this is a MATLAB level-4 file, which cannot hold a cube; in MATLAB save it with -v7")
        } else if let Some(what) = known_text(start) {
            Self::Refused(what)
        } else if is_text(start) {
            Self::Text
        } else {
            Self::Unknown
        }
    }
}

const MATLAB73: &str = "this is a MATLAB 7.3 file (HDF5), which cannot be opened yet; in MATLAB save it with -v7";
const HDF5: &str = "this is an HDF5 or NetCDF-4 file, which cannot be opened yet; convert the cube to ENVI, for example \
                    with gdal_translate -of ENVI HDF5:FILE://DATASET scene.img (gdalinfo FILE lists the datasets)";
const NETCDF: &str = "this is a classic NetCDF file, which cannot be opened yet; convert the cube to ENVI with \
                      gdal_translate -of ENVI NETCDF:FILE:VARIABLE scene.img (gdalinfo FILE lists the variables)";
const HDF4: &str = "this is an HDF4 file, which cannot be opened yet; convert the cube to ENVI, for example with \
                    gdal_translate -of ENVI of the subdataset that gdalinfo FILE lists";
const ERDAS_IMG: &str = "this is an ERDAS Imagine file, which cannot be opened yet; convert it with \
                         gdal_translate -of ENVI FILE scene.img";
const ERDAS_LAN: &str = "this is an ERDAS 7 file (.lan or .gis), which cannot be opened yet; convert it with \
                         gdal_translate -of ENVI FILE scene.img";
const OCTAVE_TEXT: &str = "this is a text file of Octave, not a binary MATLAB file; in Octave save it with save -v7";
const OCTAVE_BINARY: &str = "this is a file in Octave's own binary format; in Octave save it with save -v7";
const R_DATA: &str = "this is a file of R (RData or RDS), which cannot be opened; write the array from R as ENVI or \
                      GeoTIFF, for example with terra::writeRaster";
const JPEG2000: &str = "this is a JPEG 2000 image, which cannot be opened; convert it with gdal_translate -of GTiff FILE \
                        scene.tif, and several bands of one scene with gdalbuildvrt -separate first";
const FITS: &str = "this is a FITS file, which cannot be opened yet; convert it with gdal_translate -of ENVI FILE scene.img, \
                    or in Python with astropy and numpy.save";
const PDS: &str = "this is a file of NASA's Planetary Data System, which cannot be opened yet; convert it with \
                   gdal_translate -of ENVI FILE scene.img";
const NITF: &str =
    "this is a NITF file, which cannot be opened yet; convert it with gdal_translate -of ENVI FILE scene.img";
const PICKLE: &str = "this is a Python pickle, which can run programs and is never opened; in Python save the array \
                      itself with numpy.save";
const GZIP: &str = "this file is compressed (gzip); unpack it first with gunzip or tar, then choose the scene in it";
const XZ: &str = "this file is compressed (xz); unpack it first, then choose the scene in it";
const BZIP2: &str = "this file is compressed (bzip2); unpack it first, then choose the scene in it";
const ZSTD: &str = "this file is compressed (zstd); unpack it first, then choose the scene in it";
const SEVEN_ZIP: &str = "this is a 7-Zip archive; unpack it first, then choose the scene in it";
const RAR: &str = "this is a RAR archive; unpack it first, then choose the scene in it";
const TAR: &str = "this is a tar archive; unpack it first, then choose the scene in it";
const PDF: &str = "this is a PDF document, not a hyperspectral scene; choose the original data";
const JPEG: &str = "this is a JPEG picture, not a hyperspectral scene; choose the original data";
const PNG: &str = "this is a PNG picture, not a hyperspectral scene; choose the original data";
const GIF: &str = "this is a GIF picture, not a hyperspectral scene; choose the original data";
const DATABASE: &str = "this is a database (SQLite or GeoPackage), not a scene; choose the original data";
const OFFICE: &str = "this is a document of an office program, not a scene; choose the original data";
const SHAPEFILE: &str = "this is a shapefile (outlines), not an image; burn it into an image of class numbers with \
                         gdal_rasterize and choose that";
const DICOM: &str = "this is a DICOM file, which cannot be opened; choose the original data";
const GRIB: &str =
    "this is a GRIB file, which cannot be opened; convert it with gdal_translate -of ENVI FILE scene.img";

/// Signatures of what is known but not opened: where, what, and the words for it.
const REFUSED: &[(usize, &[u8], &str)] = &[
    (0, b"MATLAB 7.3", MATLAB73),
    (512, b"\x89HDF\r\n\x1a\n", MATLAB73),
    (0, b"\x89HDF\r\n\x1a\n", HDF5),
    (0, b"CDF\x01", NETCDF),
    (0, b"CDF\x02", NETCDF),
    (0, b"CDF\x05", NETCDF),
    (0, b"\x0e\x03\x13\x01", HDF4),
    (0, b"EHFA_HEADER_TAG", ERDAS_IMG),
    (0, b"HEAD74", ERDAS_LAN),
    (0, b"HEADER\0", ERDAS_LAN),
    (0, b"Octave-1-", OCTAVE_BINARY),
    (0, b"RDX2\n", R_DATA),
    (0, b"RDX3\n", R_DATA),
    (0, b"RDA2\n", R_DATA),
    (0, b"RDA3\n", R_DATA),
    (0, b"X\n\0\0\0", R_DATA),
    (0, b"\0\0\0\x0cjP  \r\n", JPEG2000),
    (0, b"\xff\x4f\xff\x51", JPEG2000),
    (0, b"SIMPLE  =", FITS),
    (0, b"PDS_VERSION_ID", PDS),
    (0, b"CCSD3ZF", PDS),
    (0, b"NITF0", NITF),
    (0, b"NSIF0", NITF),
    (0, b"\x80\x02c", PICKLE),
    (0, b"\x80\x03c", PICKLE),
    (0, b"\x80\x04\x95", PICKLE),
    (0, b"\x80\x05\x95", PICKLE),
    (0, b"\x1f\x8b\x08", GZIP),
    (0, b"\xfd7zXZ\0", XZ),
    (0, b"BZh", BZIP2),
    (0, b"\x28\xb5\x2f\xfd", ZSTD),
    (0, b"7z\xbc\xaf\x27\x1c", SEVEN_ZIP),
    (0, b"Rar!\x1a\x07", RAR),
    (257, b"ustar", TAR),
    (0, b"%PDF-", PDF),
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"\x89PNG", PNG),
    (0, b"GIF8", GIF),
    (0, b"SQLite format 3\0", DATABASE),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OFFICE),
    (0, b"\0\0\x27\x0a", SHAPEFILE),
    (128, b"DICM", DICOM),
    (0, b"GRIB", GRIB),
];

/// Text that says what it is.
fn known_text(start: &[u8]) -> Option<&'static str> {
    if !is_text(start) {
        return None;
    }
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let text = String::from_utf8_lossy(start).to_lowercase();
    let text = text.trim_start();
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| text.starts_with(beginning));
    Some(if begins(&["# created by octave", "# name:", "% created by octave", "% name:"]) {
        OCTAVE_TEXT
    } else if begins(&["<!doctype html", "<html", "<head"]) {
        "this is a web page, not a scene: the download was refused or needs a login; fetch the file itself"
    } else if begins(&["version https://git-lfs"]) {
        "this is only a pointer to a large file (Git LFS); fetch the file itself with git lfs pull"
    } else if begins(&["<vrtdataset"]) {
        "this is a virtual dataset of GDAL, which only points to other files; write it out with gdal_translate -of ENVI \
         FILE scene.img"
    } else if begins(&["object = isiscube", "object=isiscube"]) {
        "this is an ISIS cube, which cannot be opened yet; convert it with gdal_translate -of ENVI FILE scene.img"
    } else if begins(&["odl_version_id"]) {
        PDS
    } else if begins(&["<?xml", "<"]) {
        "this is an XML file that describes other data; choose the image itself"
    } else if begins(&["{", "["]) {
        "this is a JSON file, not an image; choose the image itself"
    } else {
        return None;
    })
}

/// Printable characters, blanks and line ends only.
fn is_text(start: &[u8]) -> bool {
    // A character may be cut at the end of what is looked at.
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if start.len() == START && error.valid_up_to() + 4 > start.len() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(start: &[u8]) -> String {
        match Content::of_start(start) {
            Content::Refused(what) => what.to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn known_files_are_named_with_a_remedy() {
        let ustar = [vec![b'a'; 257], b"ustar\x0000".to_vec()].concat();
        let user_block = [vec![0; 512], b"\x89HDF\r\n\x1a\n".to_vec()].concat();
        for (start, said) in [
            (&b"CDF\x01\0\0\0\0"[..], "NetCDF"),
            (b"CDF\x02\0\0\0\0", "gdal_translate"),
            (b"CDF\x05\0\0\0\0", "NetCDF"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (&user_block, "7.3"),
            (b"\x0e\x03\x13\x01", "HDF4"),
            (b"EHFA_HEADER_TAG\0", "ERDAS"),
            (b"HEAD74\0\0", "ERDAS"),
            (b"# Created by Octave 6.4.0, Mon Mar 04\n# name: x\n", "save -v7"),
            (b"Octave-1-L\0", "save -v7"),
            (b"RDX3\nX\n", "file of R"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
            (b"%PDF-1.7\n", "PDF"),
            (b"SIMPLE  =                    T", "FITS"),
            (b"PDS_VERSION_ID = PDS3\r\n", "Planetary"),
            (b"Object = IsisCube\n", "ISIS"),
            (b"<!DOCTYPE html>\n<html>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"\x80\x03cnumpy", "numpy.save"),
            (b"<VRTDataset rasterXSize=\"3\">", "virtual dataset"),
            (&ustar, "tar archive"),
            (b"a,b,c\n1,2,3\n", "Text"),
            (b"\x01\x02\x03\x04", "Unknown"),
        ] {
            assert!(words(start).contains(said), "{said}: {}", words(start));
        }
    }
}
