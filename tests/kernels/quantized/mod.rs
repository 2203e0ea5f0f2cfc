//! Frozen linear layers against float64 on the dequantized weights.

mod case;

use crate::device;
use burn::tensor::{Device, Tensor, TensorData, read_sync};
use case::{Case, QUANTIZED, SHAPES};
use proptest::prelude::*;
use sigmascope::kernels::gelu;
use sigmascope::kernels::quantized::{
    Activation, CpuMethod, GpuTile, MatrixError, QuantizedMatrix, Tuning, WeightKind, faster, measure, quantized_linear,
};

/// The case, awaited; what differs fails the test.
struct Checked(Case);

impl Checked {
    fn new(kind: WeightKind, rows: usize, shape: [usize; 2], seed: u64) -> Self {
        Self(Case::new(kind, rows, shape, seed))
    }

    fn run(&self, device: &Device, tuning: Tuning, bias: bool) -> Vec<Vec<f32>> {
        read_sync(self.0.run(device, tuning, bias)).unwrap()
    }

    fn infer(&self, device: &Device, tuning: Tuning, bias: bool, activation: Activation) -> Vec<f32> {
        read_sync(self.0.infer(device, tuning, bias, activation)).unwrap()
    }

    fn check_forward(&self, how: &str, tuning: Tuning, y: &[f32], bias: bool, activation: Activation) -> f64 {
        self.0.check_forward(how, tuning, y, bias, activation).unwrap()
    }

    fn check_gradient(&self, how: &str, gradient: &[f32]) -> f64 {
        self.0.check_gradient(how, gradient).unwrap()
    }

    fn check_bias(&self, gradient: &[f32]) {
        self.0.check_bias(gradient).unwrap();
    }
}

impl std::ops::Deref for Checked {
    type Target = Case;

    fn deref(&self) -> &Case {
        &self.0
    }
}

fn floats(data: TensorData) -> Vec<f32> {
    data.try_to_vec::<f32>().expect("float32")
}

fn cpu(method: CpuMethod) -> Tuning {
    Tuning { cpu: method, gpu: GpuTile::Registers, binding_limit: None }
}

fn gpu(tile: GpuTile, binding_limit: Option<usize>) -> Tuning {
    Tuning { cpu: CpuMethod::Slices, gpu: tile, binding_limit }
}

const METHODS: [CpuMethod; 3] = [CpuMethod::Integer, CpuMethod::Float, CpuMethod::Slices];
const TILES: [GpuTile; 2] = [GpuTile::Registers, GpuTile::Workgroup];

#[test]
fn flex_meets_float64_at_every_shape_of_the_models() {
    for (at, shape) in SHAPES.into_iter().enumerate() {
        for kind in QUANTIZED {
            let case = Checked::new(kind, [64, 7, 1, 33][at % 4], shape, at as u64);
            for method in METHODS {
                let tuning = cpu(method);
                let [y, gradient] = case.run(&Device::flex(), tuning, false).try_into().expect("two results");
                let how = format!("{method:?}");
                let forward = case.check_forward(&how, tuning, &y, false, Activation::None);
                let backward = case.check_gradient(&how, &gradient);
                println!("{how}, {kind:?} {shape:?}: {forward:.2} and {backward:.2} of the allowed error");
            }
        }
    }
}

#[test]
fn flex_meets_float64_with_many_rows() {
    for (rows, shape) in [(1024, [192, 64]), (1024, [768, 768]), (256, [3072, 768]), (256, [1024, 4096])] {
        for kind in WeightKind::ALL {
            let case = Checked::new(kind, rows, shape, 3);
            for method in METHODS {
                let tuning = cpu(method);
                let y = case.infer(&Device::flex(), tuning, true, Activation::None);
                case.check_forward(&format!("{method:?}"), tuning, &y, true, Activation::None);
            }
        }
    }
}

#[test]
fn bias_and_gelu_are_part_of_the_kernels() {
    for kind in WeightKind::ALL {
        let case = Checked::new(kind, 7, [90, 160], 5);
        for (bias, activation) in
            [(false, Activation::None), (true, Activation::None), (false, Activation::Gelu), (true, Activation::Gelu)]
        {
            let mut runs: Vec<(String, Device, Tuning)> =
                METHODS.map(|method| (format!("{method:?}"), Device::flex(), cpu(method))).to_vec();
            if let Some(vulkan) = device::vulkan() {
                runs.extend(TILES.map(|tile| (format!("{tile:?}"), vulkan.clone(), gpu(tile, None))));
            }
            for (how, device, tuning) in runs {
                let y = case.infer(&device, tuning, bias, activation);
                case.check_forward(&format!("{how}, bias {bias}, {activation:?}"), tuning, &y, bias, activation);
            }
        }
    }
}

#[test]
fn vulkan_meets_float64_at_every_shape_of_the_models() {
    let Some(vulkan) = device::vulkan() else { return };
    for (at, shape) in SHAPES.into_iter().enumerate() {
        let kind = QUANTIZED[at % 2];
        // Large matrices with few rows: lavapipe computes a few GFLOP a second.
        let case = Checked::new(kind, if shape[0] * shape[1] > 2_000_000 { 7 } else { 66 }, shape, at as u64);
        for tile in TILES {
            let tuning = gpu(tile, None);
            let [y, gradient] = case.run(&vulkan, tuning, false).try_into().expect("two results");
            let how = format!("{tile:?}");
            let forward = case.check_forward(&how, tuning, &y, false, Activation::None);
            let backward = case.check_gradient(&how, &gradient);
            println!("{how}, {kind:?} {shape:?}: {forward:.2} and {backward:.2} of the allowed error");
        }
    }
}

#[test]
fn vulkan_meets_float64_at_odd_sizes_and_in_parts() {
    let Some(vulkan) = device::vulkan() else { return };
    let sizes = [
        (1, [1, 32], None),
        (5, [3, 64], None),
        (65, [67, 96], Some(16)),
        (130, [129, 32], Some(40)),
        (9, [64, 320], Some(24)),
    ];
    for (seed, (rows, shape, outputs)) in sizes.into_iter().enumerate() {
        for kind in WeightKind::ALL {
            let case = Checked::new(kind, rows, shape, seed as u64);
            // As if the adapter could bind no more than the words of so many outputs.
            let scale = if QUANTIZED.contains(&kind) { 2 } else { 0 };
            let limit = outputs.map(|outputs| outputs * (shape[1] / 32) * (kind.block_bytes() - scale) + 3);
            let parts = case.matrix(&vulkan, gpu(GpuTile::Registers, limit)).parts();
            assert_eq!(parts, shape[0].div_ceil(outputs.unwrap_or(shape[0])), "{kind:?} {shape:?}");
            for tile in TILES {
                let tuning = gpu(tile, limit);
                let [y, gradient, bias] = case.run(&vulkan, tuning, true).try_into().expect("three results");
                case.check_forward(&format!("{tile:?}, {limit:?}"), tuning, &y, true, Activation::None);
                case.check_gradient(&format!("{tile:?}, {limit:?}"), &gradient);
                case.check_bias(&bias);
            }
        }
    }
}

/// The tape's GELU and its derivative, against a dense layer of the same weights.
#[test]
fn gradients_pass_through_the_activation() {
    for device in [Some(Device::flex()), device::vulkan()].into_iter().flatten() {
        let case = Checked::new(WeightKind::Q8_0, 9, [48, 64], 6);
        let matrix = QuantizedMatrix::new(case.kind, [48, 64], &case.bytes, &device).expect("a matrix");
        let device = device.autodiff();
        let weights = Tensor::<2>::from_data(TensorData::new(case.weights.clone(), [48, 64]), &device).transpose();
        let bias = Tensor::<1>::from_floats(case.bias.as_slice(), &device);
        let x = || case.x(&device).mul_scalar(0.1).detach().require_grad();
        let (ours, dense) = (x(), x());
        let y = quantized_linear(ours.clone(), &matrix, Some(bias.clone()), Activation::Gelu);
        let expected = gelu(dense.clone().matmul(weights) + bias.unsqueeze());
        let gradient = ours.grad(&(y.clone() * y).sum().backward()).expect("a gradient");
        let expected = dense.grad(&(expected.clone() * expected).sum().backward()).expect("a gradient");
        let largest = floats(expected.clone().abs().max().into_data())[0];
        let off = floats((gradient - expected).abs().max().into_data())[0];
        assert!(off <= 1e-4 * largest, "{off} of {largest}");
    }
}

/// What rounding x to 16 bits costs, beside what Q8_0 costs itself (about 5e-3).
#[test]
fn sixteen_bits_of_x_cost_little() {
    for kind in QUANTIZED {
        let case = Checked::new(kind, 60, [768, 768], 11);
        let run = |method| case.infer(&Device::flex(), cpu(method), false, Activation::None);
        // Rows of three sizes: each by itself.
        let (rounded, plain) = (run(CpuMethod::Integer), run(CpuMethod::Float));
        for (rounded, plain) in rounded.chunks(768).zip(plain.chunks(768)) {
            let relative = crate::official::deviation(rounded, plain).unwrap().rel_l2;
            assert!(relative < 3e-5, "{kind:?}: {relative:e}");
        }
        println!(
            "{kind:?}, x as 16-bit integers: relative L2 {:.1e}",
            crate::official::deviation(&rounded, &plain).unwrap().rel_l2
        );
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    let mut case = Checked::new(WeightKind::Q4_0, 6, [16, 64], 7);
    case.0.x[64 + 3] = f32::NAN;
    case.0.x[2 * 64 + 3] = f32::INFINITY;
    for method in METHODS {
        let y = case.infer(&Device::flex(), cpu(method), false, Activation::None);
        assert!(y[16..48].iter().all(|y| !y.is_finite()), "{method:?}");
        assert!(y[..16].iter().chain(&y[48..]).all(|y| y.is_finite()), "{method:?}");
    }
}

#[test]
fn rows_that_share_a_layout_with_nobody_are_read_in_their_own_order() {
    let case = Checked::new(WeightKind::Q8_0, 5, [12, 32], 8);
    for (device, tuning) in [
        (Some(Device::flex()), cpu(CpuMethod::Slices)),
        (Some(Device::flex()), cpu(CpuMethod::Integer)),
        (device::vulkan(), gpu(GpuTile::Registers, None)),
    ] {
        let Some(device) = device else { continue };
        let turned = case.x(&device).transpose().mul_scalar(1.0).transpose(); // the same numbers behind other strides
        let y = quantized_linear(turned, &case.matrix(&device, tuning), None, Activation::None);
        case.check_forward("turned", tuning, &floats(y.into_data()), false, Activation::None);
    }
}

#[test]
fn no_rows_give_no_rows() {
    let case = Checked::new(WeightKind::Q8_0, 1, [12, 32], 8);
    let device = Device::flex();
    let y = quantized_linear(
        Tensor::zeros([0, 32], &device),
        &case.matrix(&device, cpu(CpuMethod::Slices)),
        None,
        Activation::Gelu,
    );
    assert_eq!(y.dims(), [0, 12]);
}

#[test]
fn bytes_that_are_no_matrix_are_refused() {
    let device = Device::flex();
    let build = |shape, bytes: &[u8]| QuantizedMatrix::new(WeightKind::Q8_0, shape, bytes, &device).map(|_| ());
    assert_eq!(build([1, 33], &[0; 34]), Err(MatrixError::Inputs { inputs: 33 }));
    assert_eq!(build([0, 32], &[]), Err(MatrixError::Size { outputs: 0, inputs: 32 }));
    assert!(matches!(build([usize::MAX, 64], &[0; 34]), Err(MatrixError::Size { .. })));
    assert!(matches!(build([2, 32], &[0; 67]), Err(MatrixError::Bytes { expected: 68, found: 67, .. })));
    assert_eq!(build([2, 32], &[0; 68]), Ok(()));
}

#[test]
fn a_matrix_takes_the_memory_of_its_file() {
    for device in [Some(Device::flex()), device::vulkan()].into_iter().flatten() {
        for (kind, bits) in
            [(WeightKind::F32, 32.0), (WeightKind::F16, 16.0), (WeightKind::Q8_0, 9.0), (WeightKind::Q4_0, 5.0)]
        {
            let case = Checked::new(kind, 1, [256, 64], 9);
            let matrix = QuantizedMatrix::new(kind, [256, 64], &case.bytes, &device).expect("a matrix");
            assert!(matrix.bytes() as f64 * 8.0 <= bits * 256.0 * 64.0, "{kind:?}: {} bytes", matrix.bytes());
        }
    }
}

/// Timing chooses between tiles where it may choose; a software adapter keeps the rule that was measured on one.
#[test]
fn tiles_are_chosen_for_the_adapter() {
    let Some(vulkan) = device::vulkan() else { return };
    let start = std::time::Instant::now();
    let now_s = || start.elapsed().as_secs_f64();
    let measured = read_sync(measure(&vulkan, now_s)).unwrap();
    let case = Checked::new(WeightKind::Q8_0, 3, [64, 64], 1);
    let matrix = QuantizedMatrix::new(case.kind, [64, 64], &case.bytes, &vulkan).unwrap();
    let tiles = [GpuTile::Registers, GpuTile::Workgroup];
    match measured {
        Some(tile) => assert_eq!(matrix.tuning().gpu, tile, "what was measured is remembered"),
        None => {
            assert_eq!(matrix.tuning().gpu, GpuTile::Registers);
            // Which one the stopwatch names depends on what else runs; that it names one does not.
            assert!(tiles.contains(&read_sync(faster(&vulkan, now_s)).unwrap()));
        }
    }
    assert_eq!(read_sync(measure(&Device::flex(), now_s)).unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_method_meets_float64_at_any_size(
        rows in 1usize..40,
        outputs in 1usize..90,
        blocks in 1usize..8,
        kind in 0usize..4,
        bias in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let case = Checked::new(WeightKind::ALL[kind], rows, [outputs, blocks * 32], seed);
        for method in METHODS {
            let tuning = cpu(method);
            let results = case.run(&Device::flex(), tuning, bias);
            case.check_forward(&format!("{method:?}"), tuning, &results[0], bias, Activation::None);
            case.check_gradient(&format!("{method:?}"), &results[1]);
            if bias {
                case.check_bias(&results[2]);
            }
        }
    }
}
