//! Split files: the ones in ../shared/data/splits, small ones, broken ones.

use std::path::PathBuf;

use proptest::prelude::*;
use sigmascope::labels::{Class, LabelMap, Split, SplitFileError, read_split_file};

/// The folder of shared test data; says so once a test where it is missing.
fn shared(what: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SIGMASCOPE_SHARED").map_or_else(|| "../shared".into(), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIP {what}: ../shared is not here");
    None
}

fn map(rows: usize, cols: usize, labels: Vec<u8>) -> LabelMap {
    let highest = labels.iter().copied().max().unwrap_or(0);
    let classes = (1..=highest).map(|class| Class { name: format!("class {class}"), color: [class; 3] }).collect();
    LabelMap { rows, cols, labels, classes }
}

fn small() -> LabelMap {
    map(2, 4, vec![1, 1, 2, 2, 0, 1, 2, 2])
}

fn read(json: &str) -> Result<sigmascope::labels::SplitFile, SplitFileError> {
    read_split_file("split.json", json.as_bytes(), &small())
}

fn indices(list: &[sigmascope::labels::LabelledPixel]) -> Vec<(u32, u8)> {
    list.iter().map(|pixel| (pixel.index, pixel.class)).collect()
}

#[test]
fn the_form_with_seeds() {
    let file = read(r#"{"shape":[2,4],"kind":"x","seeds":[{"train":[3,0],"val":[5],"test":[7,1,2],"seed":4},{"train":[0],"val":[],"test":[]}]}"#)
        .expect("a sound file");
    assert_eq!((file.splits.len(), file.labels, file.notes.len()), (2, None, 0));
    let Split { name, train, val, test } = &file.splits[0];
    assert_eq!(name, "split.json, seed 4");
    assert_eq!(indices(train), [(0, 1), (3, 2)]);
    assert_eq!(indices(val), [(5, 1)]);
    assert_eq!(indices(test), [(1, 1), (2, 2), (7, 2)]);
    assert_eq!(file.splits[1].name, "split.json, seed 1");
}

#[test]
fn the_form_with_its_own_labels() {
    let file = read(r#"{"shape":[2,4],"train":[0,1,2,3,4],"train_labels":[2,2,2,2,2],"test":[6,5],"test_labels":[1,2],"class_names":["a","b"]}"#)
        .expect("a sound file");
    let labels = file.labels.expect("its own labels");
    assert_eq!(labels.labels, [2, 2, 2, 2, 2, 2, 1, 0]);
    assert_eq!(labels.classes.iter().map(|class| class.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_ne!(labels.classes[0].color, labels.classes[1].color);
    let split = &file.splits[0];
    // One of five training pixels is held out.
    assert_eq!((split.train.len(), split.val.len()), (4, 1));
    assert_eq!(indices(&split.test), [(5, 2), (6, 1)]);
    assert_eq!(file.notes.len(), 2, "{:?}", file.notes);
}

#[test]
fn broken_files_are_refused_with_the_place() {
    let cases: [(&str, &str); 15] = [
        ("{\"shape\":[2,4],", "split.json is not a split file"),
        ("[]", "not a split file"),
        ("{}", "missing field `shape`"),
        (r#"{"shape":[2,4]}"#, "holds no split"),
        (r#"{"shape":[2,4],"seeds":[]}"#, "holds no split"),
        (r#"{"shape":[2,4],"train":[1]}"#, "holds no split"),
        (r#"{"shape":[4,2],"seeds":[{"train":[0]}]}"#, "made for 4 × 2 pixels, but the scene has 2 × 4"),
        (
            r#"{"shape":[2,4],"seeds":[{"train":[0],"test":[8],"seed":3}]}"#,
            "seed 3 test pixel 8 lies outside the scene of 8",
        ),
        (r#"{"shape":[2,4],"seeds":[{"train":[-1]}]}"#, "seed 0 train pixel -1 lies outside"),
        (r#"{"shape":[2,4],"seeds":[{"train":[4]}]}"#, "train pixel 4 is not labelled"),
        (
            r#"{"shape":[2,4],"seeds":[{"train":[0],"val":[1],"test":[1]}]}"#,
            "pixel 1 stands twice, in seed 0 val and in seed 0 test",
        ),
        (r#"{"shape":[2,4],"seeds":[{"train":[0,0]}]}"#, "pixel 0 stands twice"),
        (r#"{"shape":[2,4],"seeds":[{"train":[]}]}"#, "seed 0 train has no training pixel"),
        (r#"{"shape":[2,4],"train":[0,1],"train_labels":[1]}"#, "train has 2 pixels but 1 labels"),
        (
            r#"{"shape":[2,4],"train":[0],"train_labels":[3],"class_names":["a","b"]}"#,
            "pixel 0 has class 3, but the file names 2 classes",
        ),
    ];
    for (json, expected) in cases {
        let message = read(json).expect_err(json).to_string();
        assert!(message.contains(expected), "{json}: {message}");
    }
    for labels in ["[0]", "[-4]", "[256]", "[9223372036854775807]"] {
        let json = format!(r#"{{"shape":[2,4],"train":[0],"train_labels":{labels}}}"#);
        assert!(read(&json).is_err(), "{json}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_split_file("x", &bytes, &small());
    }

    #[test]
    fn whatever_is_accepted_keeps_its_promises(
        rows in 0usize..4, cols in 0usize..6, own in any::<bool>(), with_val in any::<bool>(),
        train in proptest::collection::vec(-1i64..9, 0..5), val in proptest::collection::vec(0i64..9, 0..3),
        test in proptest::collection::vec(0i64..9, 0..4), label in proptest::collection::vec(0i64..4, 0..5),
    ) {
        let json = if own {
            serde_json::json!({"shape": [rows, cols], "train": train, "train_labels": label, "test": []})
        } else if with_val {
            serde_json::json!({"shape": [rows, cols], "seeds": [{"train": train, "val": val, "test": test}]})
        } else {
            serde_json::json!({"shape": [rows, cols], "seeds": [{"train": train, "test": test}]})
        };
        let scene = small();
        if let Ok(file) = read_split_file("x", json.to_string().as_bytes(), &scene) {
            let labels = file.labels.as_ref().unwrap_or(&scene);
            for split in &file.splits {
                prop_assert!(!split.train.is_empty());
                let mut all = [split.train.as_slice(), &split.val, &split.test].concat();
                for list in [&split.train, &split.val, &split.test] {
                    prop_assert!(list.is_sorted());
                }
                all.sort_unstable();
                prop_assert!(all.windows(2).all(|pair| pair[0].index < pair[1].index));
                prop_assert!(all.iter().all(|pixel| labels.labels[pixel.index as usize] == pixel.class && pixel.class > 0));
            }
        }
    }
}

#[test]
fn the_shared_split_files_open() {
    let Some(folder) = shared("the split files of the benchmark") else { return };
    // rows, cols, seeds, training, validation and test pixels of the first seed
    let cases = [
        ("enmap_potsdam_disjoint10", 64, 128, 5, 60, 30, None),
        ("enmap_potsdam_random10", 64, 128, 5, 60, 30, Some(2055)),
        ("indian_pines_disjoint10", 145, 145, 5, 152, 77, Some(6102)),
        ("indian_pines_random10", 145, 145, 5, 160, 80, Some(10009)),
        ("samson_disjoint10", 95, 95, 5, 30, 15, None),
        ("samson_random10", 95, 95, 5, 30, 15, Some(8980)),
        ("indian_pines_fixed695", 145, 145, 1, 556, 139, Some(9671)),
    ];
    for (name, rows, cols, seeds, train, val, test) in cases {
        let bytes = std::fs::read(folder.join("data/splits").join(format!("{name}.json"))).expect(name);
        // Which class a pixel has does not matter here, only that it is labelled.
        let file = read_split_file(name, &bytes, &map(rows, cols, vec![1; rows * cols])).expect(name);
        assert_eq!(file.splits.len(), seeds, "{name}");
        let split = &file.splits[0];
        assert_eq!((split.train.len(), split.val.len()), (train, val), "{name}");
        assert!(test.is_none_or(|test| split.test.len() == test), "{name}");
        assert_eq!(file.labels.is_some(), name.ends_with("fixed695"));
        if let Some(labels) = file.labels {
            assert_eq!(labels.classes.len(), 16);
            assert_eq!(labels.labels.iter().filter(|label| **label > 0).count(), 695 + 9671);
        }
    }
}
