//! Single operations.

use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor, TensorData};
use sigmascope::kernels::gelu;
use sigmascope::model::{Upsample, adaptive_average, resize_position_table};

use crate::official::shared;
use crate::reference::{deviation, read, values, vulkan};

/// Single operations agree to float32 rounding.
fn close(name: &str, ours: &[f32], theirs: &[f64]) {
    let deviation = deviation(ours, theirs);
    assert!(deviation.max_abs < 2e-6 && deviation.rel_l2 < 5e-7, "{name}: {deviation:?}");
}

fn devices(what: &str) -> Vec<Device> {
    [Some(Device::flex()), vulkan(what)].into_iter().flatten().collect()
}

/// "in_20_to_100" → (20, 100); "out_3x5_to_7x9" → ("3x5", "7x9").
fn sides(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("in_").or(name.strip_prefix("out_"))?.split_once("_to_")
}

fn grid(text: &str) -> [usize; 2] {
    let (rows, cols) = text.split_once('x').unwrap();
    [rows.parse().unwrap(), cols.parse().unwrap()]
}

#[test]
fn adaptive_pooling() {
    let Some(shared) = shared("adaptive pooling") else { return };
    let cases = read(&shared.join("ops/adaptive_avg_pool1d.safetensors"));
    let mut seen = 0;
    for (name, input) in cases.iter().filter(|(name, _)| name.starts_with("in_")) {
        let (from, to) = sides(name).map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap())).unwrap();
        for device in devices("adaptive pooling") {
            let weights = TensorData::new(adaptive_average(from, to), [to, from]);
            let weights = Tensor::<2>::from_data(weights, &device).unsqueeze::<3>();
            let x = input.tensor::<3>(&device).swap_dims(1, 2); // [1, C, 3]
            let out = weights.matmul(x).swap_dims(1, 2); // [1, 3, T]
            close(name, &values(out), &cases[&name.replace("in_", "out_")].values);
        }
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn pixel_operations() {
    let Some(shared) = shared("pixel operations") else { return };
    let cases = read(&shared.join("ops/pixel_ops.safetensors"));
    for device in devices("pixel operations") {
        let mut seen = 0;
        for (name, output) in cases.iter().filter(|(name, _)| name.starts_with("out_")) {
            let (from, to) = sides(name).unwrap();
            let input = cases[&format!("in_{from}")].tensor::<4>(&device);
            let out = Upsample::new(grid(from), grid(to), &device).forward(input);
            close(name, &values(out), &output.values);
            seen += 1;
        }
        assert_eq!(seen, 6);

        for kernel in [1, 2, 4] {
            let name = format!("maxpool_k{kernel}");
            let out = max_pool2d(cases["maxpool_in"].tensor(&device), MaxPoolOptions::new([kernel, kernel]));
            close(&name, &values(out), &cases[&name].values);
        }
        let out = gelu(cases["gelu_in"].tensor::<1>(&device));
        close("gelu", &values(out), &cases["gelu_out"].values);
    }
}

#[test]
fn position_table_resize() {
    let Some(shared) = shared("position tables") else { return };
    let cases = read(&shared.join("ops/pos_embed_resize.safetensors"));
    let table = cases["spat_8x8"].floats();
    for to in ["16x16", "18x18", "4x4"] {
        let name = format!("spat_8x8_to_{to}");
        close(&name, &resize_position_table(&table, 16, [8, 8], grid(to)), &cases[&name].values);
    }
    let table = cases["spec_100"].floats();
    let name = "spec_100_drop_first_99_to_100";
    close(name, &resize_position_table(&table[16..], 16, [1, 99], [1, 100]), &cases[name].values);
}
