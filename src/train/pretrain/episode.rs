//! Few-shot episodes on generated labels: a few pixels of every class are shown with their labels, others are asked for.
//!
//! The features of the shown pixels are averaged class by class; a pixel belongs to the class whose mean is nearest
//! (prototypes: Snell, Swersky and Zemel, 2017). Nothing of a scene is learned but what its features are, so the network
//! must bring pixels of a class together by itself, also across fields: that is what few labels ask of it later.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::super::loss::{Targets, class_weights};

/// A labelled pixel of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pixel {
    /// Row-major place in the tile.
    pub position: u32,
    pub class: usize,
    pub field: u32,
}

/// What is shown and what is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Episode {
    /// Place and class, counted anew from 0.
    pub shown: Vec<(u32, usize)>,
    pub asked: Vec<(u32, usize)>,
    pub classes: usize,
}

/// Fewest pixels that a class needs to take part, most pixels shown and asked of it.
const LEAST: usize = 12;
const SHOWN: std::ops::RangeInclusive<usize> = 3..=12;
const ASKED: usize = 120;

/// Distances are divided by the number of channels over this.
const SHARPNESS: f64 = 10.0;

impl Episode {
    /// Draws an episode, with probability `apart` one whose shown pixels lie in other fields than the asked ones. `None`
    /// where fewer than two classes have enough pixels.
    pub fn draw(pixels: &[Pixel], apart: f64, random: &mut ChaCha8Rng) -> Option<Self> {
        let mut classes: BTreeMap<usize, Vec<Pixel>> = BTreeMap::new();
        for pixel in pixels {
            classes.entry(pixel.class).or_default().push(*pixel);
        }
        let (apart, count) = (random.random::<f64>() < apart, random.random_range(SHOWN));
        let (mut shown, mut asked, mut number) = (Vec::new(), Vec::new(), 0);
        for mut members in classes.into_values().filter(|members| members.len() >= LEAST) {
            shuffle(&mut members, random);
            let mut fields: Vec<u32> = members.iter().map(|pixel| pixel.field).collect();
            fields.sort_unstable();
            fields.dedup();
            let (first, rest): (Vec<Pixel>, Vec<Pixel>) = if apart && fields.len() > 1 {
                shuffle(&mut fields, random);
                let most = (fields.len() as f64 * random.random_range(0.1..0.6)) as usize;
                let teaching = &fields[..most.clamp(1, fields.len() - 1)];
                members.iter().partition(|pixel| teaching.contains(&pixel.field))
            } else {
                let (first, rest) = members.split_at(count);
                (first.to_vec(), rest.to_vec())
            };
            shown.extend(first.iter().take(count).map(|pixel| (pixel.position, number)));
            asked.extend(rest.iter().take(ASKED).map(|pixel| (pixel.position, number)));
            number += 1;
        }
        (number > 1).then_some(Self { shown, asked, classes: number })
    }

    /// The loss, `[1]`, of features `[1, channels, height, width]`: classes count alike.
    pub fn loss(&self, features: Tensor<4>, device: &Device) -> Option<Tensor<1>> {
        let mut counts = vec![0; self.classes];
        self.asked.iter().for_each(|(_, class)| counts[*class] += 1);
        let targets = Targets::new(&self.asked, &class_weights(&counts, true), 0.05, device)?;
        Some(targets.cross_entropy(self.logits(features)))
    }

    /// How well every pixel fits every class: `[1, channels, height, width]` → `[1, classes, height, width]`.
    pub fn logits(&self, features: Tensor<4>) -> Tensor<4> {
        let [_, channels, height, width] = features.dims();
        let pixels = height * width;
        let features = features.reshape([channels, pixels]);
        let mut shares = vec![0.0f32; pixels * self.classes];
        let mut counts = vec![0.0f32; self.classes];
        self.shown.iter().for_each(|(_, class)| counts[*class] += 1.0);
        for (position, class) in &self.shown {
            shares[*position as usize * self.classes + class] = 1.0 / counts[*class];
        }
        let shares = Tensor::<2>::from_data(TensorData::new(shares, [pixels, self.classes]), &features.device());
        let means = features.clone().matmul(shares); // [channels, classes]
        // −|x − m|² without |x|², which is the same for all classes.
        let products = means.clone().transpose().matmul(features).mul_scalar(2.0); // [classes, pixels]
        let lengths = means.clone().mul(means).sum_dim(0).transpose(); // [classes, 1]
        let logits = (products - lengths).mul_scalar(SHARPNESS / channels as f64);
        logits.reshape([1, self.classes, height, width])
    }
}

/// Fisher and Yates.
pub(super) fn shuffle<T>(list: &mut [T], random: &mut ChaCha8Rng) {
    for last in (1..list.len()).rev() {
        list.swap(last, random.random_range(0..=last));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;

    /// Three classes of four fields with ten pixels each, and a class that is too small.
    fn pixels() -> Vec<Pixel> {
        let many = (0..120u32).map(|i| Pixel { position: i, class: (i % 3) as usize, field: i % 12 });
        many.chain((120..125).map(|i| Pixel { position: i, class: 7, field: 99 })).collect()
    }

    #[test]
    fn episodes_ask_for_what_they_do_not_show() {
        for seed in 0..20 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let episode = Episode::draw(&pixels(), 1.0, &mut random).unwrap();
            assert_eq!(episode.classes, 3, "the small class takes no part");
            let fields = |list: &[(u32, usize)]| list.iter().map(|(at, _)| at % 12).collect::<BTreeSet<_>>();
            assert!(fields(&episode.shown).is_disjoint(&fields(&episode.asked)), "seed {seed}");
            for list in [&episode.shown, &episode.asked] {
                assert!((0..3).all(|class| list.iter().any(|(_, own)| *own == class)));
                assert!(list.iter().all(|(at, class)| (at % 3) as usize == *class));
            }
            let together = Episode::draw(&pixels(), 0.0, &mut random).unwrap();
            let places = |list: &[(u32, usize)]| list.iter().map(|(at, _)| *at).collect::<BTreeSet<_>>();
            assert!(places(&together.shown).is_disjoint(&places(&together.asked)));
            assert!((9..=36).contains(&together.shown.len()));
        }
        let one_class: Vec<Pixel> = pixels().into_iter().filter(|pixel| pixel.class == 0).collect();
        assert_eq!(Episode::draw(&one_class, 0.5, &mut ChaCha8Rng::seed_from_u64(0)), None);
    }

    #[test]
    fn the_nearest_mean_wins() {
        let device = Device::flex();
        // One row of four pixels, two channels; shown: the first two.
        let features = [0.0f32, 4.0, 1.0, 3.0, 0.0, 2.0, 0.0, 2.0];
        let features = Tensor::<4>::from_data(TensorData::new(features.to_vec(), [1, 2, 1, 4]), &device);
        let episode = Episode { shown: vec![(0, 0), (1, 1)], asked: vec![(2, 0), (3, 1)], classes: 2 };
        let logits: Vec<f32> = episode.logits(features.clone()).into_data().iter::<f32>().collect();
        // 2 x·m − |m|², times 10 / 2: class 0 has the mean (0, 0), class 1 (4, 2).
        assert_eq!(logits, [0.0, 0.0, 0.0, 0.0, -100.0, 100.0, -60.0, 60.0]);
        let loss = episode.loss(features, &device).unwrap().into_scalar::<f32>();
        // Nearly right, but for the smoothing: 0.025 of the way to the wrong class, 60 away.
        assert!((loss - 1.5).abs() < 1e-4, "{loss}");
    }
}
