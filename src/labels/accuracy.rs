//! Accuracy of a map on test pixels: overall, average, kappa, per class, and the confusion matrix behind them.
//!
//! The definitions are those of the remote-sensing literature (Congalton, "A review of assessing the accuracy of
//! classifications of remotely sensed data", 1991). The average accuracy is the mean recall, as in the segmentation code
//! of HyperSIGMA; its classification code passes predictions as truth and so prints the mean precision
//! (OFFICIAL_BEHAVIOUR.md, 34).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::LabelledPixel;

/// Accuracy figures, fractions in 0..=1; classes in the order of the class table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// `confusion[truth][predicted]`: pixels of class `truth + 1` mapped as class `predicted + 1`.
    pub confusion: Vec<Vec<u32>>,
    /// OA: share of the pixels that are right.
    pub overall: f64,
    /// AA: mean of the producer's accuracies of the classes that have test pixels.
    pub average: f64,
    /// Cohen's kappa.
    pub kappa: f64,
    /// Recall: share of a class's true pixels that are mapped as it; `None` without true pixels.
    pub producers: Vec<Option<f64>>,
    /// Precision: share of the pixels mapped as a class that are it; `None` where none are.
    pub users: Vec<Option<f64>>,
}

/// Why no accuracy can be given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccuracyError {
    #[error("there are no test pixels, so the map cannot be measured; label more pixels or train on fewer")]
    NoPixels,
    #[error("{truth} true classes stand beside {predicted} predicted ones; give one prediction for every test pixel")]
    Lengths { truth: usize, predicted: usize },
    #[error("class {class} of test pixel {position} is not one of 1 to {classes}; check the class table")]
    Class { position: usize, class: u8, classes: usize },
    #[error("the confusion matrix of {rows} rows is not square; give one row and one column a class")]
    NotSquare { rows: usize },
    #[error("test pixel {index} lies outside the map of {pixels} pixels; the split belongs to another scene")]
    Outside { index: u32, pixels: usize },
}

impl Accuracy {
    /// Measures predictions against the truth: two lists of class numbers (1-based), one entry a test pixel.
    ///
    /// # Errors
    /// [`AccuracyError`] when the lists differ in length, hold a number outside 1..=`classes`, or are empty.
    pub fn from_pairs(truth: &[u8], predicted: &[u8], classes: usize) -> Result<Self, AccuracyError> {
        if truth.len() != predicted.len() {
            return Err(AccuracyError::Lengths { truth: truth.len(), predicted: predicted.len() });
        }
        let mut confusion = vec![vec![0; classes]; classes];
        for (position, (&t, &p)) in truth.iter().zip(predicted).enumerate() {
            for class in [t, p] {
                if class == 0 || usize::from(class) > classes {
                    return Err(AccuracyError::Class { position, class, classes });
                }
            }
            confusion[usize::from(t) - 1][usize::from(p) - 1] += 1;
        }
        Self::from_confusion(confusion)
    }

    /// Measures a map (class numbers, row-major, 0 = the scene has no data there) on test pixels. Test pixels without
    /// data are left out: they have no spectrum, so no method could map them.
    ///
    /// # Errors
    /// As [`Accuracy::from_pairs`], and when a test pixel lies outside the map.
    pub fn of_map(map: &[u8], test: &[LabelledPixel], classes: usize) -> Result<Self, AccuracyError> {
        let (mut truth, mut predicted) = (Vec::with_capacity(test.len()), Vec::with_capacity(test.len()));
        for pixel in test {
            match map.get(pixel.index as usize) {
                None => return Err(AccuracyError::Outside { index: pixel.index, pixels: map.len() }),
                Some(0) => {}
                Some(&class) => {
                    truth.push(pixel.class);
                    predicted.push(class);
                }
            }
        }
        Self::from_pairs(&truth, &predicted, classes)
    }

    /// All figures of a confusion matrix `[truth][predicted]`.
    ///
    /// Kappa is (p₀ − pₑ) / (1 − pₑ). Where truth and map are one and the same class everywhere this is 0/0; it is then
    /// given as 0, because nothing beyond chance has been shown.
    ///
    /// # Errors
    /// [`AccuracyError`] when the matrix is not square or counts no pixel.
    pub fn from_confusion(confusion: Vec<Vec<u32>>) -> Result<Self, AccuracyError> {
        let classes = confusion.len();
        if confusion.iter().any(|row| row.len() != classes) {
            return Err(AccuracyError::NotSquare { rows: classes });
        }
        let of_truth: Vec<u64> = confusion.iter().map(|row| row.iter().map(|&n| u64::from(n)).sum()).collect();
        let of_map: Vec<u64> =
            (0..classes).map(|column| confusion.iter().map(|row| u64::from(row[column])).sum()).collect();
        let total: u64 = of_truth.iter().sum();
        if total == 0 {
            return Err(AccuracyError::NoPixels);
        }
        let right = |class: usize| f64::from(confusion[class][class]);
        let share = |class: usize, of: u64| (of > 0).then(|| right(class) / of as f64);
        let producers: Vec<Option<f64>> = (0..classes).map(|class| share(class, of_truth[class])).collect();
        let users: Vec<Option<f64>> = (0..classes).map(|class| share(class, of_map[class])).collect();

        let total = total as f64;
        let overall = (0..classes).map(right).sum::<f64>() / total;
        let present: Vec<f64> = producers.iter().copied().flatten().collect();
        let average = present.iter().sum::<f64>() / present.len() as f64;
        let chance =
            (0..classes).map(|class| of_truth[class] as f64 * of_map[class] as f64).sum::<f64>() / (total * total);
        let kappa = if chance < 1.0 { (overall - chance) / (1.0 - chance) } else { 0.0 };
        Ok(Self { confusion, overall, average, kappa, producers, users })
    }

    /// Test pixels behind the figures.
    pub fn pixels(&self) -> u64 {
        self.confusion.iter().flatten().map(|&n| u64::from(n)).sum()
    }
}

/// Mean and population standard deviation (divided by n, as in the published baselines) over runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub mean: f64,
    pub std: f64,
    /// Runs that had the figure.
    pub runs: usize,
}

impl Spread {
    /// `None` without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
        Some(Self { mean, std, runs: values.len() })
    }
}

/// Figures over several runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub overall: Spread,
    pub average: Spread,
    pub kappa: Spread,
    /// Recall a class, over the runs in which the class has test pixels; `None` where no run has.
    pub producers: Vec<Option<Spread>>,
    /// Precision a class, over the runs that map any pixel as the class.
    pub users: Vec<Option<Spread>>,
}

impl Summary {
    /// `None` without runs. Runs with fewer classes than others simply lack the last ones.
    pub fn of(runs: &[Accuracy]) -> Option<Self> {
        let spread = |figure: fn(&Accuracy) -> f64| Spread::of(&runs.iter().map(figure).collect::<Vec<_>>());
        let classes = runs.iter().map(|run| run.producers.len()).max()?;
        let per_class = |figures: fn(&Accuracy) -> &[Option<f64>]| {
            (0..classes)
                .map(|class| {
                    let values = runs.iter().filter_map(|run| figures(run).get(class).copied().flatten());
                    Spread::of(&values.collect::<Vec<_>>())
                })
                .collect()
        };
        Some(Self {
            overall: spread(|run| run.overall)?,
            average: spread(|run| run.average)?,
            kappa: spread(|run| run.kappa)?,
            producers: per_class(|run| &run.producers),
            users: per_class(|run| &run.users),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_textbook_matrix() {
        // Worked by hand: 100 pixels, 75 right; row sums 50, 30, 20; column sums 45, 35, 20.
        let accuracy =
            Accuracy::from_confusion(vec![vec![40, 8, 2], vec![3, 22, 5], vec![2, 5, 13]]).expect("a square matrix");
        assert_eq!(accuracy.pixels(), 100);
        assert!((accuracy.overall - 0.75).abs() < 1e-15);
        assert!((accuracy.average - (0.8 + 22.0 / 30.0 + 0.65) / 3.0).abs() < 1e-15);
        let chance = 0.5 * 0.45 + 0.3 * 0.35 + 0.2 * 0.2;
        assert!((accuracy.kappa - (0.75 - chance) / (1.0 - chance)).abs() < 1e-15);
        assert_eq!(accuracy.users[0], Some(40.0 / 45.0));
    }

    #[test]
    fn pairs_and_matrix_agree() {
        let accuracy = Accuracy::from_pairs(&[1, 1, 2, 3, 3, 3], &[1, 2, 2, 3, 3, 1], 3).expect("valid pairs");
        assert_eq!(accuracy.confusion, vec![vec![1, 1, 0], vec![0, 1, 0], vec![1, 0, 2]]);
        assert_eq!(accuracy.producers, vec![Some(0.5), Some(1.0), Some(2.0 / 3.0)]);
    }

    #[test]
    fn a_class_without_test_pixels_does_not_count_in_the_average() {
        let accuracy = Accuracy::from_pairs(&[1, 1], &[1, 3], 3).expect("valid pairs");
        assert_eq!(accuracy.producers, vec![Some(0.5), None, None]);
        assert_eq!(accuracy.users, vec![Some(1.0), None, Some(0.0)]);
        assert_eq!(accuracy.average, 0.5);
    }

    #[test]
    fn degenerate_cases() {
        assert_eq!(Accuracy::from_pairs(&[], &[], 3), Err(AccuracyError::NoPixels));
        assert_eq!(Accuracy::from_confusion(Vec::new()), Err(AccuracyError::NoPixels));
        let one = Accuracy::from_pairs(&[1, 1, 1], &[1, 1, 1], 1).expect("one class");
        assert_eq!((one.overall, one.average, one.kappa), (1.0, 1.0, 0.0));
        let wrong = Accuracy::from_pairs(&[1, 1], &[2, 2], 2).expect("all wrong");
        assert_eq!((wrong.overall, wrong.kappa), (0.0, 0.0));
        assert_eq!(Accuracy::from_pairs(&[1], &[1, 2], 2), Err(AccuracyError::Lengths { truth: 1, predicted: 2 }));
        assert_eq!(
            Accuracy::from_pairs(&[1, 0], &[1, 1], 2),
            Err(AccuracyError::Class { position: 1, class: 0, classes: 2 })
        );
        assert_eq!(
            Accuracy::from_pairs(&[1, 1], &[1, 3], 2),
            Err(AccuracyError::Class { position: 1, class: 3, classes: 2 })
        );
        assert_eq!(Accuracy::from_confusion(vec![vec![1, 2]]), Err(AccuracyError::NotSquare { rows: 1 }));
    }

    #[test]
    fn a_map_is_measured_where_it_has_data() {
        let test = [(0, 1), (1, 2), (3, 2)].map(|(index, class)| LabelledPixel { index, class });
        let accuracy = Accuracy::of_map(&[1, 0, 1, 2], &test, 2).expect("a map");
        assert_eq!(accuracy.confusion, vec![vec![1, 0], vec![0, 1]]);
        assert_eq!(Accuracy::of_map(&[1, 2, 1], &test, 2), Err(AccuracyError::Outside { index: 3, pixels: 3 }));
    }

    #[test]
    fn spread_is_the_population_one() {
        let spread = Spread::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).expect("values");
        assert_eq!((spread.mean, spread.std, spread.runs), (5.0, 2.0, 8));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn summary_over_runs() {
        let runs = [
            Accuracy::from_pairs(&[1, 1, 2, 2], &[1, 1, 2, 1], 3).expect("first run"),
            Accuracy::from_pairs(&[1, 1, 3, 2], &[1, 2, 3, 2], 3).expect("second run"),
        ];
        let summary = Summary::of(&runs).expect("two runs");
        assert_eq!(summary.overall, Spread { mean: 0.75, std: 0.0, runs: 2 });
        assert_eq!(summary.producers[0], Some(Spread { mean: 0.75, std: 0.25, runs: 2 }));
        assert_eq!(summary.producers[2], Some(Spread { mean: 1.0, std: 0.0, runs: 1 }));
        assert_eq!(Summary::of(&[]), None);
    }
}
