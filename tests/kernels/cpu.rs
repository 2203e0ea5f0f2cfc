//! The reference and the SIMD arrangement.

use crate::official::deviation;
use crate::official::sampling::{Case, RESULTS, Results};
use crate::{case, device};
use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use sigmascope::kernels::{SamplingShape, cpu_backward, cpu_forward, reference, sparse_sampling_attention};

fn plain(case: &Case) -> Results {
    let Case { shape, q, k, v, offsets, grad_out, .. } = case;
    let out = reference::forward(shape, q, k, v, offsets);
    let grads = reference::backward(shape, q, k, v, offsets, grad_out);
    [out, grads.q, grads.k, grads.v, grads.offsets]
}

fn tuned(case: &Case) -> Results {
    let Case { shape, q, k, v, offsets, grad_out, .. } = case;
    let out = cpu_forward(shape, q, k, v, offsets);
    let grads = cpu_backward(shape, q, k, v, offsets, grad_out);
    [out, grads.q, grads.k, grads.v, grads.offsets]
}

#[test]
fn reference_meets_the_official_code() {
    for case in case::all() {
        case.check("the reference", &plain(&case));
    }
}

#[test]
fn flex_meets_the_official_code() {
    for case in case::all() {
        case.check("flex", &device::run(&case, &Device::flex()));
    }
}

#[test]
fn every_number_of_the_official_code_counts() {
    for case in case::all() {
        case.compare_refuses_wrong_numbers(&plain(&case)).unwrap();
    }
}

#[test]
fn queries_with_all_points_outside_give_exactly_zero() {
    let case = case::all().into_iter().find(|case| case.name == "outside").expect("the case");
    let out = &device::run(&case, &Device::flex())[0];
    let silent = |out: &[f32]| -> Vec<usize> {
        // Rows of one head of one token, [N, H, D].
        let rows = out.chunks(case.shape.head_dim).enumerate();
        rows.filter(|(_, row)| row.iter().all(|&x| x == 0.0)).map(|(at, _)| at).collect()
    };
    let official: Vec<f32> = case.expected[0].values.iter().map(|x| *x as f32).collect();
    let expected = silent(&official);
    // Head 0 of the first four tokens was made so; others are by chance.
    assert!([0, 2, 4, 6].iter().all(|row| expected.contains(row)), "{expected:?}");
    assert_eq!(silent(out), expected);
}

#[test]
fn transposed_inputs_are_read_in_their_own_order() {
    // q, k, v usually arrive as views of one projection: [B, N, H, D] with two axes swapped.
    let shape = SamplingShape { batch: 2, heads: 3, rows: 4, cols: 3, head_dim: 8, points: 4 };
    let case = Case::random(shape, 2.0, 11);
    let device = Device::flex();
    let swap = |data: &[f32]| {
        let data = burn::tensor::TensorData::new(data.to_vec(), shape.qkv());
        let copy = Tensor::<4>::from_data(data, &device).swap_dims(1, 2).mul_scalar(1.0);
        copy.swap_dims(1, 2) // the same numbers behind other strides
    };
    let offsets = burn::tensor::TensorData::new(case.offsets.clone(), shape.offsets());
    let out = sparse_sampling_attention(
        swap(&case.q),
        swap(&case.k),
        swap(&case.v),
        Tensor::from_data(offsets, &device),
        [shape.rows, shape.cols],
    );
    let deviation = deviation(&out.into_data().try_to_vec::<f32>().expect("float32"), &plain(&case)[0]).unwrap();
    assert!(deviation.rel_l2 < 1e-6, "{deviation:?}");
}

#[test]
#[should_panic(expected = "tokens on a grid of")]
fn a_grid_that_does_not_fit_the_tokens_is_refused() {
    let device = Device::flex();
    let qkv = || Tensor::<4>::zeros([1, 1, 6, 4], &device);
    sparse_sampling_attention(qkv(), qkv(), qkv(), Tensor::zeros([1, 1, 6, 2, 2], &device), [2, 4]);
}

#[test]
fn reference_gradients_meet_finite_differences_in_float64() {
    let shape = SamplingShape { batch: 2, heads: 2, rows: 3, cols: 4, head_dim: 5, points: 3 };
    let mut case = Case::random(shape, 2.3, 5);
    // The output has a kink at whole-numbered positions: keep a distance that the step below does not cross.
    for offset in &mut case.offsets {
        let fraction = *offset - offset.floor();
        *offset = offset.floor() + fraction.clamp(0.01, 0.99);
    }
    let wide = |data: &[f32]| data.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let inputs = [wide(&case.q), wide(&case.k), wide(&case.v), wide(&case.offsets)];
    let upstream = wide(&case.grad_out);
    let loss = |inputs: &[Vec<f64>; 4]| -> f64 {
        let [q, k, v, offsets] = inputs;
        reference::forward(&shape, q, k, v, offsets).iter().zip(&upstream).map(|(o, g)| o * g).sum()
    };
    let [q, k, v, offsets] = &inputs;
    let grads = reference::backward(&shape, q, k, v, offsets, &upstream);
    let step = 1e-5;
    for (which, gradient) in [&grads.q, &grads.k, &grads.v, &grads.offsets].into_iter().enumerate() {
        let mut largest = 0.0f64;
        for at in 0..gradient.len() {
            let mut moved = inputs.clone();
            moved[which][at] += step;
            let above = loss(&moved);
            moved[which][at] -= 2.0 * step;
            let difference = ((above - loss(&moved)) / (2.0 * step) - gradient[at]).abs();
            largest = largest.max(difference);
            assert!(difference < 1e-8, "input {which}, element {at}: {difference:e}");
        }
        println!("input {which}: largest difference from finite differences {largest:.1e}");
    }
}

fn shapes() -> impl Strategy<Value = SamplingShape> {
    // One-cell grids, single points and widths that are no multiple of any vector included.
    let head_dim = prop_oneof![3 => (1usize..12).prop_map(|quads| quads * 4), 1 => 1usize..42];
    (1usize..3, 1usize..4, 1usize..8, 1usize..8, head_dim, 1usize..10).prop_map(
        |(batch, heads, rows, cols, head_dim, points)| SamplingShape { batch, heads, rows, cols, head_dim, points },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn simd_arrangement_equals_the_reference(
        shape in shapes(),
        reach in prop_oneof![Just(0.0f32), 0.1f32..4.0, Just(1e4f32), Just(1e30f32)],
        seed in any::<u64>(),
    ) {
        let case = Case::random(shape, reach, seed);
        for ((name, fast), slow) in RESULTS.iter().zip(tuned(&case)).zip(plain(&case)) {
            let scale = slow.iter().fold(1.0f32, |m, x| m.max(x.abs()));
            // Numbers that are not finite are an error here.
            let largest = deviation(&fast, &slow).unwrap().max_abs;
            prop_assert!(largest <= 1e-5 * f64::from(scale), "{name}: {largest:e} of {scale}");
        }
    }
}
