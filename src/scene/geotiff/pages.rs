//! Which of the images in a file are the scene: one image, or pages of one band each.
//!
//! Spectral cameras, ImageJ and scripts write one page a band. Overviews, thumbnails and masks say what they are
//! (NewSubfileType, TIFF 6.0 section 8) and are no pages.

use std::collections::HashSet;

use super::super::shape::{MAX_BANDS, Shape};
use super::super::{SceneError, SharedSource};
use super::chunk::Compression;
use super::directory::Directory;
use super::image::{CHUNKS_MAX, Image};

const NEW_SUBFILE_TYPE: u16 = 254;
const IMAGE_DESCRIPTION: u16 = 270;
const REDUCED: u64 = 1;
const MASK: u64 = 4;

/// Tags that are read in all pages together: those of 65 536 pages with a few dozen each.
const TAGS_MAX: usize = 1 << 21;
const DESCRIPTION_MAX: u64 = 16 << 20;

/// The scene in a TIFF file.
pub(super) struct Pages {
    /// The tags of the first page.
    pub tags: Directory,
    pub image: Image,
    pub notes: Vec<String>,
}

/// Reads the directories of a file one after another.
///
/// # Errors
/// The first image is broken or of a kind that is not opened, or the pages do not make one cube.
pub(super) fn read(source: &SharedSource) -> Result<Pages, SceneError> {
    let name = source.name();
    let mut found: Option<(Directory, Image)> = None;
    let mut skipped: Option<Directory> = None;
    let (mut pages, mut reduced, mut masks, mut tags_read) = (0u64, 0u64, 0u64, 0usize);
    let mut broken = None;
    let mut visited = HashSet::new();
    let mut next = Directory::first(source)?;
    while let Some(at) = next.filter(|&at| at != 0) {
        if !visited.insert(at) {
            broken = Some("the list of its images runs in a circle".to_owned());
            break;
        }
        let tags = match Directory::read(source, at) {
            Ok(tags) => tags,
            Err(error) if visited.len() == 1 => return Err(error),
            Err(_) => {
                broken = Some(format!("the description of another image at byte {at} cannot be read"));
                break;
            }
        };
        next = tags.next;
        tags_read += tags.len();
        if visited.len() as u64 > MAX_BANDS || tags_read > TAGS_MAX {
            return Err(SceneError::unsupported(name, format!("the file has more than {} pages", visited.len() - 1)));
        }
        let kind = tags.number(NEW_SUBFILE_TYPE).ok().flatten().unwrap_or(0);
        if kind & (REDUCED | MASK) != 0 {
            *(if kind & MASK != 0 { &mut masks } else { &mut reduced }) += 1;
            skipped.get_or_insert(tags);
            continue;
        }
        pages += 1;
        match &mut found {
            None => {
                let image = Image::from_tags(source, &tags)?;
                found = Some((tags, image));
            }
            Some((_, image)) => {
                let page = Image::from_tags(source, &tags).map_err(|error| {
                    let reason = match error {
                        SceneError::Malformed { what, .. } | SceneError::Unsupported { what, .. } => what,
                        other => other.to_string(),
                    };
                    let what = format!("the file holds several pages, and page {pages} cannot be used: {reason}");
                    SceneError::unsupported(name, what)
                })?;
                append(name, image, page, pages)?;
            }
        }
    }
    let (tags, mut image) = match (found, skipped) {
        (Some(found), _) => found,
        // Nothing but images that call themselves reduced: the first is all there is.
        (None, Some(tags)) => {
            let image = Image::from_tags(source, &tags)?;
            (tags, image)
        }
        (None, None) => return Err(SceneError::malformed(name, "the file holds no image")),
    };
    let mut notes = Vec::new();
    match broken {
        Some(what) if pages > 1 => {
            return Err(SceneError::malformed(
                name,
                format!("{what} behind page {pages}; the file is damaged, fetch it again"),
            ));
        }
        Some(what) => notes.push(format!("{what}, ignored")),
        None => {}
    }
    if pages > 1 {
        image.shape = Shape::checked(name, image.shape.rows as u64, image.shape.cols as u64, pages)?;
        image.planar = true;
        notes.push(format!("the {pages} pages of the file are taken as its bands"));
    }
    imagej(source, &tags, &mut image, pages, &mut notes)?;
    if reduced > 0 {
        notes.push("the file also holds smaller copies of the image (overviews or thumbnails), ignored".to_owned());
    }
    if masks > 0 {
        notes.push("the file also holds a mask of valid pixels, which is not applied".to_owned());
    }
    Ok(Pages { tags, image, notes })
}

/// Adds a page to the pages before it.
fn append(name: &str, image: &mut Image, page: Image, number: u64) -> Result<(), SceneError> {
    let way_out = "save the pages as bands of one image, or one of them as a file of its own (gdal_translate \
                   GTIFF_DIR:1:FILE page.tif)";
    let refuse = |what: String| Err(SceneError::unsupported(name, format!("{what}; {way_out}")));
    let said = |image: &Image| {
        let Shape { rows, cols, bands } = image.shape;
        format!("{rows} × {cols} × {bands} of {}", image.stored.sample.name())
    };
    if page.shape != image.shape || page.stored != image.stored {
        return refuse(format!(
            "the file holds pages of different kinds (the first has {}, page {number} has {})",
            said(image),
            said(&page)
        ));
    }
    if image.shape.bands != 1 {
        return refuse(format!("the file holds several pages of {} bands each", image.shape.bands));
    }
    let storage = |image: &Image| (image.tiled, image.chunk_rows, image.chunk_cols, image.compression, image.predictor);
    if storage(&page) != storage(image) {
        return refuse(format!("the file holds pages that are compressed or cut differently (page {number})"));
    }
    if (image.chunks.len() + page.chunks.len()) as u64 > CHUNKS_MAX {
        return refuse(format!("the pages are cut into more than {CHUNKS_MAX} pieces"));
    }
    image.chunks.extend(page.chunks);
    Ok(())
}

/// ImageJ describes only the first image of a stack of more than 4 GB; the others follow it without a gap.
fn imagej(
    source: &SharedSource,
    tags: &Directory,
    image: &mut Image,
    pages: u64,
    notes: &mut Vec<String>,
) -> Result<(), SceneError> {
    let name = source.name();
    let text = tags.text(IMAGE_DESCRIPTION, DESCRIPTION_MAX).ok().flatten().unwrap_or_default();
    if !text.starts_with("ImageJ=") {
        return Ok(());
    }
    let images = text.lines().find_map(|line| line.strip_prefix("images=")?.trim().parse::<u64>().ok()).unwrap_or(1);
    if images <= 1 || images == pages {
        return Ok(());
    }
    if pages > 1 || image.shape.bands > 1 {
        notes.push(format!("ImageJ states {images} images, but the file holds {pages}"));
        return Ok(());
    }
    let page = image.plane_bytes();
    let follow = |pair: &[(u64, u64)], rows: usize| pair[0].0 + image.bytes_of_rows(rows) == pair[1].0;
    let whole = image.compression == Compression::None
        && !image.tiled
        && image.chunks.windows(2).all(|pair| follow(pair, image.chunk_rows));
    if !whole {
        let what = format!(
            "ImageJ states {images} images, but only the first is described and it is not stored in one piece; save the \
             stack again with fewer than 4 GB, uncompressed"
        );
        return Err(SceneError::unsupported(name, what));
    }
    let base = image.chunks.first().map_or(0, |chunk| chunk.0);
    let end = images.checked_mul(page).and_then(|bytes| bytes.checked_add(base));
    if images > MAX_BANDS || end.is_none_or(|end| end > source.len()) {
        return Err(SceneError::malformed(
            name,
            format!(
                "ImageJ states {images} images of {page} bytes behind byte {base}, but the file ends at {}; it is cut short, \
                 fetch it again",
                source.len()
            ),
        ));
    }
    image.shape = Shape::checked(name, image.shape.rows as u64, image.shape.cols as u64, images)?;
    (image.planar, image.chunk_rows, image.down) = (true, image.shape.rows, 1);
    image.chunks = (0..images).map(|index| (base + index * page, page)).collect();
    notes.push(format!("the {images} images of the ImageJ stack are taken as its bands"));
    Ok(())
}
