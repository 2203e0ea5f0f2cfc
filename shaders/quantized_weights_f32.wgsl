// Weights as F32: the four loads of a quad, one of four numbers along k for each output, lie together.

@group(0) @binding(1) var<storage, {{ input }}> quants: array<vec4<f32>>;

// The scales of a quad in a block of 32 along k: none.
fn scales(block: u32, quad: u32) -> vec4<f32> {
    return vec4<f32>(1.0);
}

// A quad of weights: a column for each output, four numbers along k.
fn weights(four: u32, quad: u32, scale: vec4<f32>) -> mat4x4<f32> {
    let at = (four * QUADS + quad) * 4u;
    return mat4x4<f32>(quants[at], quants[at + 1u], quants[at + 2u], quants[at + 3u]);
}

// The same for one output.
fn weight(four: u32, output: u32) -> vec4<f32> {
    return quants[(four * QUADS + output / 4u) * 4u + output % 4u];
}
