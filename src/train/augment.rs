//! Random changes of a training tile: where it is cut, how it is turned, and spectral disturbances.
//!
//! All draws come from one ChaCha8 stream a (seed, epoch, tile), so that a resumed run continues with exactly the
//! sequence that an uninterrupted one would have drawn.

use std::collections::BTreeSet;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::area::{Area, Dihedral};
use super::config::Augmentation;

/// The generator of one training step.
pub fn step_generator(seed: u64, epoch: usize, tile: usize) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    // Stream 0 is left to the order of the tiles.
    generator.set_stream(((epoch as u64) << 32) + tile as u64 + 1);
    generator
}

/// A training pixel inside an area: position in the scene and 0-based class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub row: usize,
    pub col: usize,
    pub class: usize,
}

/// A tile as the network is shown it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `[component][row][col]`.
    pub pixels: Vec<f32>,
    /// Row-major position in the tile and 0-based class of every labelled pixel that it shows.
    pub targets: Vec<(u32, usize)>,
}

/// Where a tile may be cut: its size, its nominal origin, and how far the cut may move from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub height: usize,
    pub width: usize,
    /// Nominal first pixel; may lie outside the scene.
    pub origin: (isize, isize),
    /// Rows and columns by which the origin may move up or left and down or right.
    pub jitter: (usize, usize),
}

/// The tile exactly where it nominally lies, unchanged.
pub fn plain(area: &Area, cut: &Cut, targets: &[Target]) -> Sample {
    shown(area, cut, cut.origin, targets, Dihedral::default())
}

/// The tile with everything drawn that `augmentation` asks for. `deviations` are the standard deviations of the
/// components, the unit of the spectral disturbances.
pub fn augmented(
    area: &Area,
    cut: &Cut,
    targets: &[Target],
    deviations: &[f32],
    augmentation: &Augmentation,
    generator: &mut ChaCha8Rng,
) -> Sample {
    let mut moved = |jitter: usize| generator.random_range(0..=2 * jitter) as isize - jitter as isize;
    let origin = (cut.origin.0 + moved(cut.jitter.0), cut.origin.1 + moved(cut.jitter.1));
    let views: Vec<Dihedral> = Dihedral::all(cut.height, cut.width)
        .into_iter()
        .filter(|view| match (augmentation.flips, augmentation.rotations) {
            (true, true) => true,
            (true, false) => !view.transpose,
            (false, true) => view.is_rotation(),
            (false, false) => *view == Dihedral::default(),
        })
        .collect();
    let view = views[generator.random_range(0..views.len())];
    let mut sample = shown(area, cut, origin, targets, view);
    paste(&mut sample, cut.height * cut.width, augmentation, generator);
    mix_context(&mut sample, cut.height * cut.width, augmentation, generator);
    disturb(&mut sample.pixels, cut.height * cut.width, deviations, augmentation, generator);
    sample
}

fn shown(area: &Area, cut: &Cut, origin: (isize, isize), targets: &[Target], view: Dihedral) -> Sample {
    let (height, width) = (cut.height, cut.width);
    let inside = |position: usize, start: isize, length: usize| {
        let offset = position as isize - start;
        (offset >= 0 && offset < length as isize).then_some(offset as usize)
    };
    let targets = targets
        .iter()
        .filter_map(|target| {
            let row = inside(target.row, origin.0, height)?;
            let col = inside(target.col, origin.1, width)?;
            let (row, col) = view.target(row, col, height, width);
            Some(((row * width + col) as u32, target.class))
        })
        .collect();
    Sample { pixels: area.tile(origin, height, width, view), targets }
}

/// Shows each labelled pixel at `copies` more places, with its label, so that the network cannot lean on where it lies.
/// A copy is drawn towards another labelled pixel of its class by a random share of up to `copy_blend`.
fn paste(sample: &mut Sample, plane: usize, augmentation: &Augmentation, generator: &mut ChaCha8Rng) {
    let Augmentation { copies, copy_blend, .. } = *augmentation;
    if copies == 0 || sample.targets.is_empty() {
        return;
    }
    let mut free: Vec<u32> = (0..plane as u32).collect();
    let labelled: BTreeSet<u32> = sample.targets.iter().map(|target| target.0).collect();
    free.retain(|position| !labelled.contains(position));
    let originals = sample.targets.clone();
    let mut pasted = Vec::with_capacity(originals.len() * copies);
    for &(from, class) in &originals {
        let same: Vec<u32> = originals.iter().filter(|other| other.1 == class).map(|other| other.0).collect();
        for _ in 0..copies {
            if free.is_empty() {
                break;
            }
            let to = free.swap_remove(generator.random_range(0..free.len()));
            let other = same[generator.random_range(0..same.len())];
            pasted.push((to as usize, from as usize, other as usize, copy_blend * generator.random::<f32>()));
            sample.targets.push((to, class));
        }
    }
    for values in sample.pixels.chunks_exact_mut(plane) {
        for &(to, from, other, share) in &pasted {
            values[to] = values[from] * (1.0 - share) + values[other] * share;
        }
    }
}

/// Replaces each pixel without a label, with probability `context_mix`, by another pixel of the tile: what stands round a
/// labelled pixel then says little about its class.
fn mix_context(sample: &mut Sample, plane: usize, augmentation: &Augmentation, generator: &mut ChaCha8Rng) {
    if augmentation.context_mix <= 0.0 {
        return;
    }
    let mut source: Vec<u32> = (0..plane as u32).collect();
    for last in (1..plane).rev() {
        source.swap(last, generator.random_range(0..=last));
    }
    let labelled: BTreeSet<u32> = sample.targets.iter().map(|target| target.0).collect();
    for (position, source) in (0u32..).zip(&mut source) {
        if labelled.contains(&position) || generator.random::<f32>() >= augmentation.context_mix {
            *source = position;
        }
    }
    let mut mixed = vec![0.0; plane];
    for values in sample.pixels.chunks_exact_mut(plane) {
        for (mixed, &source) in mixed.iter_mut().zip(&source) {
            *mixed = values[source as usize];
        }
        values.copy_from_slice(&mixed);
    }
}

/// Gain and offset of each component for the whole tile, and noise for every value.
fn disturb(
    pixels: &mut [f32],
    plane: usize,
    deviations: &[f32],
    augmentation: &Augmentation,
    generator: &mut ChaCha8Rng,
) {
    let Augmentation { spectral_noise, spectral_shift, spectral_gain, .. } = *augmentation;
    let mut gaussian = Gaussian::default();
    for (values, deviation) in pixels.chunks_exact_mut(plane).zip(deviations) {
        let gain = if spectral_gain > 0.0 { 1.0 + spectral_gain * gaussian.draw(generator) } else { 1.0 };
        let offset = if spectral_shift > 0.0 { spectral_shift * deviation * gaussian.draw(generator) } else { 0.0 };
        let noise = spectral_noise * deviation;
        for value in values {
            *value = *value * gain + offset;
            if noise > 0.0 {
                *value += noise * gaussian.draw(generator);
            }
        }
    }
}

/// Standard normal numbers by Box and Muller's transform, which makes two at a time.
#[derive(Debug, Default)]
struct Gaussian {
    spare: Option<f32>,
}

impl Gaussian {
    fn draw(&mut self, generator: &mut ChaCha8Rng) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 - u lies in (0, 1]: its logarithm is finite.
        let radius = (-2.0 * (1.0 - generator.random::<f32>()).ln()).sqrt();
        let (sine, cosine) = (std::f32::consts::TAU * generator.random::<f32>()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area() -> Area {
        let values = (0..2 * 6 * 6).map(|value| value as f32).collect();
        Area { scene: (6, 6), rows: 0..6, cols: 0..6, components: 2, values }
    }

    const NONE: Augmentation = Augmentation {
        flips: false,
        rotations: false,
        jitter: 0,
        spectral_noise: 0.0,
        spectral_shift: 0.0,
        spectral_gain: 0.0,
        copies: 0,
        copy_blend: 0.0,
        context_mix: 0.0,
    };

    #[test]
    fn labels_stay_on_their_pixels() {
        let cut = Cut { height: 8, width: 8, origin: (-1, -1), jitter: (1, 1) };
        let targets = [Target { row: 0, col: 5, class: 3 }, Target { row: 4, col: 2, class: 1 }];
        let augmentation = Augmentation { flips: true, rotations: true, jitter: 1, ..NONE };
        let mut seen = std::collections::BTreeSet::new();
        for epoch in 0..64 {
            let mut generator = step_generator(7, epoch, 0);
            let sample = augmented(&area(), &cut, &targets, &[1.0, 1.0], &augmentation, &mut generator);
            assert_eq!(sample.targets.len(), 2, "the cut always shows the whole scene");
            for (&(index, class), target) in sample.targets.iter().zip(&targets) {
                assert_eq!(class, target.class);
                assert_eq!(sample.pixels[index as usize], (target.row * 6 + target.col) as f32);
                assert_eq!(sample.pixels[64 + index as usize], (36 + target.row * 6 + target.col) as f32);
            }
            seen.insert(sample.targets[0].0);
        }
        // 8 symmetries at up to 9 places: most of the border positions are met.
        assert!(seen.len() > 10, "{seen:?}");
    }

    #[test]
    fn rotations_alone_never_mirror() {
        let cut = Cut { height: 6, width: 6, origin: (0, 0), jitter: (0, 0) };
        let augmentation = Augmentation { rotations: true, ..NONE };
        for epoch in 0..32 {
            let sample = augmented(&area(), &cut, &[], &[1.0, 1.0], &augmentation, &mut step_generator(1, epoch, 0));
            // Going round the corners clockwise keeps its sense.
            let corners = [sample.pixels[0], sample.pixels[5], sample.pixels[35], sample.pixels[30]];
            let start = corners.iter().position(|&value| value == 0.0).unwrap();
            let ring: Vec<f32> = (0..4).map(|step| corners[(start + step) % 4]).collect();
            assert_eq!(ring, [0.0, 5.0, 35.0, 30.0]);
        }
    }

    #[test]
    fn the_same_step_draws_the_same() {
        let cut = Cut { height: 4, width: 4, origin: (1, 1), jitter: (1, 1) };
        let augmentation = Augmentation {
            flips: true,
            rotations: true,
            jitter: 1,
            spectral_noise: 0.1,
            spectral_shift: 0.2,
            spectral_gain: 0.1,
            copies: 2,
            copy_blend: 0.5,
            context_mix: 0.5,
        };
        let draw = |seed, epoch, tile| {
            augmented(&area(), &cut, &[], &[1.0, 2.0], &augmentation, &mut step_generator(seed, epoch, tile))
        };
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        assert_ne!(draw(1, 2, 3), draw(1, 2, 4));
        assert_ne!(draw(1, 2, 3), draw(1, 3, 3));
        assert_ne!(draw(1, 2, 3), draw(2, 2, 3));
    }

    #[test]
    fn copies_carry_their_label_and_stay_within_their_class() {
        let cut = Cut { height: 6, width: 6, origin: (0, 0), jitter: (0, 0) };
        let targets = [(0, 0, 0), (0, 1, 0), (5, 5, 1)].map(|(row, col, class)| Target { row, col, class });
        let augmentation = Augmentation { copies: 3, copy_blend: 0.9, context_mix: 1.0, ..NONE };
        let sample = augmented(&area(), &cut, &targets, &[1.0, 1.0], &augmentation, &mut step_generator(5, 0, 0));
        assert_eq!(sample.targets.len(), 12);
        let places: BTreeSet<u32> = sample.targets.iter().map(|target| target.0).collect();
        assert_eq!(places.len(), 12, "no two labels on one pixel");
        for &(position, class) in &sample.targets {
            let value = sample.pixels[position as usize];
            // Class 0 has the values 0 and 1 and what lies between, class 1 has 35.
            assert!(if class == 0 { (0.0..=1.0).contains(&value) } else { value == 35.0 }, "{class} {value}");
        }
    }

    #[test]
    fn context_is_exchanged_but_labelled_pixels_are_not() {
        let cut = Cut { height: 6, width: 6, origin: (0, 0), jitter: (0, 0) };
        let targets = [Target { row: 2, col: 3, class: 0 }];
        let augmentation = Augmentation { context_mix: 1.0, ..NONE };
        let sample = augmented(&area(), &cut, &targets, &[1.0, 1.0], &augmentation, &mut step_generator(5, 0, 0));
        assert_eq!(sample.pixels[15], 15.0);
        let moved = (0..36).filter(|&pixel| sample.pixels[pixel] != pixel as f32).count();
        assert!(moved > 25, "{moved}");
        for pixel in 0..36 {
            assert_eq!(sample.pixels[36 + pixel], sample.pixels[pixel] + 36.0, "spectra stay whole");
        }
    }

    #[test]
    fn noise_has_the_stated_spread() {
        let values = vec![0.0; 100 * 100];
        let area = Area { scene: (100, 100), rows: 0..100, cols: 0..100, components: 1, values };
        let cut = Cut { height: 100, width: 100, origin: (0, 0), jitter: (0, 0) };
        let augmentation = Augmentation { spectral_noise: 0.5, ..NONE };
        let sample = augmented(&area, &cut, &[], &[4.0], &augmentation, &mut step_generator(3, 0, 0));
        let mean = sample.pixels.iter().sum::<f32>() / 1e4;
        let deviation = (sample.pixels.iter().map(|value| value * value).sum::<f32>() / 1e4).sqrt();
        assert!(mean.abs() < 0.08, "{mean}");
        assert!((deviation - 2.0).abs() < 0.06, "{deviation}");
    }
}
