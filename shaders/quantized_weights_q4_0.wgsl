// Weights as half bytes less 8, eight a word, with an F16 scale for every 32 along k. Byte i of a word holds numbers i and
// i + 4: an even four along k is the low halves, an odd one the high halves. Needs no feature of the adapter.

@group(0) @binding(1) var<storage, {{ input }}> quants: array<vec4<u32>>;
@group(0) @binding(2) var<storage, {{ input }}> scale_pairs: array<vec2<u32>>;

// The scales of a quad in a block of 32 along k.
fn scales(block: u32, quad: u32) -> vec4<f32> {
    let pairs = scale_pairs[block * QUADS + quad];
    return vec4<f32>(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
}

// Four half bytes, those from bit `shift` of each byte.
fn numbers(word: u32, shift: u32) -> vec4<f32> {
    return vec4<f32>((vec4<u32>(word) >> (vec4<u32>(0u, 8u, 16u, 24u) + shift)) & vec4<u32>(15u)) - 8.0;
}

// A quad of weights: a column for each output, four numbers along k.
fn weights(four: u32, quad: u32, scale: vec4<f32>) -> mat4x4<f32> {
    let words = quants[four / 2u * QUADS + quad];
    let shift = four % 2u * 4u;
    return mat4x4<f32>(
        numbers(words.x, shift) * scale.x, numbers(words.y, shift) * scale.y,
        numbers(words.z, shift) * scale.z, numbers(words.w, shift) * scale.w,
    );
}

// The same for one output.
fn weight(four: u32, output: u32) -> vec4<f32> {
    let quad = output / 4u;
    let lane = output % 4u;
    return numbers(quants[four / 2u * QUADS + quad][lane], four % 2u * 4u) * scales(four / 8u, quad)[lane];
}
