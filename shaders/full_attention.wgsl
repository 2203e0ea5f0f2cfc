// Full attention, forward, fused: softmax(q k^T D^-1/2) v without the N x N matrix.
//
//   in   q, k, v [B, H, N, D]
//   out  out     [B, N, H * D]
//
// One invocation a query: it holds the query and its sum in registers (a line of the text for each lane) and lets keys and
// values stream by. When a logit is larger than all before it, what has been summed is multiplied down (online softmax).
// The invocations of a workgroup read the same keys at the same time. Workgroups: ceil(QUERIES / 64) on x and y.
// A "plane" is one [N, D] table; a row of D channels is read as LANES vectors, or floats where D is no multiple of 4.

const QUERIES: u32 = {{ queries }}u;     // B * H * N
const HEADS: u32 = {{ heads }}u;
const TOKENS: u32 = {{ tokens }}u;       // N
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
    let query = (group.y * groups.x + group.x) * 64u + invocation;
    if (query >= QUERIES) {
        return;
    }
    let plane = query / TOKENS;
{{ load }}
    var largest = -3.4e38;
    var norm = 0.0;
    for (var key = 0u; key < TOKENS; key++) {
        let row = (plane * TOKENS + key) * LANES;
        var logit = 0.0;
{{ product }}
        if (logit > largest) {
            let shrink = exp(largest - logit);
            largest = logit;
            norm *= shrink;
{{ shrink }}
        }
        let power = exp(logit - largest);
        norm += power;
{{ add }}
    }
    let at = ((plane / HEADS * TOKENS + query % TOKENS) * HEADS + plane % HEADS) * LANES;
{{ store }}
}
