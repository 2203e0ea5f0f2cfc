// Sparse sampling attention, backward, gather formulation, 4th kernel: the points that reach each cell, as lists.
//
//   in      samples [B, H, N, P] of (x, y, key factor, value factor)
//   in-out  cursors [B, H, N]: begin of each list before, its end after
//   out     entries [B, H, 4 N P]: index of the point in its plane, token * P + p
//
// Within a list the order is that in which the invocations arrive; the next kernel puts it right.
// One invocation a point. Workgroups: ceil(QUERIES * POINTS / GROUP) on x and y.

@group(0) @binding(0) var<storage, {{ input }}> samples: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> cursors: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read_write> entries: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let point = (group.y * groups.x + group.x) * GROUP + invocation;
    if (point >= QUERIES * POINTS) {
        return;
    }
    let base = point / (TOKENS * POINTS) * TOKENS;
    let c = corners(samples[point].xy);
    for (var corner = 0u; corner < 4u; corner++) {
        if (c.weight[corner] > 0.0) {
            let at = atomicAdd(&cursors[base + c.cell[corner]], 1u);
            entries[at] = point - base * POINTS;
        }
    }
}
