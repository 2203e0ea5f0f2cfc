//! Accuracy of a map on test pixels: overall, average, kappa, per class, and the confusion matrix behind them.

use serde::{Deserialize, Serialize};

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
