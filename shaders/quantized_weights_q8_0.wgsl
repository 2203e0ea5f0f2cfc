// Weights as signed bytes, four a word, with an F16 scale for every 32 along k. Needs no feature of the adapter.

@group(0) @binding(1) var<storage, {{ input }}> quants: array<vec4<u32>>;
@group(0) @binding(2) var<storage, {{ input }}> scale_pairs: array<vec2<u32>>;

// The scales of a quad in a block of 32 along k.
fn scales(block: u32, quad: u32) -> vec4<f32> {
    let pairs = scale_pairs[block * QUADS + quad];
    return vec4<f32>(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
}

// Four signed bytes.
fn numbers(word: u32) -> vec4<f32> {
    return vec4<f32>((vec4<i32>(bitcast<i32>(word)) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}

// A quad of weights: a column for each output, four numbers along k.
fn weights(four: u32, quad: u32, scale: vec4<f32>) -> mat4x4<f32> {
    let words = quants[four * QUADS + quad];
    return mat4x4<f32>(
        numbers(words.x) * scale.x, numbers(words.y) * scale.y, numbers(words.z) * scale.z, numbers(words.w) * scale.w,
    );
}

// The same for one output.
fn weight(four: u32, output: u32) -> vec4<f32> {
    let quad = output / 4u;
    let lane = output % 4u;
    return numbers(quants[four * QUADS + quad][lane]) * scales(four / 8u, quad)[lane];
}
