// Sparse sampling attention, backward, channel formulation: the gradients of keys and values, one invocation a channel.
//
//   in      samples [B, H, N, P] of (x, y, key factor, value factor)    q [B, H, N, D]    grad_out [B, N, H * D]
//   in-out  grad_k, grad_v [B, H, N, D], zero before
//
// An invocation owns one lane of all N cells of its plane and adds the points up in order: no atomics, one fixed order, but
// only B * H * LANES invocations. Workgroups: ceil(PLANES * LANES / GROUP) on x and y.

@group(0) @binding(0) var<storage, {{ input }}> samples: array<vec4<f32>>;
@group(0) @binding(1) var<storage, {{ input }}> q: array<Lane>;
@group(0) @binding(2) var<storage, {{ input }}> grad_out: array<Lane>;
@group(0) @binding(3) var<storage, read_write> grad_k: array<Lane>;
@group(0) @binding(4) var<storage, read_write> grad_v: array<Lane>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let item = (group.y * groups.x + group.x) * GROUP + invocation;
    if (item >= PLANES * LANES) {
        return;
    }
    let base = (item / LANES) * TOKENS;
    let i = item % LANES;
    for (var token = 0u; token < TOKENS; token++) {
        let x = q[(base + token) * LANES + i];
        let g = grad_out[out_row(base + token) + i];
        for (var p = 0u; p < POINTS; p++) {
            let point = samples[(base + token) * POINTS + p];
            let c = corners(point.xy);
            for (var corner = 0u; corner < 4u; corner++) {
                let weight = c.weight[corner];
                if (weight > 0.0) {
                    let at = (base + c.cell[corner]) * LANES + i;
                    grad_k[at] += weight * point.z * x;
                    grad_v[at] += weight * point.w * g;
                }
            }
        }
    }
}
