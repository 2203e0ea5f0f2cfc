// What both passes of layer norm begin with.
//
// Names in double braces are filled in when the pipeline is built. A row of C channels is shared by ACROSS invocations:
// by a whole workgroup on a GPU, where they read neighbouring channels; by one where barriers are dear, as on software
// adapters.

const ROWS: u32 = {{ rows }}u;
const CHANNELS: u32 = {{ channels }}u;   // C
const EPSILON: f32 = {{ epsilon }};
const ACROSS: u32 = {{ across }}u;
const SHARE: f32 = 1.0 / f32(CHANNELS);

@group(0) @binding(0) var<storage, {{ input }}> x: array<f32>;
@group(0) @binding(1) var<storage, {{ input }}> gamma: array<f32>;

{{ total }}

// Mean of a row, and what its numbers less the mean are multiplied with.
struct Scale {
    mean: f32,
    r: f32,
}

fn scale(start: u32, lane: u32) -> Scale {
    var sum = 0.0;
    for (var c = lane; c < CHANNELS; c += ACROSS) {
        sum += x[start + c];
    }
    let mean = SHARE * total(sum, lane);
    var squares = 0.0;
    for (var c = lane; c < CHANNELS; c += ACROSS) {
        let centred = x[start + c] - mean;
        squares += centred * centred;
    }
    return Scale(mean, inverseSqrt(SHARE * total(squares, lane) + EPSILON));
}
