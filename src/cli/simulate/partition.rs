//! A scene's labels, dealt to labs.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, StandardNormal};

use super::plan::Plan;
use crate::labels::{LabelMap, LabelledPixel};

/// Who has which labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Training pixels of each client, by index. Some clients may have none.
    pub clients: Vec<Vec<LabelledPixel>>,
    /// What nobody has trained on, by index.
    pub test: Vec<LabelledPixel>,
}

/// Streams of the seed: what is drawn for one purpose does not depend on the others.
const CLASSES: u64 = 1 << 32;
const SIZES: u64 = 1 << 33;

impl Partition {
    /// Draws by the plan's seed; the training and test pixels as a whole depend on the seed and the number of labels only.
    pub fn draw(plan: &Plan, labels: &LabelMap) -> Self {
        let mut drawn = Self { clients: vec![Vec::new(); plan.clients], test: Vec::new() };
        let mut rng = generator(plan.seed, SIZES);
        let sizes: Vec<f64> = (0..plan.clients)
            .map(|_| (plan.quantity * Distribution::<f64>::sample(&StandardNormal, &mut rng)).exp())
            .collect();
        for class in 1..=labels.classes.len().min(255) as u8 {
            let mut pixels: Vec<u32> =
                (0u32..).zip(&labels.labels).filter(|&(_, &label)| label == class).map(|(index, _)| index).collect();
            pixels.shuffle(&mut generator(plan.seed, u64::from(class)));
            let train = plan.labels.min(pixels.len() / 2);
            let test = pixels.split_off(train);
            drawn.test.extend(test.into_iter().map(|index| LabelledPixel { index, class }));
            let mut rng = generator(plan.seed, CLASSES + u64::from(class));
            let shares = shares(plan.alpha, &sizes, &mut rng);
            for index in pixels {
                drawn.clients[pick(&shares, rng.random())].push(LabelledPixel { index, class });
            }
        }
        for pixels in drawn.clients.iter_mut().chain([&mut drawn.test]) {
            pixels.sort_unstable();
        }
        drawn
    }

    /// Classes that a client has, ascending.
    pub fn classes_of(&self, client: usize) -> Vec<u8> {
        let mut classes: Vec<u8> = self.clients[client].iter().map(|pixel| pixel.class).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }
}

/// A generator of its own for every purpose.
pub fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// One draw of a Dirichlet distribution whose concentrations are `alpha` times the relative sizes; sums to 1.
fn shares(alpha: f64, sizes: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
    let mut shares: Vec<f64> =
        sizes.iter().map(|size| Gamma::new(alpha * size / mean, 1.0).map_or(0.0, |gamma| gamma.sample(rng))).collect();
    let sum: f64 = shares.iter().sum();
    if sum > 0.0 {
        shares.iter_mut().for_each(|share| *share /= sum);
    } else {
        // So small a concentration that every draw underflowed: everything goes to one.
        let chosen = rng.random_range(0..shares.len());
        shares[chosen] = 1.0;
    }
    shares
}

/// The client at `at` (0 to 1) of the shares laid end to end.
fn pick(shares: &[f64], at: f64) -> usize {
    let mut sum = 0.0;
    let found = shares.iter().position(|share| {
        sum += share;
        at < sum
    });
    // Rounding may leave a crack at the end.
    found.unwrap_or_else(|| shares.iter().rposition(|&share| share > 0.0).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::plan::{Base, Local, Method};
    use super::*;
    use crate::labels::Class;
    use crate::scope::Fusion;

    fn labels() -> LabelMap {
        let class = |class| Class { name: format!("class {class}"), color: [0; 3] };
        let labels = (0..4000u32).map(|pixel| (pixel % 5) as u8).collect();
        LabelMap { rows: 40, cols: 100, labels, classes: (1..=4).map(class).collect() }
    }

    fn plan(clients: usize, alpha: f64, quantity: f64, seed: u64) -> Plan {
        let method = Method { base: Base::Fedavg, lambda: 0.0, fusion: Fusion::default() };
        let local = Local { epochs: 1, variety: 1.0 };
        Plan { clients, participation: 1.0, rounds: 1, labels: 200, alpha, quantity, local, method, seed }
    }

    proptest! {
        #[test]
        fn every_label_is_dealt_once(clients in 1usize..20, alpha in 1e-4..100f64, quantity in 0.0..3f64, seed: u64) {
            let drawn = Partition::draw(&plan(clients, alpha, quantity, seed), &labels());
            let mut all: Vec<LabelledPixel> = drawn.clients.iter().flatten().chain(&drawn.test).copied().collect();
            prop_assert_eq!(drawn.clients.iter().map(Vec::len).sum::<usize>(), 4 * 200);
            all.sort_unstable();
            let expected: Vec<LabelledPixel> = (0u32..).zip(labels().labels).filter(|&(_, class)| class > 0)
                .map(|(index, class)| LabelledPixel { index, class }).collect();
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn alpha_skews_and_leaves_the_test_pixels_alone() {
        let classes = |alpha| {
            let drawn = Partition::draw(&plan(10, alpha, 0.0, 7), &labels());
            (drawn.test.clone(), (0..10).map(|client| drawn.classes_of(client).len()).sum::<usize>())
        };
        let (skewed, even) = (classes(0.05), classes(100.0));
        assert_eq!(skewed.0, even.0);
        assert_eq!(even.1, 40, "all have all classes");
        assert!(skewed.1 < 25, "{} classes", skewed.1);
    }

    #[test]
    fn sizes_differ_where_they_should() {
        let spread = |quantity| {
            let drawn = Partition::draw(&plan(10, 100.0, quantity, 3), &labels());
            let sizes: Vec<usize> = drawn.clients.iter().map(Vec::len).collect();
            *sizes.iter().max().unwrap() as f64 / (*sizes.iter().min().unwrap()).max(1) as f64
        };
        assert!(spread(0.0) < 2.0 && spread(1.5) > 4.0, "{} and {}", spread(0.0), spread(1.5));
    }
}
