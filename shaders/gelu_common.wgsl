// The exact GELU, x * cdf(x), and its derivative: what both kernels share. The text is put before each of them.
//
// The error function is Abramowitz and Stegun 7.1.26, off by at most 1.5e-7 before rounding: erfc(a) = P(t) exp(-a^2),
// t = 1 / (1 + 0.3275911 a), for a >= 0. With a = |x| / sqrt(2) its exponential is also that of the normal density.

struct Normal {
    cdf: f32,
    density: f32,
}

fn normal(x: f32) -> Normal {
    let a = min(abs(x), 100.0) * 0.70710678; // beyond, both tails are zero and the square would overflow
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    let power = exp(-a * a);
    let tail = 0.5 * p * power;
    return Normal(select(1.0 - tail, tail, x < 0.0), 0.39894228 * power);
}

// The element of an invocation. Workgroups lie on x and y.
fn element(group: vec3<u32>, groups: vec3<u32>, invocation: u32) -> u32 {
    return (group.y * groups.x + group.x) * 64u + invocation;
}
