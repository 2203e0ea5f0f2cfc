//! Layer norm beside the operation composed of burn's, alone and with the addition before it.

use burn::tensor::{Tensor, module};
use sigmascope::kernels::layer_norm;

use super::{Bench, Work};

/// Tokens and channels.
const CASES: [(&str, [usize; 2]); 3] =
    [("base_norm", [256, 768]), ("huge_norm", [256, 1280]), ("nano_norm", [4096, 64])];

const RUNS: usize = 15;
const EPSILON: f64 = 1e-6;

pub fn run(bench: &Bench) {
    for (case, shape) in CASES {
        if !bench.wants(case, "layer norm") {
            continue;
        }
        let (x, mixed) = (bench.draw(shape, 1), bench.draw(shape, 2));
        let (gamma, beta) = (bench.draw([shape[1]], 3), bench.draw([shape[1]], 4));
        // On the tape where x is.
        let on = |vector: &Tensor<1>, x: &Tensor<2>| match x.device().is_autodiff() {
            true => Tensor::from_inner(vector.clone()),
            false => vector.clone(),
        };
        let burn = |x: Tensor<2>| module::layer_norm(x.clone(), on(&gamma, &x), Some(on(&beta, &x)), EPSILON);
        let ours = |x: Tensor<2>| layer_norm(x.clone(), on(&gamma, &x), on(&beta, &x), EPSILON);
        let count = shape[0] * shape[1];
        let work = |how, bytes, flop: usize| Work {
            implementation: format!("layer norm{how}"),
            flop: (flop * count) as f64,
            bytes: bytes * count,
        };
        bench.compare(case, work("", 8, 8), RUNS, || ours(x.clone()), || burn(x.clone()));
        let gradient = |norm: &dyn Fn(Tensor<2>) -> Tensor<2>| {
            let leaf = Tensor::from_inner(x.clone()).require_grad();
            let grads = (norm(leaf.clone()) * Tensor::from_inner(mixed.clone())).sum().backward();
            leaf.grad(&grads).expect("a gradient")
        };
        bench.compare(case, work(" with gradients", 24, 30), RUNS, || gradient(&ours), || gradient(&burn));
        // What a fused addition could save at most: the addition's own time.
        let with_addition = || ours(x.clone() + mixed.clone());
        bench.compare(case, work(" after an addition", 16, 9), RUNS, with_addition, || ours(x.clone()));
    }
}
