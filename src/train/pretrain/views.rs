//! Generated scenes, prepared as users' scenes are, and random looks at them.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::super::area::Area;
use super::super::augment::{Cut, Target, augmented};
use super::super::error::TrainError;
use super::config::PretrainConfig;
use super::episode::Pixel;
use crate::preprocess::fit_projection;
use crate::scene::generated::GeneratedScene;

/// A generated scene through its own projection.
pub(super) struct Prepared {
    area: Area,
    /// One a pixel, row-major: class 1, 2, … and field.
    labels: Vec<(u8, u32)>,
    /// Every pixel; its `class` is its place in `labels`.
    targets: Vec<Target>,
    deviations: Vec<f32>,
}

/// What a step sees.
pub(super) struct View {
    /// `[component][row][col]`
    pub pixels: Vec<f32>,
    /// Labelled pixels, by their place in the tile.
    pub labelled: Vec<Pixel>,
    /// Field of every pixel.
    pub fields: Vec<u32>,
}

impl Prepared {
    /// The scene of a seed.
    ///
    /// # Errors
    /// Those of the projection, which generated scenes do not cause.
    pub fn new(seed: u64, config: &PretrainConfig) -> Result<Self, TrainError> {
        let scene = GeneratedScene::new(seed, config.scene);
        let side = config.scene;
        let projection = fit_projection(&scene, &config.training().projection())?;
        let projected = projection.project(&scene, 0..side, 0..side)?;
        if projected.components != config.components {
            return Err(TrainError::Components { expected: config.components, found: projected.components });
        }
        let labels: Vec<(u8, u32)> = scene.labels().iter().copied().zip(scene.objects().iter().copied()).collect();
        let targets = (0..labels.len()).map(|at| Target { row: at / side, col: at % side, class: at }).collect();
        let deviations = projected.values.chunks_exact(side * side).map(deviation).collect();
        let area = Area {
            scene: (side, side),
            rows: 0..side,
            cols: 0..side,
            components: projected.components,
            values: projected.values,
        };
        Ok(Self { area, labels, targets, deviations })
    }

    /// A random look: cut, turned and disturbed as in training, and every component with a sign of its own, because the
    /// sign of a principal component means nothing.
    pub fn view(&self, config: &PretrainConfig, random: &mut ChaCha8Rng) -> View {
        let (side, tile) = (config.scene, config.tile);
        let room = side - tile;
        let middle = (room / 2) as isize;
        let cut = Cut { height: tile, width: tile, origin: (middle, middle), jitter: (room / 2, room / 2) };
        let augmentation = config.training().augmentation;
        let mut sample = augmented(&self.area, &cut, &self.targets, &self.deviations, &augmentation, random);
        for plane in sample.pixels.chunks_exact_mut(tile * tile) {
            if random.random::<bool>() {
                plane.iter_mut().for_each(|value| *value = -*value);
            }
        }
        let mut fields = vec![0; tile * tile];
        let mut labelled = Vec::new();
        for (position, at) in sample.targets {
            let (class, field) = self.labels[at];
            fields[position as usize] = field;
            if let Some(class) = usize::from(class).checked_sub(1) {
                labelled.push(Pixel { position, class, field });
            }
        }
        View { pixels: sample.pixels, labelled, fields }
    }
}

impl View {
    /// The mean of every component over a pixel's field, as far as the tile shows it, in standard deviations of the
    /// component, so that faint components count like loud ones.
    pub fn field_means(&self) -> FieldMeans {
        let plane = self.fields.len();
        let mut numbers = BTreeMap::new();
        let number = |field: &u32| {
            let next = numbers.len();
            *numbers.entry(*field).or_insert(next)
        };
        let own: Vec<usize> = self.fields.iter().map(number).collect();
        let components = self.pixels.len() / plane.max(1);
        let mut counts = vec![0.0f32; numbers.len()];
        own.iter().for_each(|field| counts[*field] += 1.0);
        let mut values = vec![0.0f32; plane * components];
        let mut scales = Vec::with_capacity(components);
        let mut sums = vec![0.0f32; counts.len()];
        for (component, plane) in self.pixels.chunks_exact(plane).enumerate() {
            let scale = 1.0 / deviation(plane).max(1e-6);
            sums.fill(0.0);
            own.iter().zip(plane).for_each(|(field, value)| sums[*field] += value);
            for (pixel, field) in own.iter().enumerate() {
                values[pixel * components + component] = scale * sums[*field] / counts[*field];
            }
            scales.push(scale);
        }
        let squares: f64 = values.iter().map(|mean| f64::from(*mean).powi(2)).sum();
        let square = (squares / values.len().max(1) as f64).max(1e-6) as f32;
        FieldMeans { values, scales, square }
    }
}

/// Means over fields: what a pixel's features have to tell.
pub(super) struct FieldMeans {
    /// `[pixel][component]`
    pub values: Vec<f32>,
    /// What brings each component to standard deviation 1.
    pub scales: Vec<f32>,
    /// Mean square of the values, at least 1e-6.
    pub square: f32,
}

fn deviation(plane: &[f32]) -> f32 {
    let mean = plane.iter().map(|value| f64::from(*value)).sum::<f64>() / plane.len() as f64;
    let squares = plane.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
    (squares / plane.len() as f64).sqrt() as f32
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn config() -> PretrainConfig {
        PretrainConfig { scene: 24, tile: 16, noise: 0.0, gain: 0.0, components: 12, ..PretrainConfig::default() }
    }

    #[test]
    fn views_show_the_scene_itself() {
        let (config, side) = (config(), 24);
        let scene = Prepared::new(4, &config).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut found: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
        let size = |value: f32| value.abs().to_bits();
        for at in 0..side * side {
            found.insert((0..12).map(|c| size(scene.area.values[c * side * side + at])).collect(), at);
        }
        let mut signs = Vec::new();
        for _ in 0..8 {
            let view = scene.view(&config, &mut random);
            assert!(!view.labelled.is_empty());
            for pixel in &view.labelled {
                let key: Vec<u32> = (0..12).map(|c| size(view.pixels[c * 256 + pixel.position as usize])).collect();
                let at = found[&key];
                assert_eq!((pixel.class + 1, pixel.field), (usize::from(scene.labels[at].0), scene.labels[at].1));
                let kept = |c: usize| {
                    view.pixels[c * 256 + pixel.position as usize] == scene.area.values[c * side * side + at]
                };
                assert_eq!(view.fields[pixel.position as usize], pixel.field);
                signs.push((0..12).map(kept).collect::<Vec<_>>());
            }
        }
        signs.sort();
        signs.dedup();
        assert!(signs.len() > 4, "every look has signs of its own");
    }

    #[test]
    fn means_are_those_of_the_field() {
        // Two components of four pixels in two fields; the second is the first, louder and upside down.
        let pixels = vec![1.0, 3.0, 5.0, 7.0, -10.0, -30.0, -50.0, -70.0];
        let view = View { pixels, labelled: vec![], fields: vec![7, 7, 2, 2] };
        let FieldMeans { values, scales, square } = view.field_means();
        let scale = 1.0 / 5f32.sqrt();
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near(&scales, &[scale, scale / 10.0]), "{scales:?}");
        let (low, high) = (2.0 * scale, 6.0 * scale);
        assert!(near(&values, &[low, -low, low, -low, high, -high, high, -high]), "{values:?}");
        assert!((square - 4.0).abs() < 1e-5, "{square}");
    }

    #[test]
    fn a_seed_gives_one_view() {
        let config = config();
        let view = |seed| Prepared::new(4, &config).unwrap().view(&config, &mut ChaCha8Rng::seed_from_u64(seed)).pixels;
        assert!(view(1) == view(1) && view(1) != view(2));
    }
}
