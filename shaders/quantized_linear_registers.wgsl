// Frozen linear layer, forward, without barriers: an invocation computes four rows of a quad of outputs in registers.
//
//   in   x [M, K]    weights    bias [N] if there is one
//   out  y [M, N]: the columns of the part
//
// Neighbouring invocations take neighbouring quads, which share the rows of x.
// Workgroups: ceil(ceil(M / 4) * QUADS / 64) on x and y.

@group(0) @binding(0) var<storage, {{ input }}> x: array<vec4<f32>>;
{{ bias_binding }}
@group(0) @binding({{ last }}) var<storage, read_write> y: array<f32>;

fn finish(value: f32, output: u32) -> f32 {
    let sum = value{{ plus_bias }};
    return {{ activation }};
}

fn store(row: u32, quad: u32, sums: vec4<f32>) {
    if (row < ROWS) {
        for (var lane = 0u; lane < 4u; lane++) {
            let output = quad * 4u + lane;
            if (output < OUTPUTS) {
                y[row * ALL_OUTPUTS + FIRST + output] = finish(sums[lane], FIRST + output);
            }
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let item = (group.y * groups.x + group.x) * 64u + invocation;
    let quad = item % QUADS;
    let row = item / QUADS * 4u;
    if (row >= ROWS) {
        return;
    }
    // Rows beyond the last are the last again, computed and not stored.
    let starts = min(vec4<u32>(row) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(ROWS - 1u)) * FOURS;
    var a = vec4<f32>(0.0);
    var b = vec4<f32>(0.0);
    var c = vec4<f32>(0.0);
    var d = vec4<f32>(0.0);
    for (var block = 0u; block < BLOCKS; block++) {
        let scale = scales(block, quad);
        for (var four = block * 8u; four < block * 8u + 8u; four++) {
            // Columns along k, so that a product is a chain of fused multiply-adds; as four inner products it is slower.
            let w = transpose(weights(four, quad, scale));
            a += w * x[starts.x + four];
            b += w * x[starts.y + four];
            c += w * x[starts.z + four];
            d += w * x[starts.w + four];
        }
    }
    store(row, quad, a);
    store(row + 1u, quad, b);
    store(row + 2u, quad, c);
    store(row + 3u, quad, d);
}
