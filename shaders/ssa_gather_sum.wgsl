// Sparse sampling attention, backward, gather formulation, 6th kernel: the gradients of keys and values.
//
//   in   starts, ends [B, H, N] in entries [B, H, 4 N P]: index of the point in its plane, token * P + p
//        samples [B, H, N, P] of (x, y, key factor, value factor)    q [B, H, N, D]    grad_out [B, N, H * D]
//   out  grad_k, grad_v [B, H, N, D]
//
// The bilinear weight of a point at a cell is a hat around the cell, (1 - |x - col|) (1 - |y - row|).
// One invocation a lane of a cell, which alone owns what it writes: no atomics, no barrier, one fixed order of summation.
// Workgroups: ceil(QUERIES * LANES / GROUP) on x and y. Storage buffers: 8.

@group(0) @binding(0) var<storage, {{ input }}> starts: array<u32>;
@group(0) @binding(1) var<storage, {{ input }}> ends: array<u32>;
@group(0) @binding(2) var<storage, {{ input }}> entries: array<u32>;
@group(0) @binding(3) var<storage, {{ input }}> samples: array<vec4<f32>>;
@group(0) @binding(4) var<storage, {{ input }}> q: array<Lane>;
@group(0) @binding(5) var<storage, {{ input }}> grad_out: array<Lane>;
@group(0) @binding(6) var<storage, read_write> grad_k: array<Lane>;
@group(0) @binding(7) var<storage, read_write> grad_v: array<Lane>;

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
    let base = cell / TOKENS * TOKENS;
    let here = vec2<f32>(f32(cell % TOKENS % COLS), f32(cell % TOKENS / COLS));
    let end = ends[cell];
    var key = Lane(0.0);
    var value = Lane(0.0);
    for (var e = starts[cell]; e < end; e++) {
        let point = samples[base * POINTS + entries[e]];
        let query = base + entries[e] / POINTS;
        let hat = max(vec2<f32>(0.0), 1.0 - abs(point.xy - here));
        let weight = hat.x * hat.y;
        key += weight * point.z * q[query * LANES + i];
        value += weight * point.w * grad_out[out_row(query) + i];
    }
    grad_k[item] = key;
    grad_v[item] = value;
}
