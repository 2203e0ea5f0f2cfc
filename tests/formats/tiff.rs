//! TIFF files with several images, alpha channels and masks, written byte by byte.

use std::rc::Rc;

use sigmascope::scene::{Cube, Kind, MemorySource, OpenOptions, SceneError, open, value};

use super::{check_windows, read, same, whole};

const SHORT: u16 = 3;
const LONG: u16 = 4;
const ASCII: u16 = 2;

/// One image: its tags but for those of the strip, and the bytes of its only strip.
#[derive(Clone)]
struct Page {
    tags: Vec<(u16, u16, Vec<u32>)>,
    text: Vec<(u16, String)>,
    strip: Vec<u8>,
}

impl Page {
    /// `samples` a pixel, 8 or 16 bits each.
    fn new(rows: u32, cols: u32, samples: u32, bits: u32, strip: Vec<u8>) -> Self {
        let tags = vec![
            (256, LONG, vec![cols]),
            (257, LONG, vec![rows]),
            (258, SHORT, vec![bits; samples as usize]),
            (259, SHORT, vec![1]),
            (277, SHORT, vec![samples]),
        ];
        Self { tags, text: Vec::new(), strip }
    }

    fn with(mut self, tag: u16, values: &[u32]) -> Self {
        self.tags.push((tag, SHORT, values.to_vec()));
        self
    }

    fn saying(mut self, tag: u16, text: &str) -> Self {
        self.text.push((tag, format!("{text}\0")));
        self
    }
}

/// The pages one after another; the last link goes to `last_link`.
fn file(pages: &[Page], last_link: u32) -> Vec<u8> {
    let mut bytes = b"II\x2a\0\0\0\0\0".to_vec();
    let mut link_at = 4;
    for page in pages {
        let strip_at = bytes.len() as u32;
        bytes.extend(&page.strip);
        let mut tags = page.tags.clone();
        tags.extend([(273, LONG, vec![strip_at]), (279, LONG, vec![page.strip.len() as u32])]);
        let encode = |kind: u16, values: &[u32]| -> Vec<u8> {
            let wide = |value: &u32| {
                if kind == SHORT { value.to_le_bytes()[..2].to_vec() } else { value.to_le_bytes().to_vec() }
            };
            values.iter().flat_map(wide).collect()
        };
        let mut entries: Vec<(u16, u16, u32, Vec<u8>)> =
            tags.iter().map(|(tag, kind, values)| (*tag, *kind, values.len() as u32, encode(*kind, values))).collect();
        entries.extend(page.text.iter().map(|(tag, text)| (*tag, ASCII, text.len() as u32, text.clone().into_bytes())));
        entries.sort_by_key(|entry| entry.0);
        for entry in &mut entries {
            if entry.3.len() > 4 {
                let at = bytes.len() as u32;
                bytes.extend(&entry.3);
                entry.3 = at.to_le_bytes().to_vec();
            }
            entry.3.resize(4, 0);
        }
        let directory = bytes.len() as u32;
        bytes[link_at..link_at + 4].copy_from_slice(&directory.to_le_bytes());
        bytes.extend((entries.len() as u16).to_le_bytes());
        for (tag, kind, count, place) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(count.to_le_bytes());
            bytes.extend(place);
        }
        link_at = bytes.len();
        bytes.extend([0; 4]);
    }
    bytes[link_at..].copy_from_slice(&last_link.to_le_bytes());
    bytes
}

fn opened(bytes: Vec<u8>) -> Result<Box<dyn Cube>, SceneError> {
    open(&[Rc::new(MemorySource::new("x.tif", bytes))], &OpenOptions::default())
}

fn refusal(bytes: Vec<u8>) -> String {
    opened(bytes).err().map(|error| error.to_string()).unwrap_or_default()
}

const ROWS: u32 = 5;
const COLS: u32 = 4;

/// 5 × 4 pixels of 16 bits: 100 · page + pixel.
fn page(number: u32) -> Page {
    let pixels = (0..ROWS * COLS).flat_map(|pixel| (100 * number + pixel).to_le_bytes()[..2].to_vec()).collect();
    Page::new(ROWS, COLS, 1, 16, pixels)
}

fn check_pages(cube: &dyn Cube, pages: usize) {
    let info = cube.info();
    assert_eq!((info.rows, info.cols, info.bands, info.kind), (5, 4, pages, Kind::Cube));
    let all = read(cube, &whole(cube)).unwrap_or_else(|error| panic!("{error}"));
    for (index, value) in all.iter().enumerate() {
        assert_eq!(*value, (100 * (index % pages) + index / pages) as f64);
    }
    check_windows("pages", cube);
}

#[test]
fn pages_become_bands() {
    let pages: Vec<Page> = (0..6).map(page).collect();
    let cube = opened(file(&pages, 0)).unwrap_or_else(|error| panic!("{error}"));
    check_pages(cube.as_ref(), 6);
    assert_eq!(cube.info().notes, ["the 6 pages of the file are taken as its bands"]);
    // A thumbnail in front, and an overview behind each page.
    let small = Page::new(2, 2, 1, 8, vec![9; 4]).with(254, &[1]);
    let mut mixed = vec![small.clone()];
    mixed.extend(pages.iter().flat_map(|page| [page.clone(), small.clone()]));
    let cube = opened(file(&mixed, 0)).unwrap_or_else(|error| panic!("{error}"));
    check_pages(cube.as_ref(), 6);
    assert!(cube.info().notes.iter().any(|note| note.contains("overviews")));
}

#[test]
fn one_image_with_smaller_copies_or_a_mask_stays_one_image() {
    for (kind, word) in [(1, "overviews"), (4, "mask of valid pixels")] {
        let other = Page::new(5, 4, 1, 8, vec![1; 20]).with(254, &[kind]);
        let cube = opened(file(&[page(3), other], 0)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((cube.info().bands, value(cube.as_ref(), 1, 1, 0)), (1, Ok(305.0)));
        assert!(cube.info().notes.iter().any(|note| note.contains(word)), "{:?}", cube.info().notes);
    }
    // An image that only calls itself reduced is all there is.
    assert!(opened(file(&[page(0).with(254, &[1])], 0)).is_ok());
}

#[test]
fn pages_that_make_no_cube_are_refused_as_pages() {
    let other_size = Page::new(2, 2, 1, 16, vec![0; 8]);
    let other_type = Page::new(5, 4, 1, 8, vec![0; 20]);
    let colours = Page::new(5, 4, 3, 8, vec![0; 60]);
    let other_strips = page(1).with(278, &[2]);
    for (pages, words) in [
        (vec![page(0), other_size], "pages of different kinds (the first has 5 × 4 × 1 of u16, page 2 has 2 × 2 × 1"),
        (vec![page(0), page(1), other_type], "page 3 has 5 × 4 × 1 of u8"),
        (vec![colours.clone(), colours], "several pages of 3 bands each"),
        (vec![page(0), other_strips], "page 2"),
    ] {
        let said = refusal(file(&pages, 0));
        assert!(said.contains("pages") && said.contains(words), "{said}");
    }
}

#[test]
fn a_broken_list_of_pages_loses_none_in_silence() {
    let first_directory = |bytes: &[u8]| u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    for bad_link in [None, Some(0x7fff_0000)] {
        let link = |pages: &[Page]| bad_link.unwrap_or_else(|| first_directory(&file(pages, 0)));
        let several = [page(0), page(1)];
        let said = refusal(file(&several, link(&several)));
        assert!(said.contains("behind page 2") && said.contains("damaged"), "{said}");
        let one = [page(0)];
        let cube = opened(file(&one, link(&one))).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((cube.info().bands, cube.info().notes.len()), (1, 1));
    }
}

#[test]
fn stacks_of_imagej_whose_images_follow_the_first() {
    let description = "ImageJ=1.53t\nimages=7\nslices=7\nloop=false\n";
    let pixels: Vec<u8> = (0..7).flat_map(|number| page(number).strip).collect();
    // Only the first image is described; the strip says its own length only.
    let mut first = page(0).saying(270, description);
    first.strip.clone_from(&pixels);
    let mut bytes = file(&[first], 0);
    let length_at = bytes.windows(4).position(|four| four == [0x17, 1, 4, 0]).expect("the tag of the length") + 8;
    bytes[length_at..length_at + 4].copy_from_slice(&(ROWS * COLS * 2).to_le_bytes());
    let cube = opened(bytes.clone()).unwrap_or_else(|error| panic!("{error}"));
    check_pages(cube.as_ref(), 7);
    assert!(cube.info().notes.iter().any(|note| note.contains("7 images of the ImageJ stack")));
    // As pages of their own.
    let mut pages: Vec<Page> = (0..7).map(page).collect();
    pages[0] = page(0).saying(270, description);
    let cube = opened(file(&pages, 0)).unwrap_or_else(|error| panic!("{error}"));
    check_pages(cube.as_ref(), 7);
    // Cut short, and more than any file has.
    for images in ["images=9000", "images=18446744073709551615"] {
        let said = refusal(file(&[page(0).saying(270, &description.replace("images=7", images))], 0));
        assert!(said.contains("ImageJ states") && said.contains("cut short"), "{said}");
    }
}

#[test]
fn an_alpha_channel_is_a_mask() {
    // 3 samples a pixel: colour, alpha, colour. The alpha of every third pixel is 0.
    let sample = |pixel: u32, sample: u32| match sample {
        1 => u8::from(!pixel.is_multiple_of(3)) * 200,
        _ => (10 * sample + pixel) as u8,
    };
    let chunky: Vec<u8> = (0..20).flat_map(|pixel| (0..3).map(move |s| sample(pixel, s))).collect();
    let image = Page::new(5, 4, 3, 8, chunky).with(338, &[2, 0]);
    for (page, hidden) in [(image.clone(), f64::NAN), (image.clone().saying(42113, "77"), 77.0)] {
        let cube = opened(file(&[page], 0)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((cube.info().bands, cube.info().good_bands.len()), (2, 2));
        assert!(cube.info().notes.iter().any(|note| note.contains("sample 2 of each pixel is an alpha channel")));
        let all = read(cube.as_ref(), &whole(cube.as_ref())).unwrap_or_else(|error| panic!("{error}"));
        for (index, found) in all.iter().enumerate() {
            let (pixel, band) = (index as u32 / 2, index as u32 % 2);
            let want = if pixel % 3 == 0 { hidden } else { f64::from(sample(pixel, 2 * band)) };
            assert!(same(*found, want), "{pixel}, {band}: {found}");
        }
        check_windows("alpha", cube.as_ref());
    }
    // Every extra sample called alpha, as some writers do, means nothing.
    let all_alpha = Page::new(5, 4, 3, 8, vec![0; 60]).with(338, &[2, 2]);
    assert_eq!(opened(file(&[all_alpha], 0)).map(|cube| cube.info().bands).ok(), Some(3));
    assert_eq!(opened(file(&[image.with(284, &[1])], 0)).map(|cube| cube.info().bands).ok(), Some(2));
}
