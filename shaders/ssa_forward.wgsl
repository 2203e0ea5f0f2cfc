// Sparse sampling attention, forward, fused: offsets -> bilinear keys -> softmax over the P points -> weighted values.
//
//   in   q, k, v  [B, H, N, D]     offsets [B, H, N, P] of (dx, dy)
//   out  out      [B, N, H * D]
//
// One workgroup takes SHARE queries. First each invocation computes the logit of one point of one query (the four corners'
// dot products, weighted), then each computes one lane of one query's output. Only the logits pass through workgroup memory.
// Workgroups: ceil(QUERIES / SHARE) on x and y.

@group(0) @binding(0) var<storage, {{ input }}> q: array<Lane>;
@group(0) @binding(1) var<storage, {{ input }}> k: array<Lane>;
@group(0) @binding(2) var<storage, {{ input }}> v: array<Lane>;
@group(0) @binding(3) var<storage, {{ input }}> offsets: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<Lane>;

const SHARE: u32 = GROUP / POINTS;       // queries of a workgroup

var<workgroup> logits: array<f32, GROUP>;   // [SHARE, P]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let first = (group.y * groups.x + group.x) * SHARE;

    let mine = first + invocation / POINTS;
    if (invocation < SHARE * POINTS && mine < QUERIES) {
        let c = corners(position(mine % TOKENS, offsets[first * POINTS + invocation]));
        let row = (c.cell + (mine / TOKENS) * TOKENS) * LANES;
        var dots = vec4<f32>(0.0);
        for (var i = 0u; i < LANES; i++) {
            let x = q[mine * LANES + i];
            dots += vec4<f32>(
                inner(x, k[row.x + i]), inner(x, k[row.y + i]), inner(x, k[row.z + i]), inner(x, k[row.w + i]),
            );
        }
        logits[invocation] = SCALE * dot(c.weight, dots);
    }
    workgroupBarrier();

    for (var item = invocation; item < SHARE * LANES; item += GROUP) {
        let local = item / LANES;
        let i = item % LANES;
        let query = first + local;
        if (query < QUERIES) {
            let base = (query / TOKENS) * TOKENS;
            var largest = logits[local * POINTS];
            for (var p = 1u; p < POINTS; p++) {
                largest = max(largest, logits[local * POINTS + p]);
            }
            var norm = 0.0;
            var sum = Lane(0.0);
            for (var p = 0u; p < POINTS; p++) {
                let c = corners(position(query % TOKENS, offsets[query * POINTS + p]));
                let row = (c.cell + base) * LANES + i;
                let power = exp(logits[local * POINTS + p] - largest);
                let w = power * c.weight;
                norm += power;
                sum += w.x * v[row.x] + w.y * v[row.y] + w.z * v[row.z] + w.w * v[row.w];
            }
            out[out_row(query) + i] = sum / norm;
        }
    }
}
