// Layer norm, backward, row by row: with n = (x - mean) r and h = gamma grad_y,
//   grad_x = r (h - mean(h) - n mean(h n))        the gradient of gamma is the sum of grad_y n over the rows
//
//   in   x [R, C]    gamma [C]    grad_y [R, C]
//   out  grad_x [R, C]    slopes [R, C]: grad_y n
// Workgroups: ceil(R * ACROSS / 64) on x and y.

@group(0) @binding(2) var<storage, {{ input }}> grad_y: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<f32>;
@group(0) @binding(4) var<storage, read_write> slopes: array<f32>;

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
    var flat = 0.0;
    var along = 0.0;
    for (var c = lane; c < CHANNELS; c += ACROSS) {
        let h = gamma[c] * grad_y[start + c];
        flat += h;
        along += h * ((x[start + c] - own.mean) * own.r);
    }
    flat = SHARE * total(flat, lane);
    along = SHARE * total(along, lane);
    if (row < ROWS) {
        for (var c = lane; c < CHANNELS; c += ACROSS) {
            let at = start + c;
            let n = (x[at] - own.mean) * own.r;
            let grad = grad_y[at];
            grad_x[at] = own.r * (gamma[c] * grad - flat - n * along);
            slopes[at] = grad * n;
        }
    }
}
