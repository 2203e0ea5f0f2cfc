// Sparse sampling attention, backward, gather formulation, 2nd kernel: how many points reach each cell.
//
//   in   samples [B, H, N, P] of (x, y, key factor, value factor)
//   out  counts  [B, H, N]
//
// The weight of a point at a cell is a hat around the cell, max(0, 1 - |x - col|) * max(0, 1 - |y - row|), the same number
// as the bilinear weight of the corner. One invocation a cell, which looks at all N * P points of its plane.
// Workgroups: ceil(QUERIES / GROUP) on x and y.

@group(0) @binding(0) var<storage, {{ input }}> samples: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;

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
    let here = vec2<f32>(f32(cell % TOKENS % COLS), f32(cell % TOKENS / COLS));
    let first = (cell / TOKENS) * TOKENS * POINTS;
    var count = 0u;
    for (var i = 0u; i < TOKENS * POINTS; i++) {
        if (abs(samples[first + i].y - here.y) < 1.0) {
            let hat = 1.0 - abs(samples[first + i].xy - here);
            count += select(0u, 1u, max(hat.x, 0.0) * hat.y > 0.0);
        }
    }
    counts[cell] = count;
}
