//! The WGSL texts are valid and within WebGPU's default limits, whatever adapter this machine has.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use sigmascope::kernels::full_attention::{self, AttentionShape};
use sigmascope::kernels::layer_norm::shader_sources as layer_norm_sources;
use sigmascope::kernels::{SamplingShape, quantized, shader_sources};

#[test]
fn shaders_are_valid_wgsl_within_the_default_limits() {
    for head_dim in [64, 80, 5] {
        let shape = SamplingShape { batch: 2, heads: 12, rows: 18, cols: 16, head_dim, points: 8 };
        let sources = shader_sources(shape);
        assert_eq!(sources.len(), 10);
        for (name, text) in sources {
            check(&name, &text);
        }
    }
}

#[test]
fn quantized_shaders_are_valid_wgsl_within_the_default_limits() {
    for (rows, shape) in [(256, [3072, 768]), (7, [65, 32])] {
        let sources = quantized::shader_sources(rows, shape);
        assert_eq!(sources.len(), 20);
        for (name, text) in sources {
            check(&name, &text);
        }
    }
    for head_dim in [64, 80, 5] {
        let shape = AttentionShape { batch: 2, heads: 12, tokens: 256, head_dim };
        check("full attention", &full_attention::shader_source(shape));
    }
}

#[test]
fn layer_norm_shaders_are_valid_wgsl_within_the_default_limits() {
    for (rows, channels) in [(256, 768), (7, 13)] {
        let sources = layer_norm_sources(rows, channels);
        assert_eq!(sources.len(), 4);
        for (name, text) in sources {
            check(&name, &text);
        }
    }
}

fn check(name: &str, text: &str) {
    assert!(!text.contains("{{"), "{name} has a name that nobody filled in");
    let module =
        naga::front::wgsl::parse_str(text).unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
    // `unpack2x16float` is a part of WGSL that only OpenGL's older versions lack.
    Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
    let buffers =
        module.global_variables.iter().filter(|(_, v)| matches!(v.space, naga::AddressSpace::Storage { .. })).count();
    assert!(buffers <= 8, "{name} binds {buffers} storage buffers");
    let main = &module.entry_points[0];
    assert!(main.workgroup_size.iter().product::<u32>() <= 256, "{name}");
}
