// Frozen linear layer, backward: the gradient of x, without barriers. An invocation computes four rows of four inputs.
//
//   in      grad_y [M, N]: the columns of the part    weights
//   in-out  grad_x [M, K]: written by the first part, added to by the others
//
// Workgroups: ceil(ceil(M / 4) * FOURS / 64) on x and y.

@group(0) @binding(0) var<storage, {{ input }}> grad_y: array<{{ lane }}>;
@group(0) @binding({{ last }}) var<storage, read_write> grad_x: array<vec4<f32>>;

// The gradients of a quad of outputs in a row.
fn gradients(row: u32, quad: u32) -> vec4<f32> {
    {{ gradients }}
}

fn store(row: u32, four: u32, sums: vec4<f32>) {
    if (row < ROWS) {
        let at = row * FOURS + four;
        grad_x[at] = {{ before }}sums;
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let item = (group.y * groups.x + group.x) * 64u + invocation;
    let four = item % FOURS;
    let row = item / FOURS * 4u;
    if (row >= ROWS) {
        return;
    }
    // Rows beyond the last are the last again, computed and not stored.
    let own = min(vec4<u32>(row) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(ROWS - 1u));
    var a = vec4<f32>(0.0);
    var b = vec4<f32>(0.0);
    var c = vec4<f32>(0.0);
    var d = vec4<f32>(0.0);
    for (var quad = 0u; quad < QUADS; quad++) {
        let w = weights(four, quad, scales(four / 8u, quad));
        a += w * gradients(own.x, quad);
        b += w * gradients(own.y, quad);
        c += w * gradients(own.z, quad);
        d += w * gradients(own.w, quad);
    }
    store(row, four, a);
    store(row + 1u, four, b);
    store(row + 2u, four, c);
    store(row + 3u, four, d);
}
