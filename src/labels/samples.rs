//! Where the labelled pixels of each class went: training, validation, test, or nowhere, and why.

use serde::{Deserialize, Serialize};

use super::{Class, LabelMap, LabelledPixel, Split};

/// Fewer test pixels than this make a class's accuracy a matter of chance.
pub const FEW: usize = 10;

/// The labelled pixels of one class. `labelled` is the sum of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassSamples {
    pub class: String,
    pub labelled: usize,
    /// The scene has no data there: a used band lacks a value. They take no part.
    pub no_data: usize,
    pub train: usize,
    pub val: usize,
    pub test: usize,
    /// In no list of the split.
    pub outside: usize,
}

impl LabelMap {
    /// The map without labels where the scene has no data; `has_data` is row-major, and what lies beyond it has data.
    pub fn with_data_only(mut self, has_data: &[bool]) -> Self {
        for (label, has_data) in self.labels.iter_mut().zip(has_data) {
            if !has_data {
                *label = 0;
            }
        }
        self
    }
}

impl Split {
    /// Takes pixels where the scene has no data out of all lists.
    pub fn keep_data_only(&mut self, has_data: &[bool]) {
        for list in [&mut self.train, &mut self.val, &mut self.test] {
            list.retain(|pixel| has_data.get(pixel.index as usize).copied().unwrap_or(true));
        }
    }
}

/// Counts every class of `classes` once: labels, the pixels without data among them, and the lists of the split.
pub fn class_samples(labels: &[u8], classes: &[Class], has_data: &[bool], split: &Split) -> Vec<ClassSamples> {
    let mut counts: Vec<ClassSamples> =
        classes.iter().map(|class| ClassSamples { class: class.name.clone(), ..ClassSamples::default() }).collect();
    let at = |class: u8| usize::from(class).wrapping_sub(1);
    let has_data = |index: usize| has_data.get(index).copied().unwrap_or(true);
    // Lists are sorted, so a pixel is found by bisection; labels may have changed since the split was drawn.
    let holds = |list: &[LabelledPixel], index: usize, class: u8| {
        u32::try_from(index).is_ok_and(|index| list.binary_search(&LabelledPixel { index, class }).is_ok())
    };
    for (index, &class) in labels.iter().enumerate() {
        let Some(count) = counts.get_mut(at(class)) else { continue };
        count.labelled += 1;
        if !has_data(index) {
            count.no_data += 1;
        } else if holds(&split.train, index, class) {
            count.train += 1;
        } else if holds(&split.val, index, class) {
            count.val += 1;
        } else if holds(&split.test, index, class) {
            count.test += 1;
        } else {
            count.outside += 1;
        }
    }
    counts
}

/// What must be said before any accuracy: classes that lost pixels or all of them, and those with too few to test.
pub fn sample_warnings(samples: &[ClassSamples]) -> Vec<String> {
    let mut warnings = Vec::new();
    let of = |chosen: &dyn Fn(&ClassSamples) -> bool| -> Vec<&str> {
        samples.iter().filter(|own| own.labelled > 0 && chosen(own)).map(|own| own.class.as_str()).collect()
    };
    let mut warn = |names: Vec<&str>, verbs: [&str; 2], what: &str| match names.len() {
        0 => {}
        1 => warnings.push(format!("1 class {} {what}: {}", verbs[0], names[0])),
        count => warnings.push(format!("{count} classes {} {what}: {}", verbs[1], listed(&names))),
    };
    let has = ["has", "have"];
    warn(
        of(&|own| own.no_data == own.labelled),
        ["lost", "lost"],
        "all labelled pixels, because the scene has no data there",
    );
    warn(of(&|own| own.no_data < own.labelled && own.train == 0), has, "no training pixel");
    if samples.iter().any(|own| own.test > 0) {
        let untested = of(&|own| own.train + own.val > 0 && own.test == 0);
        warn(untested, has, "no test pixel; the accuracy rests on the others");
        let few = of(&|own| (1..FEW).contains(&own.test));
        warn(few, has, "fewer than 10 test pixels, on which the average accuracy rests");
    }
    let lost: usize = samples.iter().map(|own| own.no_data).sum();
    if lost > 0 {
        let labelled: usize = samples.iter().map(|own| own.labelled).sum();
        warnings.push(format!(
            "{lost} of {labelled} labelled pixels take no part: the scene has no data there (a used band lacks a value)"
        ));
    }
    warnings
}

/// The first few names.
fn listed(names: &[&str]) -> String {
    let more = names.len().saturating_sub(5);
    let first = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::random_split;
    use super::*;

    fn map(labels: Vec<u8>, classes: usize) -> LabelMap {
        let classes = (1..=classes).map(|n| Class { name: format!("c{n}"), color: [0; 3] }).collect();
        LabelMap { rows: 1, cols: labels.len(), labels, classes }
    }

    #[test]
    fn a_class_that_loses_all_its_pixels_is_said_first() {
        let labels = map([vec![1; 30], vec![2; 30]].concat(), 2);
        let has_data: Vec<bool> = (0..60).map(|index| index < 30).collect();
        let split = random_split(&labels.clone().with_data_only(&has_data), 10, 5, 0).expect("a split");
        let samples = class_samples(&labels.labels, &labels.classes, &has_data, &split);
        let first =
            ClassSamples { class: "c1".into(), labelled: 30, train: 10, val: 5, test: 15, ..Default::default() };
        let second = ClassSamples { class: "c2".into(), labelled: 30, no_data: 30, ..Default::default() };
        assert_eq!(samples, [first, second]);
        let warnings = sample_warnings(&samples);
        assert!(warnings[0].starts_with("1 class lost all labelled pixels") && warnings[0].ends_with(": c2"));
        assert!(warnings[1].starts_with("30 of 60 labelled pixels take no part"), "{warnings:?}");
        assert_eq!(warnings.len(), 2);
    }

    #[test]
    fn one_test_pixel_is_too_few() {
        let labels = map([vec![1; 60], vec![2; 16], vec![3; 1]].concat(), 3);
        let split = random_split(&labels, 10, 5, 0).expect("a split");
        let warnings = sample_warnings(&class_samples(&labels.labels, &labels.classes, &[], &split));
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("no test pixel") && warnings[0].ends_with(": c3"));
        assert!(warnings[1].contains("fewer than 10 test pixels") && warnings[1].ends_with(": c2"));
    }

    proptest! {
        #[test]
        fn counts_add_up(labels in prop::collection::vec(0u8..6, 1..200), mask in prop::collection::vec(any::<bool>(), 0..200), train in 1usize..20, val in 0usize..20) {
            let labels = map(labels, 5);
            let drawn = random_split(&labels.clone().with_data_only(&mask), train, val, 1).unwrap_or_default();
            let samples = class_samples(&labels.labels, &labels.classes, &mask, &drawn);
            for (own, count) in samples.iter().zip(&labels.counts()[1..]) {
                prop_assert_eq!(own.labelled, *count);
                prop_assert_eq!(own.labelled, own.no_data + own.train + own.val + own.test + own.outside);
            }
            let sum = |read: fn(&ClassSamples) -> usize| samples.iter().map(read).sum::<usize>();
            prop_assert_eq!([sum(|s| s.train), sum(|s| s.val), sum(|s| s.test)], [drawn.train.len(), drawn.val.len(), drawn.test.len()]);
        }
    }
}
