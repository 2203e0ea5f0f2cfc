// Sparse sampling attention, backward, 1st kernel: everything that belongs to a query alone.
//
//   in   q, k, v [B, H, N, D]    offsets [B, H, N, P] of (dx, dy)    grad_out [B, N, H * D]
//   out  grad_q  [B, H, N, D]    grad_offsets [B, H, N, P] of (d/dx, d/dy)
//        samples [B, H, N, P] of (x, y, key factor, value factor): where the point sampled, and what its query and its
//        upstream gradient are multiplied with on their way into grad_k and grad_v (before the bilinear weight)
//
// With g the upstream gradient of the query, s = D^-1/2, a = softmax:
//   pull = g . v^            d logit = a (pull - sum a pull)
//   key factor = s d logit   value factor = a
//   grad_q = sum_p key factor * k^
//   d x = sum_c slope_x_c (key factor * q . k[c] + value factor * g . v[c]), likewise y
// One workgroup takes SHARE queries; one invocation a point, later a lane of grad_q.
// Workgroups: ceil(QUERIES / SHARE) on x and y. Storage buffers: 8.

@group(0) @binding(0) var<storage, {{ input }}> q: array<Lane>;
@group(0) @binding(1) var<storage, {{ input }}> k: array<Lane>;
@group(0) @binding(2) var<storage, {{ input }}> v: array<Lane>;
@group(0) @binding(3) var<storage, {{ input }}> offsets: array<vec2<f32>>;
@group(0) @binding(4) var<storage, {{ input }}> grad_out: array<Lane>;
@group(0) @binding(5) var<storage, read_write> grad_q: array<Lane>;
@group(0) @binding(6) var<storage, read_write> grad_offsets: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read_write> samples: array<vec4<f32>>;

const SHARE: u32 = GROUP / POINTS;       // queries of a workgroup

var<workgroup> logits: array<f32, GROUP>;    // [SHARE, P]
var<workgroup> pulls: array<f32, GROUP>;     // [SHARE, P]
var<workgroup> factors: array<f32, GROUP>;   // [SHARE, P], key factors

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let first = (group.y * groups.x + group.x) * SHARE;
    let local = invocation / POINTS;
    let mine = first + local;
    let busy = invocation < SHARE * POINTS && mine < QUERIES;
    let point = first * POINTS + invocation;

    // One point of one query.
    var at = vec2<f32>(0.0);
    var c: Corners;
    var key_dots = vec4<f32>(0.0);      // q . k[corner]
    var value_dots = vec4<f32>(0.0);    // g . v[corner]
    if (busy) {
        at = position(mine % TOKENS, offsets[point]);
        c = corners(at);
        let row = (c.cell + (mine / TOKENS) * TOKENS) * LANES;
        let upstream = out_row(mine);
        for (var i = 0u; i < LANES; i++) {
            let x = q[mine * LANES + i];
            let g = grad_out[upstream + i];
            key_dots += vec4<f32>(
                inner(x, k[row.x + i]), inner(x, k[row.y + i]), inner(x, k[row.z + i]), inner(x, k[row.w + i]),
            );
            value_dots += vec4<f32>(
                inner(g, v[row.x + i]), inner(g, v[row.y + i]), inner(g, v[row.z + i]), inner(g, v[row.w + i]),
            );
        }
        logits[invocation] = SCALE * dot(c.weight, key_dots);
        pulls[invocation] = dot(c.weight, value_dots);
    }
    workgroupBarrier();

    // The softmax of the query and its derivative, by every one of its points.
    if (busy) {
        let base = local * POINTS;
        var largest = logits[base];
        for (var p = 1u; p < POINTS; p++) {
            largest = max(largest, logits[base + p]);
        }
        var norm = 0.0;
        var mean = 0.0;
        for (var p = 0u; p < POINTS; p++) {
            let power = exp(logits[base + p] - largest);
            norm += power;
            mean += power * pulls[base + p];
        }
        let attention = exp(logits[invocation] - largest) / norm;
        let factor = SCALE * attention * (pulls[invocation] - mean / norm);
        let along = factor * key_dots + attention * value_dots;
        grad_offsets[point] = vec2<f32>(dot(c.slope_x, along), dot(c.slope_y, along));
        samples[point] = vec4<f32>(at, factor, attention);
        factors[invocation] = factor;
    }
    workgroupBarrier();

    // One lane of one query's gradient.
    for (var item = invocation; item < SHARE * LANES; item += GROUP) {
        let query = first + item / LANES;
        let i = item % LANES;
        if (query < QUERIES) {
            var sum = Lane(0.0);
            for (var p = 0u; p < POINTS; p++) {
                let around = corners(position(query % TOKENS, offsets[query * POINTS + p]));
                let row = (around.cell + (query / TOKENS) * TOKENS) * LANES + i;
                let w = factors[(item / LANES) * POINTS + p] * around.weight;
                sum += w.x * k[row.x] + w.y * k[row.y] + w.z * k[row.z] + w.w * k[row.w];
            }
            grad_q[query * LANES + i] = sum;
        }
    }
}
