// Sparse sampling attention, backward, gather formulation, 5th kernel: each cell's list in the order of the points.
//
//   in      starts, ends [B, H, N]
//   in-out  entries [B, H, 4 N P]
//
// With it a sum over the list is the same in every run. Shell sort with Knuth's steps (1, 4, 13, ...): lists have 4 P
// entries on average and arrive nearly in order; one that holds every point of the plane would still be done in time.
// One invocation a cell. Workgroups: ceil(QUERIES / GROUP) on x and y.

@group(0) @binding(0) var<storage, {{ input }}> starts: array<u32>;
@group(0) @binding(1) var<storage, {{ input }}> ends: array<u32>;
@group(0) @binding(2) var<storage, read_write> entries: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let cell = (group.y * groups.x + group.x) * GROUP + invocation;
    if (cell >= QUERIES) {
        return;
    }
    let start = starts[cell];
    let length = ends[cell] - start;
    var step = 1u;
    while (step < length / 3u) {
        step = 3u * step + 1u;
    }
    for (; step > 0u; step /= 3u) {
        for (var i = step; i < length; i++) {
            let entry = entries[start + i];
            var to = i;
            while (to >= step) {
                let before = entries[start + to - step];
                if (before <= entry) {
                    break;
                }
                entries[start + to] = before;
                to -= step;
            }
            entries[start + to] = entry;
        }
    }
}
