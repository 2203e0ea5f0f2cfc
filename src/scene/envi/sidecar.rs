//! An ENVI header beside an image that is whole without one: a TIFF.

use super::super::{SceneError, SceneInfo, SharedSource};
use super::header::Header;
use super::{optional, read_header};

/// A header that adds to what an image says itself.
pub(crate) struct Sidecar {
    name: String,
    header: Header,
}

impl Sidecar {
    /// # Errors
    /// The file is not an ENVI header.
    pub fn read(source: &SharedSource) -> Result<Self, SceneError> {
        Ok(Self { name: source.name().to_owned(), header: read_header(source)? })
    }

    /// Whether the header describes the bytes behind the beginning of the file, whatever that is: then it is read as any
    /// ENVI pair.
    pub fn points_into_bytes(&self) -> bool {
        let tiff = self.header.word("file type").is_some_and(|kind| kind.to_lowercase().contains("tif"));
        !tiff && matches!(self.header.optional_count("header offset"), Ok(Some(1..)))
    }

    fn size(&self) -> [Option<u64>; 3] {
        ["lines", "samples", "bands"].map(|key| self.header.optional_count(key).ok().flatten())
    }

    /// Whether the header states the size of this image.
    pub fn describes(&self, info: &SceneInfo) -> bool {
        self.size() == [info.rows, info.cols, info.bands].map(|n| Some(n as u64))
    }

    /// Adds what the header knows about the bands and classes to the description of an image.
    ///
    /// # Errors
    /// [`SceneError::MissingCompanion`] when the header states another size.
    pub fn complete(&self, info: &mut SceneInfo) -> Result<(), SceneError> {
        let Self { name, header } = self;
        if !self.describes(info) {
            let shown = self.size().map(|n| n.map_or_else(|| "?".to_owned(), |n| n.to_string()));
            return Err(SceneError::MissingCompanion {
                name: name.clone(),
                what: format!(
                    "it states {} rows × columns × bands, but {} has {} × {} × {}; choose the data file of this header, or \
                     the image without it",
                    shown.join(" × "),
                    info.name,
                    info.rows,
                    info.cols,
                    info.bands
                ),
            });
        }
        let (mut notes, mut taken) = (header.notes.clone(), Vec::new());
        let fields = optional::band_fields(header, info.bands, &mut notes);
        fn take<T: PartialEq>(from: Option<T>, to: &mut Option<T>, what: &'static str, taken: &mut Vec<&'static str>) {
            if from.is_some() {
                *to = from;
                taken.push(what);
            }
        }
        take(fields.wavelengths_nm, &mut info.wavelengths_nm, "wavelengths", &mut taken);
        take(fields.fwhm_nm, &mut info.fwhm_nm, "band widths", &mut taken);
        take(fields.band_names, &mut info.band_names, "band names", &mut taken);
        if let Some(good_bands) = fields.good_bands {
            info.good_bands = good_bands;
            taken.push("bad bands");
        }
        take(optional::nodata(header, info.dtype, &mut notes), &mut info.nodata, "no-data value", &mut taken);
        take(optional::class_names(header), &mut info.class_names, "class names", &mut taken);
        take(optional::class_colors(header, &mut notes), &mut info.class_colors, "class colours", &mut taken);
        optional::scale_note(header, &mut notes);
        info.notes.extend(notes);
        if !taken.is_empty() {
            info.notes.push(format!("taken from {name}: {}", taken.join(", ")));
        }
        Ok(())
    }
}
