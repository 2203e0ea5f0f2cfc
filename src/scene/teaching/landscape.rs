//! The land of the teaching scene: what lies at a place. Lengths are pixels of 5 m, x to the east, y to the south.
//!
//! A river meanders southward between meadows and trees; a main road crosses it on a bridge and meets a second road in a
//! village; parcels with straight borders, each side of river and road with its own direction, bear the crops; forests
//! with irregular edges fill two corners.

use super::SIDE;
use super::noise::{between, crown, fractal, unit};
use super::shapes::{Curve, Field, House, Wave, across_rows, split, turned};

/// What covers the ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cover {
    Wheat,
    Maize,
    Rapeseed,
    Meadow,
    Broadleaf,
    Conifer,
    Water,
    Roof,
    Road,
    Soil,
    /// Lawns, hedges and paths of the village: no class of its own.
    Garden,
}

/// What a place is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub cover: Cover,
    /// Tells one field, house or stand of trees from the next.
    pub object: u32,
    /// Above the ground, pixels: it throws shadows.
    pub height: f64,
    /// Direct light that arrives, 1 = on level ground.
    pub light: f64,
    /// Of plants and furrows: against the field's own, below 1 in tramlines and headlands. Of water: pixels from the bank.
    /// Of roofs: 1 for houses, 2 for halls.
    pub density: f64,
}

/// Unit vector towards the sun: south-south-east, late in the morning.
pub(super) const SUN: (f64, f64) = (0.45, 0.89);

pub(super) struct Landscape {
    seed: u64,
    /// x of the middle of the river at y.
    river: Curve,
    /// y of the middle of the main road at x.
    road: Curve,
    /// x of the middle of the second road at y.
    lane: Curve,
    houses: Vec<House>,
    /// West or east of the river, north or south of the main road.
    quarters: [Vec<Field>; 4],
}

const ROAD_HALF_WIDTH: f64 = 1.15;
const LANE_HALF_WIDTH: f64 = 0.95;

impl Landscape {
    pub fn new(seed: u64) -> Self {
        let draw = |salt: u64| move |number: i64, low: f64, high: f64| between(seed ^ salt, number, 0, low, high);
        let turn = std::f64::consts::TAU;
        let (r, m, l) = (draw(0x0A1), draw(0x0B2), draw(0x0C3));
        let mut land = Self {
            seed,
            river: Curve {
                middle: r(8, 38.0, 44.0),
                slope: r(7, -0.06, 0.06),
                waves: [
                    Wave { height: r(3, 7.0, 10.0), rate: turn / r(1, 66.0, 84.0), phase: r(5, 0.0, turn) },
                    Wave { height: r(4, 2.5, 4.0), rate: turn / r(2, 29.0, 36.0), phase: r(6, 0.0, turn) },
                ],
            },
            road: Curve {
                middle: m(1, 66.0, 74.0),
                slope: m(2, 0.10, 0.20),
                waves: [
                    Wave { height: m(3, 2.0, 3.5), rate: 1.0 / m(4, 24.0, 30.0), phase: m(5, 0.0, turn) },
                    Wave::FLAT,
                ],
            },
            lane: Curve {
                middle: l(1, 86.0, 92.0),
                slope: -l(2, 0.12, 0.22),
                waves: [
                    Wave { height: l(3, 2.0, 3.0), rate: 1.0 / l(4, 20.0, 26.0), phase: l(5, 0.0, turn) },
                    Wave::FLAT,
                ],
            },
            houses: Vec::new(),
            quarters: Default::default(),
        };
        land.lay_out_fields();
        land.build_village();
        land
    }

    fn to_river(&self, x: f64, y: f64) -> f64 {
        self.river.distance(y, x)
    }

    fn to_road(&self, x: f64, y: f64) -> f64 {
        self.road.distance(x, y)
    }

    fn to_lane(&self, x: f64, y: f64) -> f64 {
        self.lane.distance(y, x)
    }

    /// Where the roads meet.
    fn crossing(&self) -> (f64, f64) {
        let mut x = 88.0;
        for _ in 0..20 {
            x = self.lane.at(self.road.at(x));
        }
        (x, self.road.at(x))
    }

    /// Open water, the river and a lake beside it: how far inside, negative outside.
    fn water_depth(&self, x: f64, y: f64) -> f64 {
        // Noise is only drawn where it can matter: this is asked for every point of the land.
        let mut river = 2.7 - self.to_river(x, y).abs();
        if river > -6.0 {
            river += 0.5 * fractal(self.seed ^ 0x0D4, x, y, 9.0, 3);
        }
        let y0 = between(self.seed ^ 0x0D5, 0, 0, 100.0, 108.0);
        let (dx, dy) = ((x - self.river.at(y0) - 17.0) / 10.5, (y - y0) / 7.0);
        let mut lake = 7.0 * (1.0 - (dx * dx + dy * dy).sqrt());
        if lake > -8.0 {
            lake += 2.2 * fractal(self.seed ^ 0x0D6, x, y, 12.0, 3);
        }
        river.max(lake)
    }

    /// How far inside a forest, negative outside; and which one.
    fn forest(&self, x: f64, y: f64) -> (f64, Cover, u32) {
        let draw = |number: i64, low: f64, high: f64| between(self.seed ^ 0x0E7, number, 0, low, high);
        let stand = |radius: f64, (cx, cy): (f64, f64), rough: f64, salt: u64| {
            let inside = radius - ((x - cx).powi(2) + (y - cy).powi(2)).sqrt();
            if inside < -rough { inside } else { inside + rough * fractal(self.seed ^ salt, x, y, 24.0, 4) }
        };
        let copse_at = (draw(4, 64.0, 74.0), draw(5, 16.0, 26.0));
        // Trees along the river, in groups.
        let bank = self.water_depth(x, y);
        let gallery = if bank < -0.3 && bank > -4.5 {
            2.5 * fractal(self.seed ^ 0x0EB, x, y, 14.0, 2) - 0.55 - 0.25 * (bank + 2.0).abs()
        } else {
            f64::MIN
        };
        let stands = [
            stand(draw(1, 34.0, 39.0), (-4.0, 2.0), 12.0, 0x0E8),
            stand(draw(2, 33.0, 37.0), (131.0, 124.0), 12.0, 0x0E9),
            stand(draw(3, 7.0, 8.5), copse_at, 6.0, 0x0EA),
            gallery,
        ];
        let (mut best, mut which) = (f64::MIN, 0);
        for (number, inside) in (0u32..).zip(stands) {
            if inside > best {
                (best, which) = (inside, number);
            }
        }
        // The large forests are mixed in stands.
        let mixed = which < 2 && best > 0.0;
        let conifers = mixed && fractal(self.seed ^ (0x0EC + u64::from(which)), x, y, 24.0, 3) + 0.15 > 0.0;
        (best, if conifers { Cover::Conifer } else { Cover::Broadleaf }, 1 + which)
    }

    pub fn at(&self, x: f64, y: f64) -> Place {
        let open = |cover, object| Place { cover, object, height: 0.0, light: 1.0, density: 1.0 };
        let (road, lane) = (self.to_road(x, y).abs() - ROAD_HALF_WIDTH, self.to_lane(x, y).abs() - LANE_HALF_WIDTH);
        if road < 0.0 {
            return open(Cover::Road, 1);
        }
        if lane < 0.0 {
            return open(Cover::Road, 2);
        }
        if let Some((number, house)) = (0u32..).zip(&self.houses).find(|(_, house)| house.contains(x, y, 0.0)) {
            let side = house.side(x, y) * (house.along.1 * SUN.0 - house.along.0 * SUN.1);
            // Saddle roofs: the slope that faces the sun is brighter. Large halls are flat.
            let light = if house.half.1 > 2.5 { 1.0 } else { 1.0 - 0.28 * side };
            let hall = house.half.1 > 2.5;
            return Place { height: 1.3, light, density: if hall { 2.0 } else { 1.0 }, ..open(Cover::Roof, number) };
        }
        let depth = self.water_depth(x, y);
        if depth > 0.0 {
            return Place { density: depth, ..open(Cover::Water, 1) };
        }
        let verge = road.min(lane);
        let (inside, trees, stand) = self.forest(x, y);
        if inside > 0.0 && verge > 0.8 {
            return self.tree(x, y, trees, stand);
        }
        if let Some(garden) = self.garden(x, y) {
            return garden;
        }
        // Verges of roads and banks of the water are grass.
        if verge < 0.7 || depth > -2.2 {
            return open(Cover::Meadow, 0);
        }
        self.field(x, y)
    }

    fn tree(&self, x: f64, y: f64, cover: Cover, stand: u32) -> Place {
        let size = if cover == Cover::Conifer { 1.3 } else { 2.1 };
        let crown = crown(self.seed ^ 0x0F1, x, y, size);
        let facing = (crown.dx * SUN.0 + crown.dy * SUN.1) / size;
        // The side of a crown that faces the sun is bright, the seams between crowns are dark.
        let light = (0.86 + 0.62 * facing) * (0.55 + 0.45 * (3.0 * crown.inside).min(1.0));
        let own = 0.88 + 0.24 * ((crown.id >> 40) as f64 / (1u64 << 24) as f64);
        Place {
            cover,
            object: stand,
            height: 2.2 + 1.2 * crown.inside,
            light: (light * own).clamp(0.25, 1.35),
            density: 1.0,
        }
    }

    /// The village between and behind the houses: lawns with single trees.
    fn garden(&self, x: f64, y: f64) -> Option<Place> {
        let near = self.houses.iter().any(|house| house.contains(x, y, if house.half.1 > 2.5 { 1.6 } else { 4.2 }));
        near.then(|| {
            let crown = crown(self.seed ^ 0x0F5, x, y, 2.4);
            if crown.id % 10 < 3 && crown.inside > 0.12 {
                let facing = (crown.dx * SUN.0 + crown.dy * SUN.1) / 2.4;
                return Place { cover: Cover::Garden, object: 2, height: 0.9, light: 0.8 + 0.5 * facing, density: 1.6 };
            }
            let density = 0.75 + 0.35 * fractal(self.seed ^ 0x0F6, x, y, 5.0, 2);
            Place { cover: Cover::Garden, object: 1, height: 0.0, light: 1.0, density }
        })
    }

    fn field(&self, x: f64, y: f64) -> Place {
        let quarter = usize::from(self.to_river(x, y) > 0.0) + 2 * usize::from(self.to_road(x, y) > 0.0);
        let meadow = Place { cover: Cover::Meadow, object: 0, height: 0.0, light: 1.0, density: 0.9 };
        let fields = &self.quarters[quarter];
        let found = fields.iter().enumerate().find_map(|(number, field)| {
            let inside = field.inside(x, y);
            (inside >= 0.0).then_some((number, field, inside))
        });
        let Some((number, field, inside)) = found else { return meadow };
        // A strip of grass marks the border of a parcel.
        if inside < 0.4 {
            return meadow;
        }
        let across = x * field.across.0 + y * field.across.1;
        let line = |period: f64, width: f64| (across / period).rem_euclid(1.0) * period < width;
        let density = match field.cover {
            // Tramlines of the sprayer every 24 m, and turned rows at the headland.
            Cover::Wheat | Cover::Rapeseed if line(4.8, 0.5) || (2.6..3.1).contains(&inside) => 0.45,
            // Wide rows, seen as a fine beat.
            Cover::Maize => 1.0 + 0.22 * (across * 2.1).sin(),
            // Swaths of the last cut.
            Cover::Meadow => 1.0 + 0.12 * (across * 1.25).sin(),
            // Furrows.
            Cover::Soil => 1.0 + 0.07 * (across * 1.7).sin(),
            _ => 1.0,
        };
        let object = 10 + 100 * quarter as u32 + number as u32;
        let height = if field.cover == Cover::Maize { 0.15 } else { 0.0 };
        Place { cover: field.cover, object, height, light: 1.0, density }
    }

    /// Cuts every quarter into parcels and hands out the crops such that all get their share of the land.
    fn lay_out_fields(&mut self) {
        let side = SIDE as f64;
        let square = vec![(-8.0, -8.0), (side + 8.0, -8.0), (side + 8.0, side + 8.0), (-8.0, side + 8.0)];
        let mut areas = [
            (Cover::Wheat, 0.0),
            (Cover::Maize, 0.0),
            (Cover::Rapeseed, 0.0),
            (Cover::Soil, 0.0),
            (Cover::Meadow, 0.0),
        ];
        // Meadows come along the river anyway.
        areas[4].1 = 900.0;
        for quarter in 0..4 {
            let seed = self.seed ^ (0x1F1 + quarter as u64);
            let angle = between(seed, 0, 0, 0.05, 0.32) + if quarter % 2 == 0 { -0.34 } else { 0.0 };
            let mut parcels = Vec::new();
            split(square.clone(), angle, seed, 1, &mut parcels);
            for (number, corners) in parcels.into_iter().enumerate() {
                let visible = self.visible(&corners, quarter);
                if visible < 4.0 {
                    continue;
                }
                // The crop with the least land so far, give or take a little.
                let luck = |crop: usize| 250.0 * unit(seed ^ 0xC409, number as i64, crop as i64);
                let order = |a: &usize, b: &usize| (areas[*a].1 + luck(*a)).total_cmp(&(areas[*b].1 + luck(*b)));
                let crop = (0..areas.len()).min_by(order).unwrap_or(0);
                areas[crop].1 += visible;
                self.quarters[quarter].push(Field { across: across_rows(&corners), corners, cover: areas[crop].0 });
            }
        }
    }

    /// Area of a parcel that is really a field, by samples every two pixels.
    fn visible(&self, corners: &[(f64, f64)], quarter: usize) -> f64 {
        let field = Field { corners: corners.to_vec(), cover: Cover::Soil, across: (1.0, 0.0) };
        let mut area = 0.0;
        for i in 0..SIDE / 2 {
            for j in 0..SIDE / 2 {
                let (x, y) = (2.0 * j as f64 + 1.0, 2.0 * i as f64 + 1.0);
                let here = usize::from(self.to_river(x, y) > 0.0) + 2 * usize::from(self.to_road(x, y) > 0.0);
                if here == quarter
                    && field.inside(x, y) > 0.0
                    && self.forest(x, y).0 < 0.0
                    && self.water_depth(x, y) < -2.0
                {
                    area += 4.0;
                }
            }
        }
        area
    }

    /// Houses line the roads round the crossing, some stand behind, halls at the edge of the village.
    fn build_village(&mut self) {
        let (cx, cy) = self.crossing();
        let seed = self.seed ^ 0x2A2;
        let mut plots = Vec::new();
        for number in -6i64..=6 {
            for (side, row) in [(-1.0, 0), (1.0, 0), (-1.0, 1), (1.0, 1)] {
                let key = 8 * row + i64::from(side > 0.0);
                let offset = side * (ROAD_HALF_WIDTH + between(seed, number, key + 100, 2.7, 3.4) + 6.2 * row as f64);
                let along = 5.6 * number as f64 + between(seed, number, key + 200, -0.9, 0.9) + 2.8;
                let (x, y) = (cx + along, self.road.at(cx + along));
                let slope = self.road.slope(x);
                plots.push((number, key, x - offset * slope, y + offset, (1.0, slope), row));
                let (x, y) = (self.lane.at(cy + along), cy + along);
                let slope = self.lane.slope(y);
                plots.push((number, key + 4, x + offset, y - offset * slope, (slope, 1.0), row));
            }
        }
        for (number, key, x, y, direction, row) in plots {
            let distance = ((x - cx).powi(2) + (y - cy).powi(2)).sqrt();
            let built = unit(seed, number, key + 300);
            if distance > 31.0 || built < 0.06 + 0.3 * row as f64 + 0.4 * (distance / 31.0).powi(4) {
                continue;
            }
            let half = (between(seed, number, key + 400, 1.6, 2.3), between(seed, number, key + 500, 1.15, 1.5));
            self.build(x, y, turned(direction, between(seed, number, key + 600, -0.12, 0.12)), half);
        }
        let houses = self.houses.len();
        for hall in 0..40i64 {
            let angle = between(seed, hall, 700, 0.0, std::f64::consts::TAU);
            let far = between(seed, hall, 750, 20.0, 36.0);
            let slope = self.road.slope(cx);
            let half = (between(seed, hall, 800, 4.2, 5.6), between(seed, hall, 900, 2.7, 3.4));
            if self.houses.len() < houses + 4 {
                self.build(cx + far * angle.cos(), cy + far * angle.sin(), turned((1.0, slope), 0.0), half);
            }
        }
    }

    /// Puts up a house unless something is in its way.
    fn build(&mut self, x: f64, y: f64, along: (f64, f64), half: (f64, f64)) {
        let house = House { x, y, along, half };
        let margin = 3.0;
        let room = (margin..SIDE as f64 - margin).contains(&x) && (margin..SIDE as f64 - margin).contains(&y);
        let free = house.outline(0.7).all(|(x, y)| {
            self.to_road(x, y).abs() > ROAD_HALF_WIDTH + 0.2
                && self.to_lane(x, y).abs() > LANE_HALF_WIDTH + 0.2
                && self.water_depth(x, y) < -1.5
                && self.forest(x, y).0 < -1.0
                && self.houses.iter().all(|other| !other.contains(x, y, 0.5))
        });
        let apart = self.houses.iter().all(|other| {
            other.corners(0.0).iter().all(|&(x, y)| !house.contains(x, y, 0.5))
                && !house.contains(other.x, other.y, 0.5)
        });
        if room && free && apart {
            self.houses.push(house);
        }
    }
}
