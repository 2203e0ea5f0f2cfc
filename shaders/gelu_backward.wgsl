// GELU, backward: grad_x = grad_y * (cdf(x) + x * density(x)), element by element.
//
//   in   x, grad_y    out  grad_x    of the same length
// Workgroups: ceil(length / 64) on x and y.

@group(0) @binding(0) var<storage, {{ input }}> x: array<f32>;
@group(0) @binding(1) var<storage, {{ input }}> grad_y: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad_x: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let i = element(group, groups, invocation);
    if (i < min(min(arrayLength(&x), arrayLength(&grad_y)), arrayLength(&grad_x))) {
        let n = normal(x[i]);
        grad_x[i] = grad_y[i] * (n.cdf + x[i] * n.density);
    }
}
