//! Shapes on the land: the course of rivers and roads, parcels, houses.

use super::SIDE;
use super::landscape::Cover;
use super::noise::between;

/// A line across the land that bends but never turns back: its place for each distance along one axis.
pub(super) struct Curve {
    /// At half the way.
    pub middle: f64,
    pub slope: f64,
    pub waves: [Wave; 2],
}

pub(super) struct Wave {
    pub height: f64,
    /// Radians a pixel.
    pub rate: f64,
    pub phase: f64,
}

impl Wave {
    pub const FLAT: Self = Self { height: 0.0, rate: 0.0, phase: 0.0 };
}

impl Curve {
    pub fn at(&self, t: f64) -> f64 {
        let waves = self.waves.iter().map(|wave| wave.height * (wave.rate * t + wave.phase).sin());
        self.middle + self.slope * (t - SIDE as f64 / 2.0) + waves.sum::<f64>()
    }

    /// Change of place with distance.
    pub fn slope(&self, t: f64) -> f64 {
        let waves = self.waves.iter().map(|wave| wave.height * wave.rate * (wave.rate * t + wave.phase).cos());
        self.slope + waves.sum::<f64>()
    }

    /// How far `place` lies beside the curve at `t`, nearly: negative on the side of small places.
    pub fn distance(&self, t: f64, place: f64) -> f64 {
        (place - self.at(t)) / (1.0 + self.slope(t).powi(2)).sqrt()
    }
}

/// A parcel: a convex polygon, its corners in order.
pub(super) struct Field {
    pub corners: Vec<(f64, f64)>,
    pub cover: Cover,
    /// Unit vector across the rows.
    pub across: (f64, f64),
}

/// A building: a rectangle round its middle.
pub(super) struct House {
    pub x: f64,
    pub y: f64,
    /// Unit vector along its ridge.
    pub along: (f64, f64),
    /// Half the length and half the width.
    pub half: (f64, f64),
}

impl House {
    /// Place in the house's own directions: along the ridge and across it.
    fn own(&self, x: f64, y: f64) -> (f64, f64) {
        let (dx, dy) = (x - self.x, y - self.y);
        (dx * self.along.0 + dy * self.along.1, dx * self.along.1 - dy * self.along.0)
    }

    pub fn contains(&self, x: f64, y: f64, margin: f64) -> bool {
        let (u, v) = self.own(x, y);
        u.abs() <= self.half.0 + margin && v.abs() <= self.half.1 + margin
    }

    /// −1 or 1: on which side of the ridge.
    pub fn side(&self, x: f64, y: f64) -> f64 {
        -self.own(x, y).1.signum()
    }

    /// Points along the walls, about one a pixel, and the middle.
    pub fn outline(&self, margin: f64) -> impl Iterator<Item = (f64, f64)> {
        let corners = self.corners(margin);
        let steps = 2.0 * self.half.0.ceil() + 2.0;
        let walls = (0..4).flat_map(move |wall| {
            let (a, b) = (corners[wall], corners[(wall + 1) % 4]);
            (0..steps as usize).map(move |step| {
                let t = step as f64 / steps;
                (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1))
            })
        });
        walls.chain([(self.x, self.y)])
    }

    pub fn corners(&self, margin: f64) -> [(f64, f64); 4] {
        let (a, b) = (self.half.0 + margin, self.half.1 + margin);
        [(a, b), (a, -b), (-a, -b), (-a, b)]
            .map(|(u, v)| (self.x + u * self.along.0 + v * self.along.1, self.y + u * self.along.1 - v * self.along.0))
    }
}

impl Field {
    /// Distance to the nearest border, negative outside.
    pub fn inside(&self, x: f64, y: f64) -> f64 {
        let next = self.corners.iter().cycle().skip(1);
        self.corners.iter().zip(next).fold(f64::MAX, |nearest, (&(ax, ay), &(bx, by))| {
            let (dx, dy) = (bx - ax, by - ay);
            let length = (dx * dx + dy * dy).sqrt().max(1e-9);
            nearest.min((dx * (y - ay) - dy * (x - ax)) / length)
        })
    }
}

/// A unit vector, turned by an angle.
pub(super) fn turned((x, y): (f64, f64), angle: f64) -> (f64, f64) {
    let length = (x * x + y * y).sqrt().max(1e-9);
    let (x, y) = (x / length, y / length);
    (x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos())
}

/// Across the rows of a parcel: they run along its longest side.
pub(super) fn across_rows(corners: &[(f64, f64)]) -> (f64, f64) {
    let sides = corners.iter().zip(corners.iter().cycle().skip(1)).map(|(a, b)| (b.0 - a.0, b.1 - a.1));
    let longest =
        sides.max_by(|a, b| (a.0 * a.0 + a.1 * a.1).total_cmp(&(b.0 * b.0 + b.1 * b.1))).unwrap_or((1.0, 0.0));
    turned((-longest.1, longest.0), 0.0)
}

fn area(corners: &[(f64, f64)]) -> f64 {
    let next = corners.iter().cycle().skip(1);
    0.5 * corners.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum::<f64>()
}

/// Cuts a convex polygon across its longer extent, again and again, until parcels have the size of fields.
pub(super) fn split(corners: Vec<(f64, f64)>, angle: f64, seed: u64, node: i64, parcels: &mut Vec<Vec<(f64, f64)>>) {
    if area(&corners) < between(seed, node, 1, 520.0, 1300.0) || node > 1 << 20 {
        parcels.push(corners);
        return;
    }
    let extent = |(ux, uy): (f64, f64)| {
        let along = corners.iter().map(|(x, y)| x * ux + y * uy);
        along.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (u, v) = ((angle.cos(), angle.sin()), (-angle.sin(), angle.cos()));
    let ((u0, u1), (v0, v1)) = (extent(u), extent(v));
    // Fields are longer from west to east here: a cut across v until they are half again as long as wide.
    let (axis, low, high) = if u1 - u0 > 1.5 * (v1 - v0) { (u, u0, u1) } else { (v, v0, v1) };
    let at = low + (high - low) * between(seed, node, 2, 0.36, 0.64);
    let normal = turned(axis, between(seed, node, 3, -0.06, 0.06));
    let middle = corners.iter().fold((0.0, 0.0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
    let middle = (middle.0 / corners.len() as f64, middle.1 / corners.len() as f64);
    // The turned line goes through the cut's place on the line through the middle.
    let offset = at - (middle.0 * axis.0 + middle.1 * axis.1);
    let through = (middle.0 + offset * axis.0, middle.1 + offset * axis.1);
    let side = |(x, y): (f64, f64)| (x - through.0) * normal.0 + (y - through.1) * normal.1;
    for (half, sign) in [(0, 1.0), (1, -1.0)] {
        let mut part = Vec::new();
        for (&a, &b) in corners.iter().zip(corners.iter().cycle().skip(1)) {
            let (da, db) = (sign * side(a), sign * side(b));
            if da >= 0.0 {
                part.push(a);
            }
            if (da > 0.0 && db < 0.0) || (da < 0.0 && db > 0.0) {
                let t = da / (da - db);
                part.push((a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1)));
            }
        }
        if part.len() >= 3 && area(&part) > 1.0 {
            split(part, angle, seed, 2 * node + half, parcels);
        }
    }
}
