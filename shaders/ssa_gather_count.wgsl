// Sparse sampling attention, backward, gather formulation, 2nd kernel: how many points reach each cell.
//
//   in      samples [B, H, N, P] of (x, y, key factor, value factor)
//   in-out  counts  [B, H, N], zero before
//
// Whole numbers add up to the same whatever the order, so atomics do not make the result depend on the scheduling.
// One invocation a point. Workgroups: ceil(QUERIES * POINTS / GROUP) on x and y.

@group(0) @binding(0) var<storage, {{ input }}> samples: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> counts: array<atomic<u32>>;

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
            atomicAdd(&counts[base + c.cell[corner]], 1u);
        }
    }
}
