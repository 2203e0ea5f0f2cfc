// GELU, forward: y = x * cdf(x), element by element.
//
//   in   x    out  y    of the same length
// Workgroups: ceil(length / 64) on x and y.

@group(0) @binding(0) var<storage, {{ input }}> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let i = element(group, groups, invocation);
    if (i < min(arrayLength(&x), arrayLength(&y))) {
        y[i] = x[i] * normal(x[i]).cdf;
    }
}
