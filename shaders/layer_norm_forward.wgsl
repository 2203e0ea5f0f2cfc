// Layer norm, forward: y = gamma (x - mean) (variance + epsilon)^-1/2 + beta, row by row.
//
//   in   x [R, C]    gamma, beta [C]
//   out  y [R, C]
// Workgroups: ceil(R * ACROSS / 64) on x and y.

@group(0) @binding(2) var<storage, {{ input }}> beta: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let lane = invocation % ACROSS;
    let row = (group.y * groups.x + group.x) * (64u / ACROSS) + invocation / ACROSS;
    // Rows beyond the last are the last again: everybody meets at the barriers.
    let start = min(row, ROWS - 1u) * CHANNELS;
    let own = scale(start, lane);
    if (row < ROWS) {
        for (var c = lane; c < CHANNELS; c += ACROSS) {
            y[start + c] = gamma[c] * ((x[start + c] - own.mean) * own.r) + beta[c];
        }
    }
}
