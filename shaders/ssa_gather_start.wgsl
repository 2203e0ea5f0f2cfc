// Sparse sampling attention, backward, gather formulation, 3rd kernel: where each cell's list begins.
//
//   in   counts  [B, H, N]
//   out  starts  [B, H, N]: running sum of the counts; a plane has 4 N P entries of its own, as a point has four corners
//        cursors [B, H, N]: the same, for the next kernel to move on
//
// One workgroup a plane; each invocation sums a run of cells, then all earlier runs. Workgroups: PLANES on x and y.

@group(0) @binding(0) var<storage, {{ input }}> counts: array<u32>;
@group(0) @binding(1) var<storage, read_write> starts: array<u32>;
@group(0) @binding(2) var<storage, read_write> cursors: array<u32>;

const RUN: u32 = (TOKENS + GROUP - 1u) / GROUP;

var<workgroup> totals: array<u32, GROUP>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let plane = group.y * groups.x + group.x;
    let first = min(invocation * RUN, TOKENS);
    let end = min(first + RUN, TOKENS);
    var total = 0u;
    if (plane < PLANES) {
        for (var cell = first; cell < end; cell++) {
            total += counts[plane * TOKENS + cell];
        }
    }
    totals[invocation] = total;
    workgroupBarrier();
    if (plane < PLANES) {
        var at = plane * TOKENS * POINTS * 4u;
        for (var earlier = 0u; earlier < invocation; earlier++) {
            at += totals[earlier];
        }
        for (var cell = plane * TOKENS + first; cell < plane * TOKENS + end; cell++) {
            starts[cell] = at;
            cursors[cell] = at;
            at += counts[cell];
        }
    }
}
