use proptest::prelude::*;

use super::super::{Imported, LabelMap, import_labels};
use super::*;
use crate::scene::{Cube, Format, Interleave, Kind, SceneError, Window};

/// One row of values.
struct Line {
    info: SceneInfo,
    values: Vec<f64>,
}

impl Cube for Line {
    fn info(&self) -> &SceneInfo {
        &self.info
    }

    fn read(&self, window: &Window, out: &mut [f64]) -> Result<(), SceneError> {
        out.copy_from_slice(&self.values[window.cols.clone()]);
        Ok(())
    }

    fn preferred_rows(&self) -> usize {
        1
    }
}

fn line(values: &[f64], nodata: Option<f64>, names: &[&str]) -> Line {
    let info = SceneInfo {
        name: "labels.tif".into(),
        format: Format::Geotiff,
        variable: None,
        rows: 1,
        cols: values.len(),
        bands: 1,
        dtype: SampleType::F64,
        interleave: Interleave::Bsq,
        wavelengths_nm: None,
        fwhm_nm: None,
        band_names: None,
        nodata,
        good_bands: vec![true],
        kind: Kind::Labels,
        class_names: (!names.is_empty()).then(|| names.iter().map(ToString::to_string).collect()),
        class_colors: None,
        geo: None,
        notes: Vec::new(),
    };
    Line { info, values: values.to_vec() }
}

fn import(values: &[f64], nodata: Option<f64>, names: &[&str]) -> Imported {
    import_labels(&line(values, nodata, names), &CodeChoices::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn names(map: &LabelMap) -> Vec<&str> {
    map.classes.iter().map(|class| class.name.as_str()).collect()
}

#[test]
fn codes_of_every_kind() {
    let nan = f64::NAN;
    // Values, declared no data, labels, number of classes, guesses.
    type Case<'a> = (&'a [f64], Option<f64>, &'a [u8], usize, usize);
    let cases: [Case; 13] = [
        (&[0.0, 1.0, 2.0, 3.0], None, &[0, 1, 2, 3], 3, 0),
        (&[1.0, 2.0, 3.0, 255.0], None, &[1, 2, 3, 0], 3, 1),
        (&[1.0, 2.0, 65535.0, 0.0], None, &[1, 2, 0, 0], 2, 1),
        (&[-1.0, 1.0, 2.0], None, &[0, 1, 2], 2, 1),
        (&[0.0, 1.0, 2.0, 255.0], Some(255.0), &[1, 2, 3, 0], 3, 1),
        (&[nan, 1.0, 2.0, 3.0], Some(nan), &[0, 1, 2, 3], 3, 0),
        (&[nan, 1.0, 2.0, 3.0], None, &[0, 1, 2, 3], 3, 0),
        (&[0.0, 1.0, 2.0], Some(0.0), &[0, 1, 2], 2, 0),
        (&[742.0, 935.0, 0.0, 1154.0], None, &[1, 2, 0, 3], 3, 0),
        // A mask: 255 is what is marked.
        (&[0.0, 255.0], None, &[0, 1], 1, 0),
        // Gaps stay where most numbers are used; a lone high code makes no empty classes.
        (&[1.0, 2.0, 4.0], None, &[1, 2, 4], 4, 0),
        (&[1.0, 2.0, 254.0], None, &[1, 2, 3], 3, 0),
        (&[1.0, 2.0, -3.4028234663852886e38], Some(-3.4028235e38), &[1, 2, 0], 2, 0),
    ];
    for (values, nodata, labels, classes, guesses) in cases {
        let found = import(values, nodata, &[]);
        assert_eq!(found.map.labels, labels, "{values:?}");
        assert_eq!(found.map.classes.len(), classes, "{values:?}");
        assert_eq!(found.codes.iter().filter(|code| code.reason.is_guess()).count(), guesses, "{values:?}");
        assert!(found.notes.iter().filter(|note| note.contains("guess")).count() == guesses, "{:?}", found.notes);
    }
    assert_eq!(names(&import(&[742.0, 935.0], None, &[]).map), ["Class 742", "Class 935"]);
    let all: Vec<f64> = (1..=255).map(f64::from).collect();
    assert_eq!(import(&all, None, &[]).map.classes.len(), 255);
}

#[test]
fn names_of_the_file_decide() {
    let found = import(&[0.0, 1.0, 2.0], Some(9.0), &["Unclassified", "Wheat", "Oats"]);
    assert_eq!((found.map.labels.as_slice(), names(&found.map)), ([0, 1, 2].as_slice(), vec!["Wheat", "Oats"]));
    let found = import(&[0.0, 1.0, 255.0], Some(255.0), &["Water", "Wheat", "Oats"]);
    assert_eq!(
        (found.map.labels.as_slice(), names(&found.map)),
        ([1, 2, 0].as_slice(), vec!["Water", "Wheat", "Oats"])
    );
    let found = import(&[0.0, 1.0], None, &["Water", "Wheat"]);
    assert!(found.notes.iter().any(|note| note.contains("code 0 is called \"Water\"")), "{:?}", found.notes);
}

#[test]
fn the_user_decides_before_the_file() {
    let file = line(&[0.0, 1.0, 2.0, 255.0], None, &[]);
    let choose = |unlabelled: &[f64], classes: &[f64]| {
        let choices = CodeChoices { unlabelled: unlabelled.to_vec(), classes: classes.to_vec() };
        import_labels(&file, &choices)
    };
    let found = choose(&[2.0], &[0.0, 255.0]).expect("labels");
    assert_eq!((found.map.labels.as_slice(), found.map.classes.len()), ([1, 2, 0, 3].as_slice(), 3));
    assert!(matches!(choose(&[1.0], &[1.0]), Err(GroundTruthError::Choice { .. })));
    assert!(matches!(choose(&[], &[f64::NAN]), Err(GroundTruthError::Choice { .. })));
    // 255 stays what it was taken for.
    assert!(matches!(choose(&[1.0, 2.0], &[]), Err(GroundTruthError::Empty { .. })));
    assert!(choose(&[17.0], &[]).expect("labels").notes.iter().any(|note| note.contains("17 was chosen")));
    let negative = line(&[-7.0, 1.0], None, &[]);
    let choices = CodeChoices { unlabelled: vec![-7.0], classes: Vec::new() };
    assert_eq!(import_labels(&negative, &choices).expect("labels").map.labels, [0, 1]);
}

#[test]
fn what_is_no_label_file() {
    let refused =
        |values: &[f64]| import_labels(&line(values, None, &[]), &CodeChoices::default()).expect_err("refused");
    for wild in [-7.0, 0.5, f64::INFINITY, 1e300] {
        assert!(matches!(refused(&[1.0, wild]), GroundTruthError::NotAClass { col: 1, .. }), "{wild}");
    }
    assert!(matches!(refused(&[0.0, f64::NAN, -1.0]), GroundTruthError::Empty { .. }));
    let many: Vec<f64> = (1..=300).map(f64::from).collect();
    assert!(matches!(refused(&many), GroundTruthError::TooManyClasses { classes: 300, .. }));
    let more: Vec<f64> = (1..=2000).map(f64::from).collect();
    assert!(matches!(refused(&more), GroundTruthError::TooManyCodes { .. }));
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0i32..6).prop_map(f64::from),
        1 => prop::sample::select(vec![255.0, -1.0, f64::NAN, 65535.0, -9999.0, 742.0, 0.5, f64::INFINITY, -0.0, 1e300]),
        1 => any::<f64>(),
        1 => any::<i32>().prop_map(f64::from),
    ]
}

proptest! {
    #[test]
    fn no_values_panic_and_every_pixel_is_counted(
        values in prop::collection::vec(any_value(), 1..60),
        nodata in prop::option::of(any_value()),
        unlabelled in prop::collection::vec(any_value(), 0..3),
        classes in prop::collection::vec(any_value(), 0..3),
    ) {
        let file = line(&values, nodata, &["", "Wheat"]);
        let Ok(found) = import_labels(&file, &CodeChoices { unlabelled, classes }) else { return Ok(()) };
        let counts = found.map.counts();
        prop_assert_eq!(counts.iter().sum::<usize>(), values.len());
        prop_assert_eq!(found.codes.iter().map(|code| code.pixels).sum::<u64>(), values.len() as u64);
        for (class, &count) in counts.iter().enumerate().skip(1) {
            let pixels: u64 = found.codes.iter().filter(|c| c.becomes == Becomes::Class(class as u8)).map(|c| c.pixels).sum();
            prop_assert_eq!(pixels, count as u64);
        }
    }
}
