//! Time of one forward pass on the CPU, as JSON lines: `cargo bench --profile dev --bench forward`.

use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData, read_sync};
use sigmascope::model::{Block, Builder, Config, Formula, HyperSigma, Pass, Task, Tokens, formula};

fn main() {
    // Without an argument everything runs; with one, only the cases whose name contains it.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let device = Device::flex();
    let base = Config::base(Task::Segmentation, [128, 128], 20, 9);
    let nano = Config::nano(Task::Segmentation, [128, 128], 20, 9);

    if "full_attention_block".contains(&wanted) {
        // Block 2 of Base: 256 tokens of 768.
        let tokens = Tokens { batch: 1, grid: base.grid() };
        let block = Block::new(&mut Builder::new(&mut Formula, &device), "block", &base, 2).expect("a block of Base");
        let shape = [tokens.count(), base.embed_dim];
        let x = Tensor::<2>::from_data(TensorData::new(formula::input(shape[0] * shape[1]), shape), &device);
        time("full_attention_block", base.block_flop(2, tokens.count()), 20, || {
            block.forward(x.clone(), tokens, &mut Pass::evaluation())
        });
    }
    for (name, config, times) in [("nano_forward", nano, 10), ("base_forward", base, 3)] {
        if !name.contains(&wanted) {
            continue;
        }
        let network = HyperSigma::new(&config, &mut Formula, &device).expect("a preset");
        let shape = [1, config.components, config.rows, config.cols];
        let x = Tensor::<4>::from_data(TensorData::new(formula::input(shape.iter().product()), shape), &device);
        time(name, config.forward_flop(), times, || network.forward(x.clone()));
    }
}

/// Runs once to warm up, then `times`, and prints the fastest and the median.
fn time<const D: usize>(name: &str, flop: f64, times: usize, run: impl Fn() -> Tensor<D>) {
    let once = || {
        let start = Instant::now();
        let data = read_sync(run().into_data_async()).expect("the CPU does not fail");
        (start.elapsed().as_secs_f64(), data)
    };
    let (first_s, data) = once();
    let sum: f64 = data.as_slice::<f32>().expect("float32").iter().map(|value| f64::from(*value)).sum();
    let mut seconds: Vec<f64> = (0..times).map(|_| once().0).collect();
    seconds.sort_by(f64::total_cmp);
    let line = serde_json::json!({
        "case": name,
        "device": "cpu",
        "first_s": first_s,
        "best_s": seconds[0],
        "median_s": seconds[times / 2],
        "gflop": flop / 1e9,
        "gflop_per_s": flop / 1e9 / seconds[times / 2],
        "output_sum": sum,
    });
    println!("{line}");
}
