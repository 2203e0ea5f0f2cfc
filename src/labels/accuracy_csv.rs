//! Accuracy figures as CSV (RFC 4180, comma, UTF-8, one header line, `\r\n`), one figure a line, so that a spreadsheet's
//! pivot table and a three-line script can both read it.

use super::{Accuracy, Class, Spread, Summary};

/// One finished run for [`accuracy_csv`].
#[derive(Debug, Clone, Copy)]
pub struct RunFigures<'a> {
    /// The split's name.
    pub split: &'a str,
    /// The seed of the training run.
    pub seed: u64,
    pub accuracy: &'a Accuracy,
}

/// Every figure of every run.
///
/// | column | meaning |
/// | --- | --- |
/// | `run` | 1-based |
/// | `split`, `seed` | what the run was trained on, and its seed |
/// | `measure` | `overall_accuracy`, `average_accuracy`, `kappa`, `test_pixels` (whole map); `producers_accuracy` (recall), `users_accuracy` (precision), `class_pixels` (a class); `confusion` (a pair) |
/// | `class`, `class_name` | the true class, 1-based; for `users_accuracy` the mapped class; empty for the whole map |
/// | `mapped_class`, `mapped_name` | only for `confusion`: what the pixels were mapped as |
/// | `value` | fraction in 0..1 or number of pixels; empty where it is not defined (a class without pixels) |
pub fn accuracy_csv(runs: &[RunFigures], classes: &[Class]) -> String {
    let mut csv = String::from("run,split,seed,measure,class,class_name,mapped_class,mapped_name,value\r\n");
    for (run, figures) in runs.iter().enumerate() {
        let head = format!("{},{},{}", run + 1, field(figures.split), figures.seed);
        let accuracy = figures.accuracy;
        let whole = [
            ("overall_accuracy", accuracy.overall),
            ("average_accuracy", accuracy.average),
            ("kappa", accuracy.kappa),
            ("test_pixels", accuracy.pixels() as f64),
        ];
        for (measure, value) in whole {
            csv += &format!("{head},{measure},,,,,{value}\r\n");
        }
        for (class, row) in accuracy.confusion.iter().enumerate() {
            let name = class_columns(class, classes);
            let pixels: u64 = row.iter().map(|&n| u64::from(n)).sum();
            csv += &format!("{head},producers_accuracy,{name},,,{}\r\n", number(accuracy.producers[class]));
            csv += &format!("{head},users_accuracy,{name},,,{}\r\n", number(accuracy.users[class]));
            csv += &format!("{head},class_pixels,{name},,,{pixels}\r\n");
        }
        for (truth, row) in accuracy.confusion.iter().enumerate() {
            for (mapped, pixels) in row.iter().enumerate() {
                let (truth, mapped) = (class_columns(truth, classes), class_columns(mapped, classes));
                csv += &format!("{head},confusion,{truth},{mapped},{pixels}\r\n");
            }
        }
    }
    csv
}

/// Mean and spread over runs.
///
/// | column | meaning |
/// | --- | --- |
/// | `measure` | `overall_accuracy`, `average_accuracy`, `kappa`; `producers_accuracy` (recall), `users_accuracy` (precision) a class |
/// | `class`, `class_name` | 1-based; empty for the whole map |
/// | `runs` | runs that have the figure |
/// | `mean`, `std` | mean and population standard deviation, fractions; empty where no run has the figure |
pub fn summary_csv(summary: &Summary, classes: &[Class]) -> String {
    let mut csv = String::from("measure,class,class_name,runs,mean,std\r\n");
    let mut line = |measure: &str, class: &str, spread: Option<Spread>| {
        csv += &match spread {
            Some(Spread { mean, std, runs }) => format!("{measure},{class},{runs},{mean},{std}\r\n"),
            None => format!("{measure},{class},0,,\r\n"),
        };
    };
    line("overall_accuracy", ",", Some(summary.overall));
    line("average_accuracy", ",", Some(summary.average));
    line("kappa", ",", Some(summary.kappa));
    for (measure, figures) in [("producers_accuracy", &summary.producers), ("users_accuracy", &summary.users)] {
        for (class, spread) in figures.iter().enumerate() {
            line(measure, &class_columns(class, classes), *spread);
        }
    }
    csv
}

fn class_columns(class: usize, classes: &[Class]) -> String {
    format!("{},{}", class + 1, classes.get(class).map_or_else(String::new, |class| field(&class.name)))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Quotes a text where CSV needs it.
fn field(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<Class> {
        ["Corn, \"no till\"", "Oats"].map(|name| Class { name: name.to_owned(), color: [0; 3] }).to_vec()
    }

    #[test]
    fn every_figure_is_a_line() {
        let accuracy = Accuracy::from_pairs(&[1, 1, 1, 1], &[1, 1, 1, 2], 2).expect("pairs");
        let csv = accuracy_csv(&[RunFigures { split: "a,b", seed: 7, accuracy: &accuracy }], &classes());
        let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 1 + 4 + 2 * 3 + 4);
        assert_eq!(lines[1], "1,\"a,b\",7,overall_accuracy,,,,,0.75");
        assert_eq!(lines[5], "1,\"a,b\",7,producers_accuracy,1,\"Corn, \"\"no till\"\"\",,,0.75");
        assert_eq!(lines[8], "1,\"a,b\",7,producers_accuracy,2,Oats,,,");
        assert_eq!(lines[12], "1,\"a,b\",7,confusion,1,\"Corn, \"\"no till\"\"\",2,Oats,1");
    }

    #[test]
    fn summary_lines() {
        let accuracy = Accuracy::from_pairs(&[1, 1, 1, 1], &[1, 1, 1, 2], 2).expect("pairs");
        let csv = summary_csv(&Summary::of(&[accuracy]).expect("a run"), &classes());
        let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
        assert_eq!(lines[1], "overall_accuracy,,,1,0.75,0");
        assert_eq!(lines[5], "producers_accuracy,2,Oats,0,,");
        assert!(lines.iter().skip(1).all(|line| line.starts_with("producers_accuracy,1")
            || line.matches(',').count() == 5
            || line.starts_with("users_accuracy,1")));
    }
}
