//! What lies where: fields, stands, houses and roads. Lengths are pixels.

use super::super::teaching::noise::{between, crown, fractal, gaussian, hash, unit};
use super::plan::{Land, Plan};

/// The land of a scene.
pub(super) struct Ground {
    seed: u64,
    land: Land,
    side: f64,
    /// Direction of the parcels, radians.
    turn: f64,
    /// How far borders wander, pixels.
    wander: f64,
    roads: Vec<Road>,
    /// Share of each class, adding up: class 1 below the first.
    shares: Vec<f64>,
}

struct Road {
    /// A point and a unit vector across.
    through: (f64, f64),
    across: (f64, f64),
    half_width: f64,
    bend: f64,
}

impl Ground {
    pub fn new(seed: u64, plan: &Plan, side: usize) -> Self {
        let seed = seed ^ 0x6A0D;
        let side = side as f64;
        let draw = |number: i64, low: f64, high: f64| between(seed, number, 1, low, high);
        let roads = (0..plan.roads as i64).map(|road| {
            let angle = between(seed, road, 2, 0.0, std::f64::consts::PI);
            Road {
                through: (between(seed, road, 3, 0.0, side), between(seed, road, 4, 0.0, side)),
                across: (angle.cos(), angle.sin()),
                half_width: between(seed, road, 5, 0.3, 1.1),
                bend: between(seed, road, 6, 0.0, 5.0),
            }
        });
        let mut sum = 0.0;
        let shares = (0..plan.classes as i64).map(|class| {
            sum += -(1.0 - unit(seed, class, 7)).ln() + 0.15;
            sum
        });
        let shares: Vec<f64> = shares.collect();
        Self {
            seed,
            land: plan.land,
            side,
            turn: draw(0, 0.0, std::f64::consts::PI),
            wander: [0.0, 0.0, 0.0, 0.5, 2.0][(draw(1, 0.0, 5.0) as usize).min(4)],
            roads: roads.collect(),
            shares: shares.iter().map(|share| share / sum).collect(),
        }
    }

    /// The object at a place; never 0.
    pub fn object(&self, x: f64, y: f64) -> u32 {
        for (number, road) in (0u32..).zip(&self.roads) {
            let bend = road.bend * fractal(self.seed ^ (0x70 + u64::from(number)), x, y, 40.0, 1);
            let beside = (x - road.through.0) * road.across.0 + (y - road.through.1) * road.across.1 + bend;
            if beside.abs() < road.half_width {
                return 1 + number;
            }
        }
        let id = match self.land {
            Land::Fields(area) | Land::Town(area) => self.parcel(x, y, area),
            Land::Nature(across) => {
                let warp = |salt: u64| 0.35 * across * fractal(self.seed ^ salt, x, y, 0.8 * across, 3);
                crown(self.seed ^ 0x81, x + warp(0x82), y + warp(0x83), across).id
            }
        };
        16 + (id >> 36) as u32
    }

    /// The class of an object, 0-based.
    pub fn class(&self, object: u32) -> usize {
        let at = unit(self.seed ^ 0x91, i64::from(object), 0);
        self.shares.partition_point(|share| *share <= at).min(self.shares.len() - 1)
    }

    /// Cuts the land again and again until parcels are small enough, and follows the place down.
    fn parcel(&self, x: f64, y: f64, area: f64) -> u64 {
        let wander =
            |salt: u64| if self.wander > 0.0 { self.wander * fractal(self.seed ^ salt, x, y, 24.0, 3) } else { 0.0 };
        let (x, y) = (x + wander(0xA1) - self.side / 2.0, y + wander(0xA2) - self.side / 2.0);
        let place = [x * self.turn.cos() + y * self.turn.sin(), y * self.turn.cos() - x * self.turn.sin()];
        let reach = 0.75 * self.side;
        let mut bounds = [(-reach, reach); 2];
        let mut node = 1u64;
        for depth in 0..40 {
            let key = node as i64;
            let lengths = bounds.map(|(low, high)| high - low);
            if lengths[0] * lengths[1] < area * (0.5 * gaussian(self.seed ^ 0xB1, key, 0)).exp() {
                break;
            }
            let longer = between(self.seed ^ 0xB2, key, 0, 0.6, 1.6);
            let axis = usize::from(lengths[0] < longer * lengths[1]);
            let (low, high) = bounds[axis];
            let at = low + (high - low) * between(self.seed ^ 0xB3, key, 0, 0.33, 0.67);
            let middle = 0.5 * (bounds[1 - axis].0 + bounds[1 - axis].1);
            let tilt = between(self.seed ^ 0xB4, key, 0, -0.08, 0.08) * (place[1 - axis] - middle);
            let beyond = place[axis] >= at + tilt;
            bounds[axis] = if beyond { (at, high) } else { (low, at) };
            node = hash(node, i64::from(beyond), depth);
        }
        hash(self.seed ^ 0xB5, node as i64, 0)
    }
}
