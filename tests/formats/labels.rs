//! Ground truth of every kind of file becomes the same label map.

use sigmascope::labels::{GroundTruthError, LabelMap, class_color, read_labels};
use sigmascope::scene::{OpenOptions, open_path};

use super::{fixture, shared_data};

fn labels(path: &std::path::Path) -> LabelMap {
    let cube = open_path(path, None, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    read_labels(cube.as_ref()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn indian_pines_is_the_same_from_three_formats() {
    let Some(data) = shared_data("ground truth of Indian Pines") else { return };
    let matlab = labels(&data.join("scenes/indian_pines/Indian_pines_gt.mat"));
    let envi = labels(&data.join("scenes/indian_pines/indian_pines_gt.hdr"));
    let numpy = labels(&data.join("formats/npy/labels_i64.npy"));
    assert_eq!(matlab.labels, envi.labels);
    assert_eq!(matlab, numpy);
    assert_eq!(matlab.check_fits(145, 145), Ok(()));
    let counts: Vec<usize> =
        (1..=16).map(|class| matlab.labels.iter().filter(|&&label| label == class).count()).collect();
    assert_eq!(counts, [46, 1428, 830, 237, 483, 730, 28, 478, 20, 972, 2455, 593, 205, 1265, 386, 93]);
    assert_eq!(matlab.classes.len(), 16);
    assert_eq!((matlab.classes[1].name.as_str(), matlab.classes[1].color), ("Class 2", class_color(2)));
    assert_eq!(envi.classes.len(), 16);
    assert_eq!((envi.classes[1].name.as_str(), envi.classes[15].name.as_str()), ("Corn-notill", "Stone-Steel-Towers"));
    assert_eq!((envi.classes[0].color, envi.classes[1].color), ([255, 0, 0], [0, 255, 0]));

    let cube = open_path(&data.join("scenes/indian_pines/indian_pines_bil.hdr"), None, &OpenOptions::default());
    let refused = read_labels(cube.expect("the scene").as_ref());
    assert!(matches!(refused, Err(GroundTruthError::NotOneBand { bands: 200, .. })), "{refused:?}");
}

#[test]
fn enmap_labels_keep_the_colour_table() {
    let Some(data) = shared_data("labels of EnMAP") else { return };
    let map = labels(&data.join("scenes/enmap_potsdam/enmap_potsdam_landcover.tif"));
    let counts: Vec<usize> = (1..=6).map(|class| map.labels.iter().filter(|&&label| label == class).count()).collect();
    assert_eq!(counts, [225, 418, 392, 711, 40, 359]);
    assert_eq!(map.classes.len(), 6);
    // 59110 of 65535 is 230 of 255.
    assert_eq!(map.classes[0].color[0], 230);
    assert_eq!(labels(&data.join("scenes/samson/samson_gt_argmax.mat")).classes.len(), 3);
}

#[test]
fn fractions_are_no_classes() {
    let cube = open_path(&fixture("fractions.npy"), None, &OpenOptions::default()).expect("a 2-D array");
    let error = read_labels(cube.as_ref()).expect_err("fractions");
    assert!(error.to_string().contains("2.5 at row 1, column 0"), "{error}");
}

#[test]
fn doubles_with_whole_numbers_are_classes() {
    let map = labels(&fixture("labels_double.mat"));
    assert_eq!(map.labels, [0, 1, 2, 3, 4, 5]);
    assert_eq!((map.rows, map.cols, map.classes.len()), (2, 3, 5));
}
