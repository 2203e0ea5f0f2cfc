// Sparse sampling attention, backward, gather formulation, 3rd kernel: the points that reach each cell, as lists.
//
//   in   samples [B, H, N, P] of (x, y, key factor, value factor)    counts [B, H, N]
//   out  ranges  [B, H, N] of (first, end) in `entries`
//        entries [B, H, 4 N P]: token of the query, key factor and value factor times the bilinear weight
//
// A plane's lists lie one after another in its own 4 N P entries (a point has four corners, so they always suffice). Every
// list is in the order of tokens and points, whatever the scheduling: sums over it are the same in every run.
// One invocation a cell. Workgroups: ceil(QUERIES / GROUP) on x and y.

struct Entry {
    token: u32,
    key: f32,
    value: f32,
}

@group(0) @binding(0) var<storage, {{ input }}> samples: array<vec4<f32>>;
@group(0) @binding(1) var<storage, {{ input }}> counts: array<u32>;
@group(0) @binding(2) var<storage, read_write> ranges: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> entries: array<Entry>;

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
    let plane = cell / TOKENS;
    var at = plane * TOKENS * POINTS * 4u;
    for (var i = plane * TOKENS; i < cell; i++) {
        at += counts[i];
    }
    let start = at;
    let here = vec2<f32>(f32(cell % TOKENS % COLS), f32(cell % TOKENS / COLS));
    let first = plane * TOKENS * POINTS;
    for (var i = 0u; i < TOKENS * POINTS; i++) {
        if (abs(samples[first + i].y - here.y) < 1.0) {
            let point = samples[first + i];
            let hat = 1.0 - abs(point.xy - here);
            let weight = max(hat.x, 0.0) * hat.y;
            if (weight > 0.0) {
                entries[at] = Entry(i / POINTS, weight * point.z, weight * point.w);
                at++;
            }
        }
    }
    ranges[cell] = vec2<u32>(start, at);
}
