//! Repeatable randomness of the landscape: numbers that depend on a seed and a place, not on the order of asking.

/// SplitMix64's finisher over a seed and two coordinates.
pub(in crate::scene) fn hash(seed: u64, a: i64, b: i64) -> u64 {
    let mut z = seed
        .wrapping_add((a as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .wrapping_add((b as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F));
    for _ in 0..2 {
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
    }
    z
}

/// Uniform in 0..1.
pub(in crate::scene) fn unit(seed: u64, a: i64, b: i64) -> f64 {
    (hash(seed, a, b) >> 11) as f64 / (1u64 << 53) as f64
}

/// Uniform in `low..high`.
pub(in crate::scene) fn between(seed: u64, a: i64, b: i64, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(seed, a, b)
}

/// Standard normal (Box and Muller).
pub(in crate::scene) fn gaussian(seed: u64, a: i64, b: i64) -> f64 {
    let radius = (-2.0 * (1.0 - unit(seed, a, b)).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(!seed, a, b)).cos()
}

/// Smooth noise with features of about one unit, in −1..1.
fn smooth(seed: u64, x: f64, y: f64) -> f64 {
    let (left, top) = (x.floor(), y.floor());
    let ease = |t: f64| t * t * t * (t * (6.0 * t - 15.0) + 10.0);
    let (u, v) = (ease(x - left), ease(y - top));
    let corner = |i: i64, j: i64| 2.0 * unit(seed, left as i64 + i, top as i64 + j) - 1.0;
    let upper = corner(0, 0) * (1.0 - u) + corner(1, 0) * u;
    let lower = corner(0, 1) * (1.0 - u) + corner(1, 1) * u;
    upper * (1.0 - v) + lower * v
}

/// Noise with details: features of `scale` and, half as strong each time, of half the size; about −1..1.
pub(in crate::scene) fn fractal(seed: u64, x: f64, y: f64, scale: f64, octaves: u32) -> f64 {
    let (mut sum, mut strength, mut total, mut scale) = (0.0, 1.0, 0.0, scale);
    for octave in 0..octaves {
        sum += strength * smooth(seed.wrapping_add(u64::from(octave)), x / scale, y / scale);
        total += strength;
        strength *= 0.5;
        scale *= 0.5;
    }
    // The sum of independent octaves rarely comes near its bounds.
    (1.6 * sum / total).clamp(-1.0, 1.0)
}

/// The tree crown over a place: crowns are the cells round scattered trunks.
pub(in crate::scene) struct Crown {
    /// From the trunk to the place.
    pub dx: f64,
    pub dy: f64,
    /// 0 at the seam with the next crown, about 1 in the middle.
    pub inside: f64,
    pub id: u64,
}

/// Crowns of about `size` across.
pub(in crate::scene) fn crown(seed: u64, x: f64, y: f64, size: f64) -> Crown {
    let (cx, cy) = ((x / size).floor() as i64, (y / size).floor() as i64);
    let (mut best, mut second) = (f64::MAX, f64::MAX);
    let mut found = Crown { dx: 0.0, dy: 0.0, inside: 0.0, id: 0 };
    for i in cx - 1..=cx + 1 {
        for j in cy - 1..=cy + 1 {
            let dx = x - (i as f64 + unit(seed, i, j)) * size;
            let dy = y - (j as f64 + unit(seed ^ 0x5EED, i, j)) * size;
            let distance = (dx * dx + dy * dy).sqrt();
            if distance < best {
                second = best;
                best = distance;
                found = Crown { dx, dy, inside: 0.0, id: hash(seed ^ 0xC0DE, i, j) };
            } else {
                second = second.min(distance);
            }
        }
    }
    found.inside = ((second - best) / size).min(1.0);
    found
}
