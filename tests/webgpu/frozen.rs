//! Frozen linear layers and full attention on a device of the browser, against float64: the cases of `tests/kernels`.

use burn::tensor::Device;
use sigmascope::kernels::full_attention::full_attention;
use sigmascope::kernels::quantized::{Activation, CpuMethod, GpuTile, Tuning, WeightKind};

use crate::attention_case;
use crate::linear_case::{Case, QUANTIZED, SHAPES};
use crate::official::{Mismatch, values};

const REGISTERS: Tuning = Tuning { cpu: CpuMethod::Slices, gpu: GpuTile::Registers, binding_limit: None };

/// Everything that is multiplied one way.
struct Way {
    name: &'static str,
    tuning: Tuning,
}

/// Layers of the models, both passes; few rows, as the adapter may be a processor. Shapes `from` to `to` of the list.
pub async fn layers(device: &Device, cpu: bool, from: usize, to: usize) -> Result<Vec<String>, Mismatch> {
    let mut report = Vec::new();
    for (at, &shape) in SHAPES.iter().enumerate().take(to).skip(from) {
        for kind in QUANTIZED {
            let rows = if shape[0] * shape[1] > 1_000_000 { 3 } else { 9 };
            report.push(layer(device, cpu, &Case::new(kind, rows, shape, at as u64), REGISTERS).await?);
        }
    }
    Ok(report)
}

/// Odd numbers of rows and outputs, parts, bias and activation, in all kinds and both tiles.
pub async fn awkward(device: &Device, cpu: bool) -> Result<Vec<String>, Mismatch> {
    let mut report = Vec::new();
    for (seed, (rows, shape, limit)) in
        [(1, [1, 32], None), (65, [67, 96], Some(6000)), (6, [129, 160], Some(30_000))].into_iter().enumerate()
    {
        for kind in WeightKind::ALL {
            let case = Case::new(kind, rows, shape, seed as u64);
            for gpu in [GpuTile::Registers, GpuTile::Workgroup] {
                let tuning = Tuning { gpu, binding_limit: limit, ..REGISTERS };
                report.push(layer(device, cpu, &case, tuning).await?);
            }
        }
    }
    Ok(report)
}

/// A line for each way of multiplying, or what differs.
async fn layer(device: &Device, cpu: bool, case: &Case, tuning: Tuning) -> Result<String, Mismatch> {
    let ways = match cpu {
        false => vec![Way { name: if tuning.gpu == GpuTile::Registers { "registers" } else { "workgroup" }, tuning }],
        true => [("integers", CpuMethod::Integer), ("floats", CpuMethod::Float), ("slices", CpuMethod::Slices)]
            .map(|(name, cpu)| Way { name, tuning: Tuning { cpu, ..tuning } })
            .into(),
    };
    let mut line = format!("{:?} {} x {}, {} rows:", case.kind, case.outputs, case.inputs, case.rows);
    for Way { name, tuning } in ways {
        let results = case.run(device, tuning, true).await?;
        let [y, gradient, bias] = results.as_slice() else { return Err(Mismatch("a result is missing".to_owned())) };
        let forward = case.check_forward(name, tuning, y, true, Activation::None)?;
        let backward = case.check_gradient(name, gradient)?;
        case.check_bias(bias)?;
        let fused = case.infer(device, tuning, true, Activation::Gelu).await?;
        let fused = case.check_forward(name, tuning, &fused, true, Activation::Gelu)?;
        line += &format!(" {name} {forward:.2} {backward:.2} {fused:.2}");
    }
    Ok(line + " of the allowed error")
}

/// The check must be able to fail: a weight too much by one step is found.
pub async fn refuses_wrong_weights(device: &Device) -> Result<(), Mismatch> {
    let mut case = Case::new(WeightKind::Q8_0, 5, [64, 64], 3);
    case.bytes[2] = case.bytes[2].wrapping_add(1);
    let y = case.infer(device, REGISTERS, true, Activation::None).await?;
    match case.check_forward("wrong on purpose", REGISTERS, &y, true, Activation::None) {
        Err(_) => Ok(()),
        Ok(worst) => Err(Mismatch(format!("a wrong weight passes with {worst} of the allowed error"))),
    }
}

/// Full attention at the models' widths and odd ones.
pub async fn attention(device: &Device, name: &str) -> Result<Vec<String>, Mismatch> {
    let mut report = Vec::new();
    for (seed, shape) in attention_case::SHAPES.into_iter().enumerate() {
        let inputs = attention_case::inputs(shape, 4.0, seed as u64);
        let [q, k, v] = attention_case::tensors(shape, &inputs, device);
        let out = values(full_attention(q, k, v)).await?;
        report.push(attention_case::compare(name, shape, 4.0, &inputs, &out)?);
    }
    Ok(report)
}
