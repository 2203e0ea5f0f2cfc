// Full attention, forward, fused: softmax(q k^T D^-1/2) v without the N x N matrix.
//
//   in   q, k, v [B, H, N, D]
//   out  out     [B, N, H * D]
//
// One invocation a query: it holds the query and its sum in registers (a line of the text for each lane) and lets keys and
// values stream by. When a logit is larger than all before it, what has been summed is multiplied down (online softmax).
// The invocations of a workgroup read the same keys at the same time. Workgroups: PLANES * ceil(N / 64) on x and y.
// A "plane" is one [N, D] table; a row of D channels is read as LANES vectors, or floats where D is no multiple of 4.

const PLANES: u32 = {{ planes }}u;       // B * H
const HEADS: u32 = {{ heads }}u;
const TOKENS: u32 = {{ tokens }}u;       // N
const GROUPS: u32 = (TOKENS + 63u) / 64u;
const LANES: u32 = {{ lanes }}u;
const SCALE: f32 = {{ scale }};          // D^-1/2

alias Lane = {{ lane }};

@group(0) @binding(0) var<storage, {{ input }}> q: array<Lane>;
@group(0) @binding(1) var<storage, {{ input }}> k: array<Lane>;
@group(0) @binding(2) var<storage, {{ input }}> v: array<Lane>;
@group(0) @binding(3) var<storage, read_write> out: array<Lane>;

fn inner(a: Lane, b: Lane) -> f32 {
    return {{ inner }};
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    // The same for the whole workgroup, and so are the keys: one load serves all of it.
    let index = group.y * groups.x + group.x;
    let plane = index / GROUPS;
    let token = index % GROUPS * 64u + invocation;
    if (plane >= PLANES || token >= TOKENS) {
        return;
    }
    let query = plane * TOKENS + token;
{{ load }}
    var largest = -3.4e38;
    var norm = 0.0;
    for (var key = 0u; key < TOKENS; key += 4u) {
        // Four keys at a time. Those beyond the last are the last again, with no weight.
        let keys = vec4<u32>(key) + vec4<u32>(0u, 1u, 2u, 3u);
        let rows = (plane * TOKENS + min(keys, vec4<u32>(TOKENS - 1u))) * LANES;
        var logits = vec4<f32>(0.0);
{{ product }}
        logits = select(vec4<f32>(-3.4e38), logits, keys < vec4<u32>(TOKENS));
        let larger = max(largest, max(max(logits.x, logits.y), max(logits.z, logits.w)));
        let shrink = exp(largest - larger);
        largest = larger;
        let powers = exp(logits - larger);
        norm = norm * shrink + dot(powers, vec4<f32>(1.0));
{{ add }}
    }
    let at = ((plane / HEADS * TOKENS + token) * HEADS + plane % HEADS) * LANES;
{{ store }}
}
