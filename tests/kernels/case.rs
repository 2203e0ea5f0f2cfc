//! The reference cases of `ssa_op`, and random inputs.

use burn::tensor::read_sync;
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sigmascope::kernels::SamplingShape;

use crate::official::sampling::{Case, LARGE, Results, SMALL};
use crate::official::{Folder, fixtures, shared};

pub fn all() -> Vec<Case> {
    let read = |files: &Folder, name| read_sync(Case::read(files, name)).unwrap();
    let mut cases: Vec<Case> = SMALL.iter().map(|name| read(&fixtures(), name)).collect();
    cases.extend(shared(&format!("ssa_op/{LARGE}")).map(|folder| read(&Folder(folder), LARGE)));
    cases
}

impl Case {
    /// Random inputs of size 1 and offsets of up to `reach` cells; nothing is expected.
    pub fn random(shape: SamplingShape, reach: f32, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw =
            |len: usize, scale: f32| -> Vec<f32> { (0..len).map(|_| rng.random_range(-1.0f32..1.0) * scale).collect() };
        let qkv = shape.qkv().iter().product();
        Case {
            name: format!("random {shape:?}, reach {reach}, seed {seed}"),
            shape,
            q: draw(qkv, 1.0),
            k: draw(qkv, 1.0),
            v: draw(qkv, 1.0),
            grad_out: draw(qkv, 1.0),
            offsets: draw(shape.offsets().iter().product(), reach),
            expected: Vec::new(),
        }
    }

    /// Panics unless every tensor of the official code is met within its limits.
    pub fn check(&self, how: &str, results: &Results) {
        println!("{}", self.compare(how, results).unwrap());
    }
}
