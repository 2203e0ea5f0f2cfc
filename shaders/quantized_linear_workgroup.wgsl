// Frozen linear layer, forward, in workgroup memory: a workgroup computes 64 rows of 64 outputs.
//
//   in   x [M, K]    weights    bias [N] if there is one
//   out  y [M, N]: the columns of the part
//
// 16 numbers along k at a time: every invocation dequantizes one vector of weights and loads one of x, both pass through
// workgroup memory (8 KiB), then every invocation adds to 4 x 4 sums. Neighbouring invocations own neighbouring outputs, so
// that they read and write without conflict. Workgroups of 256: ceil(M / 64) * ceil(OUTPUTS / 64) on x and y.

@group(0) @binding(0) var<storage, {{ input }}> x: array<vec4<f32>>;
{{ bias_binding }}
@group(0) @binding({{ last }}) var<storage, read_write> y: array<f32>;

const SIDE: u32 = 64u;                   // rows and outputs of a workgroup
const DEPTH: u32 = 4u;                   // fours along k of a step

var<workgroup> rows: array<vec4<f32>, 256>;      // [DEPTH, SIDE]
var<workgroup> columns: array<vec4<f32>, 256>;   // [DEPTH, SIDE]

fn finish(value: f32, output: u32) -> f32 {
    let sum = value{{ plus_bias }};
    return {{ activation }};
}

fn store(row: u32, first: u32, sums: vec4<f32>) {
    if (row < ROWS) {
        for (var i = 0u; i < 4u; i++) {
            let output = first + i * 16u;
            if (output < OUTPUTS) {
                y[row * ALL_OUTPUTS + FIRST + output] = finish(sums[i], FIRST + output);
            }
        }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    const ACROSS: u32 = (OUTPUTS + SIDE - 1u) / SIDE;
    let tile = group.y * groups.x + group.x;
    let first_row = tile / ACROSS * SIDE;
    let first_output = tile % ACROSS * SIDE;
    // What this invocation loads: consecutive fours of a row of x, consecutive outputs of a four of weights.
    let x_row = first_row + invocation / DEPTH;
    let x_four = invocation % DEPTH;
    let w_output = first_output + invocation % SIDE;
    let w_four = invocation / SIDE;
    // What it computes: rows down + 16 i, outputs across + 16 i.
    let across = invocation % 16u;
    let down = invocation / 16u;
    var a = vec4<f32>(0.0);
    var b = vec4<f32>(0.0);
    var c = vec4<f32>(0.0);
    var d = vec4<f32>(0.0);
    for (var step = 0u; step < FOURS; step += DEPTH) {
        var number = vec4<f32>(0.0);
        if (x_row < ROWS) {
            number = x[x_row * FOURS + step + x_four];
        }
        rows[x_four * SIDE + invocation / DEPTH] = number;
        var w = vec4<f32>(0.0);
        if (w_output < OUTPUTS) {
            w = weight(step + w_four, w_output);
        }
        columns[invocation] = w;
        workgroupBarrier();
        for (var four = 0u; four < DEPTH; four++) {
            let at = four * SIDE;
            let w = transpose(mat4x4<f32>(
                columns[at + across], columns[at + across + 16u], columns[at + across + 32u], columns[at + across + 48u],
            ));
            a += w * rows[at + down];
            b += w * rows[at + down + 16u];
            c += w * rows[at + down + 32u];
            d += w * rows[at + down + 48u];
        }
        workgroupBarrier();
    }
    store(first_row + down, first_output + across, a);
    store(first_row + down + 16u, first_output + across, b);
    store(first_row + down + 32u, first_output + across, c);
    store(first_row + down + 48u, first_output + across, d);
}
