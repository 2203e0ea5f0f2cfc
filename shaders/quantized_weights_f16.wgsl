// Weights as F16, two a word: a quad of four numbers along k is two loads. Needs no feature of the adapter.

@group(0) @binding(1) var<storage, {{ input }}> quants: array<vec4<u32>>;

// The scales of a quad in a block of 32 along k: none.
fn scales(block: u32, quad: u32) -> vec4<f32> {
    return vec4<f32>(1.0);
}

fn numbers(first: u32, second: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(first), unpack2x16float(second));
}

// A quad of weights: a column for each output, four numbers along k.
fn weights(four: u32, quad: u32, scale: vec4<f32>) -> mat4x4<f32> {
    let a = quants[four * 2u * QUADS + quad];
    let b = quants[(four * 2u + 1u) * QUADS + quad];
    return mat4x4<f32>(numbers(a.x, b.x), numbers(a.y, b.y), numbers(a.z, b.z), numbers(a.w, b.w));
}

// The same for one output.
fn weight(four: u32, output: u32) -> vec4<f32> {
    let quad = output / 4u;
    let lane = output % 4u;
    return numbers(quants[four * 2u * QUADS + quad][lane], quants[(four * 2u + 1u) * QUADS + quad][lane]);
}
