// Sparse sampling attention, backward, gather formulation, 4th kernel: the gradients of keys and values.
//
//   in   ranges [B, H, N] of (first, end)    entries [B, H, 4 N P]    q [B, H, N, D]    grad_out [B, N, H * D]
//   out  grad_k, grad_v [B, H, N, D]
//
// One invocation a lane of a cell, which alone owns what it writes: no atomics, no barrier, one fixed order of summation.
// Workgroups: ceil(QUERIES * LANES / GROUP) on x and y.

struct Entry {
    token: u32,
    key: f32,
    value: f32,
}

@group(0) @binding(0) var<storage, {{ input }}> ranges: array<vec2<u32>>;
@group(0) @binding(1) var<storage, {{ input }}> entries: array<Entry>;
@group(0) @binding(2) var<storage, {{ input }}> q: array<Lane>;
@group(0) @binding(3) var<storage, {{ input }}> grad_out: array<Lane>;
@group(0) @binding(4) var<storage, read_write> grad_k: array<Lane>;
@group(0) @binding(5) var<storage, read_write> grad_v: array<Lane>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let item = (group.y * groups.x + group.x) * GROUP + invocation;
    if (item >= QUERIES * LANES) {
        return;
    }
    let cell = item / LANES;
    let i = item % LANES;
    let plane = cell / TOKENS;
    let range = ranges[cell];
    var key = Lane(0.0);
    var value = Lane(0.0);
    for (var e = range.x; e < range.y; e++) {
        let entry = entries[e];
        let query = plane * TOKENS + entry.token;
        key += entry.key * q[query * LANES + i];
        value += entry.value * grad_out[out_row(query) + i];
    }
    grad_k[item] = key;
    grad_v[item] = value;
}
