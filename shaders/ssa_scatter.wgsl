// Sparse sampling attention, backward, scatter formulation: the gradients of keys and values by compare-and-swap.
//
//   in      samples [B, H, N, P] of (x, y, key factor, value factor)    q [B, H, N, D]    grad_out [B, N, H * D]
//   in-out  grad_k, grad_v [B, H, N, D], zero before, as the bits of float32
//
// WGSL has no float atomics, so a sum is an integer compare-and-swap that is repeated until nobody came in between. The
// order of the additions, and with it the last bits of the sums, differs from run to run.
// One invocation a channel of a query. Here a lane is always one float. Workgroups: ceil(QUERIES * LANES / GROUP) on x and y.

@group(0) @binding(0) var<storage, {{ input }}> samples: array<vec4<f32>>;
@group(0) @binding(1) var<storage, {{ input }}> q: array<Lane>;
@group(0) @binding(2) var<storage, {{ input }}> grad_out: array<Lane>;
@group(0) @binding(3) var<storage, read_write> grad_k: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> grad_v: array<atomic<u32>>;

fn add_key(at: u32, term: f32) {
    var old = atomicLoad(&grad_k[at]);
    loop {
        let swap = atomicCompareExchangeWeak(&grad_k[at], old, bitcast<u32>(bitcast<f32>(old) + term));
        if (swap.exchanged) {
            break;
        }
        old = swap.old_value;
    }
}

fn add_value(at: u32, term: f32) {
    var old = atomicLoad(&grad_v[at]);
    loop {
        let swap = atomicCompareExchangeWeak(&grad_v[at], old, bitcast<u32>(bitcast<f32>(old) + term));
        if (swap.exchanged) {
            break;
        }
        old = swap.old_value;
    }
}

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
    let query = item / LANES;
    let i = item % LANES;
    let base = (query / TOKENS) * TOKENS;
    let x = q[item];
    let g = grad_out[out_row(query) + i];
    for (var p = 0u; p < POINTS; p++) {
        let point = samples[query * POINTS + p];
        let c = corners(point.xy);
        for (var corner = 0u; corner < 4u; corner++) {
            let weight = c.weight[corner];
            if (weight > 0.0) {
                let at = (base + c.cell[corner]) * LANES + i;
                add_key(at, weight * point.z * x);
                add_value(at, weight * point.w * g);
            }
        }
    }
}
