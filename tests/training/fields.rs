//! A small scene made here, and a configuration that learns it in a second.

use std::ops::Range;

use burn::tensor::{Device, read_sync};
use sigmascope::labels::{Accuracy, Class, LabelMap, LabelledPixel, Split};
use sigmascope::preprocess::{PreprocessError, Projected};
use sigmascope::train::{Augmentation, Mapper, ModelSize, ProjectedScene, TrainConfig, Trainer, TrainingData};

pub const CLASSES: usize = 4;
pub const COMPONENTS: usize = 6;

/// Fields of four crops: every class has a spectrum, every pixel its own noise, and neighbouring fields mix a little.
pub struct Fields {
    pub rows: usize,
    pub cols: usize,
    /// Pixels without data.
    pub holes: Vec<(usize, usize)>,
}

impl Fields {
    pub fn new(rows: usize, cols: usize) -> Self {
        Self { rows, cols, holes: Vec::new() }
    }

    pub fn class(&self, row: usize, col: usize) -> usize {
        (row / 9 * 3 + col / 7 * 5 + (row / 9) * (col / 7)) % CLASSES
    }

    /// Uniform in -1..1, the same for the same pixel and component (SplitMix64).
    fn noise(row: usize, col: usize, component: usize) -> f32 {
        let mut z = ((row as u64) << 40 | (col as u64) << 20 | component as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn value(&self, row: usize, col: usize, component: usize) -> f32 {
        let spectrum = Self::noise(1000 + self.class(row, col), 7, component);
        spectrum + 0.8 * Self::noise(row, col, component)
    }

    /// `train` and `val` pixels a class on a regular lattice, everything else tests.
    pub fn split(&self, train: usize, val: usize) -> Split {
        let mut split = Split { name: "lattice".into(), ..Split::default() };
        let mut seen = [0usize; CLASSES];
        let pixels = self.rows * self.cols;
        // A stride that shares no factor with the number of pixels visits all of them, far apart.
        let stride = (pixels * 5 / 8..).find(|stride| gcd(*stride, pixels) == 1).unwrap();
        for step in 0..pixels {
            let index = step * stride % pixels;
            let class = self.class(index / self.cols, index % self.cols);
            let pixel = LabelledPixel { index: index as u32, class: class as u8 + 1 };
            seen[class] += 1;
            match seen[class] {
                n if n <= train => split.train.push(pixel),
                n if n <= train + val => split.val.push(pixel),
                _ => split.test.push(pixel),
            }
        }
        for list in [&mut split.train, &mut split.val, &mut split.test] {
            list.sort();
        }
        split
    }

    pub fn empty_map(&self) -> LabelMap {
        LabelMap { rows: self.rows, cols: self.cols, labels: vec![0; self.rows * self.cols], classes: classes() }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl ProjectedScene for Fields {
    fn size(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    fn read(&self, rows: Range<usize>, cols: Range<usize>) -> Result<Projected, PreprocessError> {
        let pixels = || rows.clone().flat_map(|row| cols.clone().map(move |col| (row, col)));
        let mask: Vec<bool> = pixels().map(|pixel| !self.holes.contains(&pixel)).collect();
        let mut values = Vec::new();
        for component in 0..COMPONENTS {
            values.extend(pixels().zip(&mask).map(
                |((row, col), data)| {
                    if *data { self.value(row, col, component) } else { 0.0 }
                },
            ));
        }
        Ok(Projected { values, mask, components: COMPONENTS, rows: rows.len(), cols: cols.len() })
    }
}

pub fn classes() -> Vec<Class> {
    (1..=CLASSES).map(|class| Class { name: format!("crop {class}"), color: [class as u8; 3] }).collect()
}

pub fn config() -> TrainConfig {
    TrainConfig {
        size: ModelSize::Tiny,
        patch: Some(2),
        components: COMPONENTS,
        tile: 48,
        tile_overlap: 8,
        epochs: 40,
        learning_rate: 3e-3,
        warmup_epochs: 4,
        validate_every: 10,
        drop_path: 0.1,
        test_time_augmentation: false,
        test_time_shifts: 1,
        seed: 11,
        augmentation: Augmentation { jitter: 2, ..Augmentation::default() },
        ..TrainConfig::default()
    }
}

pub fn data(scene: &Fields, config: &TrainConfig, split: &Split) -> TrainingData {
    let mut data = TrainingData::new(scene, COMPONENTS, CLASSES, split, config).unwrap();
    data.read_all(scene).unwrap();
    data
}

pub fn trainer_on(scene: &Fields, config: &TrainConfig, split: &Split) -> Trainer {
    Trainer::new(config.clone(), data(scene, config, split), &Device::flex()).unwrap()
}

pub fn trainer(scene: &Fields, config: &TrainConfig) -> Trainer {
    trainer_on(scene, config, &scene.split(10, 5))
}

/// Losses of the epochs and the weights at the end.
pub fn trained(trainer: &mut Trainer, epochs: usize) -> (Vec<f32>, Vec<f32>) {
    for _ in 0..epochs {
        read_sync(trainer.epoch()).unwrap();
    }
    (trainer.history().iter().map(|report| report.loss).collect(), weights(trainer))
}

pub fn weights(trainer: &Trainer) -> Vec<f32> {
    let values = read_sync(trainer.best_network().unwrap().values()).unwrap();
    values.into_iter().flat_map(|named| named.values).collect()
}

pub fn map(trainer: &Trainer, scene: &Fields, config: &TrainConfig) -> LabelMap {
    let mut map = scene.empty_map();
    let network = trainer.best_network().unwrap();
    let mut mapper = Mapper::new(network, scene.rows, scene.cols, config, &Device::flex()).unwrap();
    read_sync(mapper.run(scene, &mut map)).unwrap();
    map
}

pub fn overall(map: &LabelMap, test: &[LabelledPixel]) -> f64 {
    Accuracy::of_map(&map.labels, test, CLASSES).unwrap().overall
}
