//! The classes of a generated scene: a spectrum each, and the directions in which it varies.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::super::teaching::spectra::{Plants, Soil, Spectra, Surface};
use super::plan::Plan;

/// Amounts that make up a material: of plants chlorophyll, water, senescence, leaf area, scattering, the soil's brightness
/// and moisture, petals. Other kinds use the first of them.
pub(super) const AMOUNTS: usize = 8;

/// What a family of classes is made of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Plants,
    Soil,
    Water,
    Tiles,
    Slate,
    Concrete,
    Asphalt,
    /// Something without a name: a curve and its own directions.
    Curve,
}

/// A class: reflectance is `base + Σ amount change × direction`.
pub(super) struct Material {
    /// `[band]`
    pub base: Vec<f64>,
    /// `[amount][band]`, for a change by one natural logarithm.
    pub directions: Vec<Vec<f64>>,
}

/// All classes of a scene, class 1 first.
pub(super) struct Materials(pub Vec<Material>);

impl Materials {
    pub fn draw(seed: u64, plan: &Plan) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(1);
        let bands = plan.wavelengths_nm.len();
        let spectra = Spectra::new(&plan.wavelengths_nm);
        let families: Vec<Family> = (0..plan.families).map(|_| Family::draw(&mut random, bands)).collect();
        // What tells a class from its relatives beyond its amounts.
        let own = random.random_range(0.05f64.ln()..0.5f64.ln()).exp() * plan.spread.class;
        let classes = (0..plan.classes).map(|class| {
            let family = &families[if class < families.len() { class } else { random.random_range(0..families.len()) }];
            let amounts = family.amounts.map(|amount| amount * (plan.spread.class * normal(&mut random)).exp());
            let width = random.random_range(0.03..0.2);
            let mark = smooth_curve(&mut random, bands, width);
            let mark = |r: &mut Vec<f64>| {
                for (r, mark) in r.iter_mut().zip(&mark) {
                    *r = (*r * (1.0 + own * mark)).max(0.002);
                }
            };
            let mut base = family.reflectance(&spectra, amounts);
            mark(&mut base);
            let directions = (0..AMOUNTS)
                .map(|which| {
                    const STEP: f64 = 0.1;
                    let mut more = amounts;
                    more[which] *= f64::exp(STEP);
                    let mut changed = family.reflectance(&spectra, more);
                    mark(&mut changed);
                    changed.iter().zip(&base).map(|(changed, base)| (changed - base) / STEP).collect()
                })
                .collect();
            Material { base, directions }
        });
        Self(classes.collect())
    }
}

/// A family: its kind and its middle amounts.
struct Family {
    kind: Kind,
    amounts: [f64; AMOUNTS],
    /// Of [`Kind::Curve`]: the spectrum and its directions.
    curves: Vec<Vec<f64>>,
}

impl Family {
    fn draw(random: &mut ChaCha8Rng, bands: usize) -> Self {
        use Kind::{Asphalt, Concrete, Curve, Plants, Slate, Soil, Tiles, Water};
        const KINDS: [Kind; 12] =
            [Plants, Plants, Plants, Plants, Soil, Soil, Water, Tiles, Slate, Concrete, Asphalt, Curve];
        let kind = KINDS[random.random_range(0..KINDS.len())];
        let mut amounts = [(); AMOUNTS].map(|()| (0.35 * normal(random)).exp());
        if let Plants = kind {
            // Senescence and petals are usually small.
            amounts[2] *= random.random_range(0.02..0.5);
            amounts[3] *= random.random_range(0.5..3.5);
            amounts[7] *= random.random_range(0.005..0.1);
        }
        let widths: Vec<f64> = (0..=AMOUNTS).map(|_| random.random_range(0.05..0.3)).collect();
        let curves = match kind {
            Curve => widths.into_iter().map(|width| smooth_curve(random, bands, width)).collect(),
            _ => Vec::new(),
        };
        Self { kind, amounts, curves }
    }

    /// Reflectance of a member of the family.
    fn reflectance(&self, spectra: &Spectra, amounts: [f64; AMOUNTS]) -> Vec<f64> {
        let [a, b, c, d, e, f, g, h] = amounts;
        let share = |amount: f64| amount.clamp(0.0, 1.0);
        let soil = Soil { brightness: (0.9 * f).clamp(0.3, 1.6), moisture: share(0.3 * g), clay: share(0.08 * e) };
        let surface = match self.kind {
            Kind::Plants => Surface::Plants(Plants {
                chlorophyll: a,
                water: b,
                senescence: share(c),
                petals: share(h),
                scattering: (0.95 * e).clamp(0.4, 1.6),
                leaf_area: d,
                soil: Soil { clay: 0.08, ..soil },
            }),
            Kind::Soil => Surface::Soil(soil),
            Kind::Water => Surface::Water { turbidity: share(0.4 * a), depth: share(0.7 * b) },
            Kind::Tiles => Surface::Tiles { weathering: share(0.4 * a) },
            Kind::Slate => Surface::Slate { brightness: a },
            Kind::Concrete => Surface::Concrete { brightness: (0.9 * a).min(1.8) },
            Kind::Asphalt => Surface::Asphalt { age: share(0.5 * a) },
            Kind::Curve => {
                let (base, directions) = self.curves.split_at(1);
                let of_band = |band: usize| {
                    let change = directions.iter().zip(&amounts).map(|(curve, amount)| amount.ln() * curve[band]);
                    (0.25 + 0.10 * base[0][band] + 0.12 * change.sum::<f64>()).clamp(0.02, 0.9)
                };
                return (0..base[0].len()).map(of_band).collect();
            }
        };
        spectra.reflectance(surface)
    }
}

/// A curve over the bands made of a few bells of about `width` of the range and a slope; about 1 in size.
pub(super) fn smooth_curve(random: &mut ChaCha8Rng, bands: usize, width: f64) -> Vec<f64> {
    let bells: Vec<(f64, f64, f64)> = (0..random.random_range(3..9))
        .map(|_| (normal(random), random.random::<f64>(), width * (0.6 * normal(random)).exp()))
        .collect();
    let slope = normal(random);
    (0..bands)
        .map(|band| {
            let x = band as f64 / bands.max(2) as f64;
            let bell =
                |(height, centre, width): &(f64, f64, f64)| height * (-0.5 * ((x - centre) / width).powi(2)).exp();
            slope * (x - 0.5) + bells.iter().map(bell).sum::<f64>()
        })
        .collect()
}

/// Standard normal (Box and Muller).
pub(super) fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}
