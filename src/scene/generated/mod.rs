//! Generated scenes of great variety, for pretraining: sensors, materials, land, light, mixing and noise are drawn anew for
//! every seed.
//!
//! The teaching scene shows one believable landscape; here variety counts instead. A [`Plan`] draws what kind of scene a
//! seed becomes, [`Materials`] are its classes and how each of them varies, [`Ground`] says what lies where, and `sensor`
//! records it. Materials are the teaching scene's physical surfaces with other amounts of everything, and curves without a
//! name. None of it is taken from a real scene.

mod ground;
mod materials;
mod plan;
mod sensor;

use ground::Ground;
use materials::Materials;
use plan::Plan;

use super::{Cube, Format, Interleave, Kind, SampleType, SceneError, SceneInfo, Window};

/// A generated scene with everything that is known about it.
pub struct GeneratedScene {
    info: SceneInfo,
    /// `[row][col][band]`.
    samples: Vec<f32>,
    labels: Vec<u8>,
    objects: Vec<u32>,
    classes: usize,
}

impl GeneratedScene {
    /// Rows and columns that a scene may have.
    pub const SIDES: std::ops::RangeInclusive<usize> = 8..=512;

    /// The scene of a seed, `side × side` pixels (brought into [`SIDES`](Self::SIDES)): the same seed, the same scene.
    pub fn new(seed: u64, side: usize) -> Self {
        let side = side.clamp(*Self::SIDES.start(), *Self::SIDES.end());
        let plan = Plan::draw(seed);
        let materials = Materials::draw(seed, &plan);
        let ground = Ground::new(seed, &plan, side);
        let record = sensor::record(seed, &plan, &materials, &ground, side);
        let info = SceneInfo {
            name: format!("Generated scene {seed}"),
            format: Format::Teaching,
            variable: None,
            rows: side,
            cols: side,
            bands: plan.wavelengths_nm.len(),
            dtype: SampleType::F32,
            interleave: Interleave::Bip,
            wavelengths_nm: Some(plan.wavelengths_nm.clone()),
            fwhm_nm: None,
            band_names: None,
            nodata: None,
            good_bands: plan.good_bands.clone(),
            kind: Kind::Cube,
            class_names: None,
            class_colors: None,
            geo: None,
            notes: vec!["made up for pretraining: a landscape that does not exist".to_owned()],
        };
        Self { info, samples: record.samples, labels: record.labels, objects: record.objects, classes: plan.classes }
    }

    /// Number of classes; a scene need not show all of them.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Class 1, 2, … of every pixel, row-major; 0 where the pixel is mixed.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Which field, stand or house a pixel belongs to, row-major. A field has one class.
    pub fn objects(&self) -> &[u32] {
        &self.objects
    }
}

impl Cube for GeneratedScene {
    fn info(&self) -> &SceneInfo {
        &self.info
    }

    fn read(&self, window: &Window, out: &mut [f64]) -> Result<(), SceneError> {
        let Window { rows, cols, bands } = window;
        let SceneInfo { rows: height, cols: width, bands: count, .. } = self.info;
        let fits = rows.start <= rows.end && cols.start <= cols.end && bands.start <= bands.end;
        if !fits || rows.end > height || cols.end > width || bands.end > count || out.len() != window.len() {
            return Err(SceneError::Window { window: window.clone(), rows: height, cols: width, bands: count });
        }
        if window.is_empty() {
            return Ok(());
        }
        let pixels = rows.clone().flat_map(|row| cols.clone().map(move |col| row * width + col));
        for (pixel, out) in pixels.zip(out.chunks_exact_mut(bands.len())) {
            let spectrum = &self.samples[pixel * count..][bands.clone()];
            for (out, sample) in out.iter_mut().zip(spectrum) {
                *out = f64::from(*sample);
            }
        }
        Ok(())
    }

    fn preferred_rows(&self) -> usize {
        64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_scene_is_light_that_a_sensor_could_record(seed: u64, side in 8usize..40) {
            let scene = GeneratedScene::new(seed, side);
            let info = scene.info();
            prop_assert!((40..=230).contains(&info.bands) && info.good_bands.len() == info.bands);
            prop_assert!(info.good_bands.iter().filter(|good| **good).count() >= 36);
            let wavelengths = info.wavelengths_nm.as_ref().expect("wavelengths");
            prop_assert!(wavelengths.is_sorted() && wavelengths[0] > 300.0 && wavelengths[info.bands - 1] < 2600.0);
            prop_assert_eq!(scene.samples.len(), side * side * info.bands);
            prop_assert!(scene.samples.iter().all(|sample| sample.is_finite()));
            let mean = scene.samples.iter().map(|sample| f64::from(*sample)).sum::<f64>() / scene.samples.len() as f64;
            prop_assert!(mean > 0.0, "mean {}", mean);
        }

        #[test]
        fn labels_belong_to_their_fields(seed: u64) {
            let scene = GeneratedScene::new(seed, 32);
            let mut class_of = BTreeMap::new();
            for (&label, &object) in scene.labels().iter().zip(scene.objects()).filter(|(label, _)| **label > 0) {
                prop_assert!(usize::from(label) <= scene.classes());
                prop_assert_eq!(*class_of.entry(object).or_insert(label), label, "a field has one class");
            }
        }
    }

    #[test]
    fn a_seed_gives_one_scene() {
        let [a, b, c] = [5, 5, 6].map(|seed| GeneratedScene::new(seed, 24));
        assert!(a.samples == b.samples && a.labels == b.labels && a.objects == b.objects);
        assert!(a.samples != c.samples);
    }

    #[test]
    fn scenes_differ_in_every_respect() {
        let scenes: Vec<GeneratedScene> = (0..24).map(|seed| GeneratedScene::new(seed, 32)).collect();
        let distinct = |of: &dyn Fn(&GeneratedScene) -> usize| scenes.iter().map(of).collect::<BTreeSet<_>>().len();
        assert!(distinct(&|scene| scene.info.bands) > 15);
        assert!(distinct(&|scene| scene.classes()) > 6);
        let fields = |scene: &GeneratedScene| scene.objects().iter().collect::<BTreeSet<_>>().len();
        let counts: Vec<usize> = scenes.iter().map(fields).collect();
        assert!(counts.iter().any(|count| *count < 15) && counts.iter().any(|count| *count > 60), "{counts:?}");
        let labelled = |scene: &GeneratedScene| scene.labels().iter().filter(|label| **label > 0).count();
        assert!(scenes.iter().filter(|scene| labelled(scene) > 32 * 32 / 4).count() > 18);
    }

    /// The mean spectra of two classes lie nearer to each other, against the noise of pixels, in some scenes than in
    /// others: nothing is learned where all is easy or all hopeless.
    #[test]
    fn scenes_are_of_many_difficulties() {
        let right: Vec<f64> = (0..16).map(|seed| nearest_mean(&GeneratedScene::new(seed, 48))).collect();
        assert!(right.iter().any(|share| *share < 0.6) && right.iter().any(|share| *share > 0.8), "{right:?}");
        assert!(right.iter().all(|share| *share > 0.1), "{right:?}");
    }

    /// Share of labelled pixels whose spectrum is nearest to the mean spectrum of the class's first ten pixels.
    fn nearest_mean(scene: &GeneratedScene) -> f64 {
        let bands = scene.info.bands;
        let spectrum = |pixel: usize| &scene.samples[pixel * bands..(pixel + 1) * bands];
        let mut means: BTreeMap<u8, Vec<f64>> = BTreeMap::new();
        for class in 1..=scene.classes() as u8 {
            let members: Vec<usize> =
                (0..scene.labels.len()).filter(|pixel| scene.labels[*pixel] == class).take(10).collect();
            let of_band = |band: usize| members.iter().map(|pixel| f64::from(spectrum(*pixel)[band])).sum::<f64>();
            if members.len() == 10 {
                means.insert(class, (0..bands).map(|band| of_band(band) / 10.0).collect());
            }
        }
        let distance = |mean: &[f64], pixel: usize| {
            mean.iter().zip(spectrum(pixel)).map(|(a, b)| (a - f64::from(*b)).powi(2)).sum::<f64>()
        };
        let judged: Vec<usize> =
            (0..scene.labels.len()).filter(|pixel| means.contains_key(&scene.labels[*pixel])).collect();
        let right = judged.iter().filter(|pixel| {
            let best = means.iter().min_by(|a, b| distance(a.1, **pixel).total_cmp(&distance(b.1, **pixel)));
            best.map(|(class, _)| *class) == Some(scene.labels[**pixel])
        });
        right.count() as f64 / judged.len().max(1) as f64
    }

    #[test]
    fn windows() {
        let scene = GeneratedScene::new(3, 16);
        let bands = scene.info().bands;
        let mut out = vec![0.0; 2 * 3 * 4];
        let window = Window { rows: 7..9, cols: 13..16, bands: 5..9 };
        scene.read(&window, &mut out).expect("inside");
        assert_eq!(out[4 * 4 + 1], f64::from(scene.samples[(8 * 16 + 14) * bands + 6]));
        assert!(scene.read(&Window { rows: 7..9, cols: 14..17, bands: 5..9 }, &mut out).is_err());
        assert!(scene.read(&window, &mut out[1..]).is_err());
    }
}
