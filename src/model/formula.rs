//! Weights and inputs by a formula, for checks and benchmarks: two programs that know it compute with the same numbers
//! without exchanging a file. The formula is that of the reference data (`reference/README.md`).

use super::parameters::{ParameterError, ParameterSource};

/// Parameters by the formula.
#[derive(Debug, Clone, Copy, Default)]
pub struct Formula;

impl ParameterSource for Formula {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        let (scale, offset) = scale(name, shape);
        let scale = scale as f32;
        Ok(unit(name, shape.iter().product()).map(|s| offset + scale * s).collect())
    }
}

/// The tensors called `input`: `[batch, channel, row, column]`, row-major.
pub fn input(len: usize) -> Vec<f32> {
    let scale = 3f64.sqrt() as f32;
    unit("input", len).map(|s| scale * s).collect()
}

/// The tensors called `labels`, below `count`.
pub fn labels(len: usize, count: u64) -> Vec<u64> {
    hashes("labels", len).map(|hash| (hash >> 40) % count).collect()
}

/// Scale of a parameter, and what is added.
fn scale(name: &str, shape: &[usize]) -> (f64, f32) {
    let fan: usize = shape.iter().skip(1).product();
    let even = (3.0 / fan as f64).sqrt();
    let mut parts = name.rsplit('.');
    let (last, module) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let norm = module.starts_with("norm") || module == "ln" || module == "decoder_norm";
    match last {
        _ if name.ends_with("pos_embed") => (0.5, 0.0),
        "weight" if norm => (0.1, 1.0),
        "bias" if module == "sampling_offsets" => (1.5, 0.0),
        "bias" => (0.1, 0.0),
        _ if module == "sampling_offsets" => (even * 1.5, 0.0),
        _ if name.starts_with("fc_spec") => (even * 5.0, 0.0),
        _ => (even, 0.0),
    }
}

/// Numbers in [-1, 1), exact in float32.
fn unit(name: &str, len: usize) -> impl Iterator<Item = f32> {
    hashes(name, len).map(|hash| 2.0 * ((hash >> 40) as f32 / (1u64 << 24) as f32) - 1.0)
}

/// One 64-bit number an element: SplitMix64 seeded by the name.
fn hashes(name: &str, len: usize) -> impl Iterator<Item = u64> {
    let base = fnv1a(name);
    (0..len as u64).map(move |i| {
        let z = base.wrapping_add(i).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

/// FNV-1a, 64 bits.
pub(super) fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the reference data.
    #[test]
    fn formula_gives_the_published_check_values() {
        assert_eq!(fnv1a("input"), 0x1ebb_ae8f_5810_b65b);
        assert_eq!(
            hashes("input", 4).collect::<Vec<_>>(),
            [0x190a_9f76_a9bd_8bf6, 0x25c1_2863_d0b8_abeb, 0x92f7_32ca_a1d8_e699, 0xda4c_5ec8_b35d_6537]
        );
        let expected: [f64; 4] = [-1.3931982517242432, -1.2211699485778809, 0.2566358745098114, 1.221884846687317];
        assert_eq!(input(4), expected.map(|value| value as f32));

        let name = "spat_encoder.blocks.0.attn.qkv.weight";
        let values = Formula.values(name, &[2304, 768]).unwrap();
        let expected: [f64; 3] = [0.02045726776123047, -0.02920886129140854, -0.02812150865793228];
        assert_eq!(values[..3], expected.map(|value| value as f32));
        let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
        assert!((sum - 4.092614069581032).abs() < 1e-9, "{sum}");

        let values = Formula.values("spat_encoder.blocks.0.norm1.weight", &[768]).unwrap();
        let expected: [f64; 3] = [0.9216887950897217, 1.0294610261917114, 1.083264708518982];
        assert_eq!(values[..3], expected.map(|value| value as f32));
    }
}
