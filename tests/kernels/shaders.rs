//! The WGSL texts are valid and within WebGPU's default limits, whatever adapter this machine has.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use sigmascope::kernels::{SamplingShape, shader_sources};

#[test]
fn shaders_are_valid_wgsl_within_the_default_limits() {
    for head_dim in [64, 80, 5] {
        let shape = SamplingShape { batch: 2, heads: 12, rows: 18, cols: 16, head_dim, points: 8 };
        let sources = shader_sources(shape);
        assert_eq!(sources.len(), 10);
        for (name, text) in sources {
            assert!(!text.contains("{{"), "{name} has a name that nobody filled in");
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
            Validator::new(ValidationFlags::all(), Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
            let buffers = module
                .global_variables
                .iter()
                .filter(|(_, v)| matches!(v.space, naga::AddressSpace::Storage { .. }))
                .count();
            assert!(buffers <= 8, "{name} binds {buffers} storage buffers");
            let main = &module.entry_points[0];
            assert!(main.workgroup_size.iter().product::<u32>() <= 256, "{name}");
        }
    }
}
