//! Full attention beside the operation composed of burn's, from the projection's `[B * N, 3 D]` to its `[B * N, D]`, as the
//! model does it, and its gradient.

use burn::tensor::{Tensor, activation::softmax};
use sigmascope::kernels::full_attention::{AttentionShape, cpu_forward, full_attention};

use super::{Bench, Work};

/// B, H, N, D: 256 tokens of Base, 100 of its spectral encoder, 256 of Huge, a batch of Base in training, a narrow one.
const CASES: [(&str, AttentionShape); 5] = [
    ("base_attention", AttentionShape { batch: 1, heads: 12, tokens: 256, head_dim: 64 }),
    ("base_spectral_attention", AttentionShape { batch: 1, heads: 12, tokens: 100, head_dim: 64 }),
    ("huge_attention", AttentionShape { batch: 1, heads: 16, tokens: 256, head_dim: 80 }),
    ("base_batch_attention", AttentionShape { batch: 4, heads: 12, tokens: 256, head_dim: 64 }),
    ("nano_attention", AttentionShape { batch: 1, heads: 4, tokens: 1024, head_dim: 16 }),
];

const RUNS: usize = 9;

pub fn run(bench: &Bench) {
    for (case, shape) in CASES {
        if bench.wants(case, "full attention") {
            attention(bench, case, shape);
        }
    }
}

fn attention(bench: &Bench, case: &str, shape: AttentionShape) {
    let AttentionShape { batch, heads, tokens, head_dim } = shape;
    let qkv = bench.draw([batch * tokens, 3 * heads * head_dim], 1);
    let upstream = bench.draw([batch * tokens, heads * head_dim], 2);
    let flop = 4.0 * (batch * heads * tokens * tokens * head_dim) as f64;
    let bytes = 16 * batch * heads * tokens * head_dim;
    let work = |how, times| Work { implementation: format!("full attention{how}"), flop: times * flop, bytes };

    bench.compare(case, work("", 1.0), RUNS, || fused(qkv.clone(), shape), || composed(qkv.clone(), shape));
    // With gradients the composed operation is what the tape makes of it: 3.5 times the products.
    let gradient = |attend: fn(Tensor<2>, AttentionShape) -> Tensor<2>| {
        let leaf = Tensor::from_inner(qkv.clone()).require_grad();
        let grads = (attend(leaf.clone(), shape) * Tensor::from_inner(upstream.clone())).sum().backward();
        leaf.grad(&grads).expect("a gradient")
    };
    bench.compare(case, work(" with gradients", 3.5), RUNS, || gradient(fused), || gradient(composed));
    if bench.is_cpu() {
        let [q, k, v] = split(qkv.clone(), shape).map(|x| x.into_data().try_to_vec::<f32>().expect("float32"));
        let parts = split(qkv.clone(), shape).map(|x| x.mul_scalar(1.0));
        let burn = || {
            let [q, k, v] = parts.clone();
            attend(q, k, v, shape)
        };
        bench.compare(case, work(" SIMD", 1.0), RUNS, || cpu_forward(&shape, &q, &k, &v), burn);
    }
}

fn fused(qkv: Tensor<2>, shape: AttentionShape) -> Tensor<2> {
    let [q, k, v] = split(qkv, shape);
    full_attention(q, k, v).reshape([shape.batch * shape.tokens, shape.heads * shape.head_dim])
}

fn composed(qkv: Tensor<2>, shape: AttentionShape) -> Tensor<2> {
    let [q, k, v] = split(qkv, shape);
    attend(q, k, v, shape)
}

fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, shape: AttentionShape) -> Tensor<2> {
    let q = q.mul_scalar(shape.scale());
    let mixed = softmax(q.matmul(k.swap_dims(2, 3)), 3).matmul(v); // [B, H, N, D]
    mixed.swap_dims(1, 2).reshape([shape.batch * shape.tokens, shape.heads * shape.head_dim])
}

/// `[B * N, 3 H D]` → q, k, v `[B, H, N, D]`.
fn split(qkv: Tensor<2>, shape: AttentionShape) -> [Tensor<4>; 3] {
    let AttentionShape { batch, heads, tokens, head_dim } = shape;
    let width = heads * head_dim;
    [0, 1, 2].map(|part| {
        qkv.clone().narrow(1, part * width, width).reshape([batch, tokens, heads, head_dim]).swap_dims(1, 2)
    })
}
