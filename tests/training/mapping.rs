//! Maps: tiles without seams, views that help, and a whole scene from ten labels a class.

use burn::tensor::{Device, read_sync};
use sigmascope::labels::{Accuracy, Class, LabelMap, random_split};
use sigmascope::preprocess::fit_projection;
use sigmascope::scene::{Cube, TEACHING_CLASSES, TeachingScene};
use sigmascope::train::{CubeView, Mapper, ModelSize, TrainConfig, Trainer, TrainingData};

use crate::fields::{Fields, config, map, overall, trained, trainer};

#[test]
fn tiles_meet_without_seams_and_masked_pixels_are_unlabelled() {
    let mut scene = Fields::new(70, 66);
    scene.holes = vec![(0, 0), (35, 40), (69, 65)];
    let config = TrainConfig { tile: 32, tile_overlap: 12, epochs: 15, ..config() };
    let split = scene.split(10, 5);
    let mut trainer = trainer(&scene, &config);
    assert!(trainer.steps().1 >= 9, "the scene has several tiles");
    trained(&mut trainer, 15);
    let mut mapper = Mapper::new(trainer.best_network().unwrap(), 70, 66, &config, &Device::flex()).unwrap();
    let mut finished = vec![0; 70 * 66];
    let mut map = scene.empty_map();
    while !mapper.finished() {
        let Some(block) = read_sync(mapper.step(&scene)).unwrap() else { continue };
        block.write(&mut map);
        if block.finished {
            for row in block.rows.clone() {
                for col in block.cols.clone() {
                    finished[row * 66 + col] += 1;
                }
            }
        }
    }
    assert!(finished.iter().all(|times| *times == 1), "every pixel is finished once");
    for row in 0..70 {
        for col in 0..66 {
            assert_eq!(map.labels[row * 66 + col] == 0, scene.holes.contains(&(row, col)), "{row} {col}");
        }
    }
    let (done, all) = mapper.progress();
    assert_eq!(done, all);
    // Along the tiles' borders the map is as right as elsewhere.
    assert!(overall(&map, &split.test) > 0.75, "{}", overall(&map, &split.test));
}

#[test]
fn averaging_over_views_does_not_harm() {
    let (scene, config) = (Fields::new(42, 40), TrainConfig { epochs: 25, ..config() });
    let mut trainer = trainer(&scene, &config);
    trained(&mut trainer, 25);
    let test = scene.split(10, 5).test;
    let once = overall(&map(&trainer, &scene, &config), &test);
    let views = TrainConfig { test_time_augmentation: true, test_time_shifts: 3, ..config };
    let averaged = overall(&map(&trainer, &scene, &views), &test);
    assert!(averaged > once - 0.02, "{once} {averaged}");
}

/// From a cube to figures, as the page and `sigmascope evaluate` do it.
#[test]
fn the_teaching_scene_is_mapped_from_ten_labels_a_class() {
    let cube = TeachingScene::new(1);
    let (rows, cols) = (cube.info().rows, cube.info().cols);
    let classes = TEACHING_CLASSES.iter().map(|(name, color)| Class { name: (*name).into(), color: *color }).collect();
    let labels = LabelMap { rows, cols, labels: cube.truth().to_vec(), classes };
    let config = TrainConfig {
        size: ModelSize::Tiny,
        patch: Some(4),
        components: 12,
        epochs: 40,
        warmup_epochs: 4,
        test_time_shifts: 1,
        test_time_augmentation: false,
        ..TrainConfig::default()
    };
    let projection = fit_projection(&cube, &config.projection()).unwrap();
    let view = CubeView { cube: &cube, projection: &projection };
    let split = random_split(&labels, 10, 5, 0).unwrap();
    let classes = labels.classes.len();
    let mut data = TrainingData::new(&view, projection.len(), classes, &split, &config).unwrap();
    data.read_all(&view).unwrap();
    let mut trainer = Trainer::new(config.clone(), data, &Device::flex()).unwrap();
    while read_sync(trainer.epoch()).unwrap().is_some() {}
    let mut map = LabelMap { labels: vec![0; labels.labels.len()], ..labels.clone() };
    let mut mapper =
        Mapper::new(trainer.best_network().unwrap(), map.rows, map.cols, &config, &Device::flex()).unwrap();
    read_sync(mapper.run(&view, &mut map)).unwrap();
    let accuracy = Accuracy::of_map(&map.labels, &split.test, classes).unwrap();
    println!("teaching scene: OA {:.3}, AA {:.3}, kappa {:.3}", accuracy.overall, accuracy.average, accuracy.kappa);
    assert!(accuracy.overall > 0.8 && accuracy.average > 0.8, "{} {}", accuracy.overall, accuracy.average);
}
