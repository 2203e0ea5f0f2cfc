//! Random splits: so many pixels a class to train and to validate, the rest to test.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use thiserror::Error;

use super::{LabelMap, LabelledPixel, Split};

/// Why a split cannot be drawn or used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SplitError {
    #[error("a split with 0 training pixels a class cannot train anything; ask for at least 1")]
    NothingToTrain,
    #[error("no pixel is labelled; label some pixels or open a ground truth first")]
    NothingLabelled,
    #[error("the label map says {rows} × {cols} pixels but holds {len} values")]
    Shape { rows: usize, cols: usize, len: usize },
    #[error(
        "pixel {index} has class {class}, but there are {classes} classes; extend the class table or correct the labels"
    )]
    Class { index: u32, class: u8, classes: usize },
}

/// The labelled pixels of each class, in the order of the class table, by rising index.
///
/// # Errors
/// [`SplitError`] when the map contradicts itself or holds no labelled pixel.
fn pixels_of_classes(labels: &LabelMap) -> Result<Vec<Vec<u32>>, SplitError> {
    let LabelMap { rows, cols, labels: values, classes } = labels;
    if rows.checked_mul(*cols) != Some(values.len()) || u32::try_from(values.len()).is_err() {
        return Err(SplitError::Shape { rows: *rows, cols: *cols, len: values.len() });
    }
    let mut pixels = vec![Vec::new(); classes.len()];
    for (index, &class) in (0u32..).zip(values).filter(|(_, class)| **class > 0) {
        match pixels.get_mut(usize::from(class) - 1) {
            Some(list) => list.push(index),
            None => return Err(SplitError::Class { index, class, classes: classes.len() }),
        }
    }
    if pixels.iter().all(Vec::is_empty) { Err(SplitError::NothingLabelled) } else { Ok(pixels) }
}

/// Draws `train` + `val` pixels of each class at random; the rest of the class is for testing.
///
/// The same seed gives the same split on every platform: each class is shuffled by ChaCha8 with the class number as its
/// stream, so that a class added later does not change the others. A class too small for the request keeps one pixel for
/// testing, and training and validation share the others in the ratio asked for, training first; a class of one pixel only
/// trains, and a class without pixels takes no part.
///
/// # Errors
/// [`SplitError`] when `train` is 0, nothing is labelled, or the map contradicts itself.
pub fn random_split(labels: &LabelMap, train: usize, val: usize, seed: u64) -> Result<Split, SplitError> {
    if train == 0 {
        return Err(SplitError::NothingToTrain);
    }
    let mut split = Split { name: format!("random {train} + {val} a class, seed {seed}"), ..Split::default() };
    for (class, mut pixels) in (1..=u8::MAX).zip(pixels_of_classes(labels)?) {
        shuffle(&mut pixels, seed, class);
        let [train, val, _] = random_shares(pixels.len(), train, val);
        let mut rest = pixels.into_iter().map(|index| LabelledPixel { index, class });
        split.train.extend(rest.by_ref().take(train));
        split.val.extend(rest.by_ref().take(val));
        split.test.extend(rest);
    }
    split.sort();
    Ok(split)
}

/// How many of a class's `pixels` train, validate and test in a [`random_split`].
pub fn random_shares(pixels: usize, train: usize, val: usize) -> [usize; 3] {
    let (train, val) = shares(pixels, train, val);
    [train, val, pixels - train - val]
}

/// How many of `pixels` train and validate: all that is asked for where a test pixel remains.
fn shares(pixels: usize, train: usize, val: usize) -> (usize, usize) {
    let wanted = train as u128 + val as u128;
    if pixels as u128 > wanted {
        return (train, val);
    }
    if pixels <= 1 {
        return (pixels, 0);
    }
    let available = pixels - 1;
    // Rounded up, so that the smallest classes train before they validate; in u128, because a request can be any number.
    let scaled = (available as u128 * train as u128).div_ceil(wanted) as usize;
    let train = scaled.clamp(1, available.min(train));
    (train, val.min(available - train))
}

impl Split {
    /// Moves a share of each class's training pixels, drawn by `seed`, to the validation list: for early stopping with
    /// splits that bring no validation pixels. At least one pixel of every class keeps training; a class of one pixel
    /// gives none away.
    pub fn hold_out_validation(&mut self, share: f64, seed: u64) {
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        let mut kept = Vec::with_capacity(self.train.len());
        for class in 1..=u8::MAX {
            let mut pixels: Vec<u32> = self.train.iter().filter(|p| p.class == class).map(|p| p.index).collect();
            if pixels.is_empty() {
                continue;
            }
            pixels.sort_unstable();
            shuffle(&mut pixels, seed, class);
            let held = (pixels.len() as f64 * share).round() as usize;
            let train = pixels.split_off(held.min(pixels.len() - 1));
            self.val.extend(pixels.into_iter().map(|index| LabelledPixel { index, class }));
            kept.extend(train.into_iter().map(|index| LabelledPixel { index, class }));
        }
        self.train = kept;
        self.sort();
    }

    /// Brings the lists into the order that [`Split`] promises.
    pub(super) fn sort(&mut self) {
        for list in [&mut self.train, &mut self.val, &mut self.test] {
            list.sort_unstable();
        }
    }
}

/// Shuffles (Fisher and Yates) with the generator of one seed and class. Written out here, because a library's shuffle may
/// change with its version and a split must not.
fn shuffle(values: &mut [u32], seed: u64, class: u8) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(class));
    for last in (1..values.len()).rev() {
        values.swap(last, below(&mut rng, last as u64 + 1) as usize);
    }
}

/// A uniform number in 0..`bound`: numbers above the last whole multiple of `bound` are drawn again.
fn below(rng: &mut impl RngCore, bound: u64) -> u64 {
    let zone = u64::MAX - u64::MAX % bound;
    loop {
        let value = rng.next_u64();
        if value < zone {
            return value % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Class;
    use super::*;

    fn map(counts: &[usize]) -> LabelMap {
        let mut labels = vec![0, 0];
        for (class, &count) in (1..=u8::MAX).zip(counts) {
            labels.extend(std::iter::repeat_n(class, count));
        }
        let classes = counts.iter().map(|n| Class { name: format!("{n} pixels"), color: [0; 3] }).collect();
        LabelMap { rows: 1, cols: labels.len(), labels, classes }
    }

    fn count(list: &[LabelledPixel], class: u8) -> usize {
        list.iter().filter(|pixel| pixel.class == class).count()
    }

    #[test]
    fn every_labelled_pixel_is_in_exactly_one_list() {
        let labels = map(&[40, 16, 15, 2, 1, 0]);
        let split = random_split(&labels, 10, 5, 3).expect("a split");
        let counts = |class| [&split.train, &split.val, &split.test].map(|list| count(list, class));
        assert_eq!(counts(1), [10, 5, 25]);
        assert_eq!(counts(2), [10, 5, 1]);
        assert_eq!(counts(3), [10, 4, 1]);
        assert_eq!(counts(4), [1, 0, 1]);
        assert_eq!(counts(5), [1, 0, 0]);
        assert_eq!(counts(6), [0, 0, 0]);
        let mut all = [split.train.as_slice(), &split.val, &split.test].concat();
        all.sort_unstable();
        let expected: Vec<LabelledPixel> = (0u32..)
            .zip(&labels.labels)
            .filter(|(_, class)| **class > 0)
            .map(|(index, &class)| LabelledPixel { index, class })
            .collect();
        assert_eq!(all, expected);
        assert!(split.train.is_sorted() && split.val.is_sorted() && split.test.is_sorted());
    }

    #[test]
    fn the_seed_alone_decides() {
        let labels = map(&[30, 30]);
        let split = random_split(&labels, 3, 1, 0).expect("a split");
        assert_eq!(split, random_split(&labels, 3, 1, 0).expect("a split"));
        assert_ne!(split.train, random_split(&labels, 3, 1, 1).expect("a split").train);
        // A third class changes nothing for the first two.
        let more = random_split(&map(&[30, 30, 9]), 3, 1, 0).expect("a split");
        assert_eq!(split.train, more.train[..6]);
        // Pinned: a saved seed must give the same pixels in every later version and on every platform.
        let first: Vec<u32> = split.train.iter().map(|pixel| pixel.index).collect();
        assert_eq!(first, PINNED);
    }

    const PINNED: [u32; 6] = [3, 9, 12, 44, 59, 61];

    #[test]
    fn requests_that_cannot_be_met() {
        assert_eq!(random_split(&map(&[3]), 0, 5, 0), Err(SplitError::NothingToTrain));
        assert_eq!(random_split(&map(&[0, 0]), 1, 0, 0), Err(SplitError::NothingLabelled));
        let mut broken = map(&[3]);
        broken.labels[4] = 9;
        assert_eq!(random_split(&broken, 1, 0, 0), Err(SplitError::Class { index: 4, class: 9, classes: 1 }));
        broken.rows = 7;
        assert_eq!(random_split(&broken, 1, 0, 0), Err(SplitError::Shape { rows: 7, cols: 5, len: 5 }));
    }

    #[test]
    fn as_many_classes_as_a_byte_can_number() {
        for classes in [254, 255] {
            let split = random_split(&map(&vec![3; classes]), 1, 1, 0).expect("a split");
            assert_eq!([split.train.len(), split.val.len(), split.test.len()], [classes; 3]);
        }
    }

    #[test]
    fn huge_requests_keep_one_test_pixel() {
        let split = random_split(&map(&[100]), usize::MAX, usize::MAX, 0).expect("a split");
        assert_eq!([split.train.len(), split.val.len(), split.test.len()], [50, 49, 1]);
    }

    #[test]
    fn held_out_pixels_come_from_training() {
        let labels = map(&[50, 15, 1]);
        let mut split = random_split(&labels, 100, 0, 0).expect("a split");
        let before = split.train.clone();
        split.hold_out_validation(0.2, 4);
        assert_eq!([1, 2, 3].map(|class| count(&split.val, class)), [10, 3, 0]);
        let mut together = [split.train.clone(), split.val.clone()].concat();
        together.sort_unstable();
        assert_eq!(together, before);
    }
}
