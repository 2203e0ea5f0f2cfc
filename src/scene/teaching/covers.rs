//! The state of what covers the ground: how crops, trees, water and roofs of one kind differ from field to field and from
//! place to place.

use super::landscape::Cover;
use super::noise::{between, fractal, unit};
use super::sensor::Part;
use super::spectra::{Plants, Soil, Surface};

/// The surface of a part at a place: the state of its object, and how that differs from place to place.
pub(super) fn surface(seed: u64, part: &Part, x: f64, y: f64) -> Surface {
    let object = i64::from(part.object);
    let kind = part.cover as i64;
    // The object's own character, and two patterns of the ground that every cover feels: wet hollows and good soil.
    let own = |salt: i64, low: f64, high: f64| between(seed ^ 0x5D1, object, 32 * salt + kind, low, high);
    let wet = fractal(seed ^ 0x5D2, x, y, 22.0, 4);
    let rich = fractal(seed ^ 0x5D3, x, y, 16.0, 4);
    let fine = fractal(seed ^ 0x5D4, x, y, 3.0, 2);
    let soil = Soil {
        brightness: (1.0 + 0.10 * own(9, -1.0, 1.0) - 0.10 * rich + 0.05 * fine).max(0.4),
        moisture: (0.28 + 0.22 * wet + 0.08 * fine).clamp(0.0, 1.0),
        clay: 0.09 + 0.04 * wet,
    };
    let grow = |amount: f64, spread: f64| (amount * (1.0 + spread * (0.7 * rich + 0.3 * fine))).max(0.02);
    match part.cover {
        // Heading wheat begins to turn.
        Cover::Wheat => Surface::Plants(Plants {
            chlorophyll: grow(own(0, 0.62, 0.92), 0.15),
            water: grow(own(1, 0.6, 0.85), 0.1),
            senescence: (own(2, 0.10, 0.38) - 0.08 * rich).clamp(0.0, 0.8),
            petals: 0.0,
            scattering: 0.88,
            leaf_area: grow(own(3, 2.0, 3.2), 0.25) * part.density,
            soil,
        }),
        // Maize has not closed its rows.
        Cover::Maize => Surface::Plants(Plants {
            chlorophyll: grow(own(0, 0.95, 1.15), 0.12),
            water: grow(own(1, 1.0, 1.2), 0.1),
            senescence: 0.0,
            petals: 0.0,
            scattering: 1.0,
            leaf_area: grow(own(3, 0.75, 1.5), 0.35) * part.density,
            soil,
        }),
        Cover::Rapeseed => Surface::Plants(Plants {
            chlorophyll: grow(own(0, 0.75, 1.0), 0.1),
            water: grow(own(1, 1.0, 1.25), 0.08),
            senescence: 0.03,
            petals: (own(2, 0.16, 0.38) + 0.08 * rich).clamp(0.02, 0.7),
            scattering: 1.05,
            leaf_area: grow(own(3, 2.2, 3.4), 0.2) * part.density,
            soil,
        }),
        Cover::Meadow => Surface::Plants(Plants {
            chlorophyll: grow(own(0, 0.7, 1.05), 0.2),
            water: grow(own(1, 0.75, 1.05), 0.15),
            senescence: (own(2, 0.04, 0.22) - 0.12 * wet).clamp(0.0, 0.6),
            petals: 0.02,
            scattering: 0.95,
            leaf_area: grow(own(3, 1.5, 2.8), 0.3) * part.density,
            soil,
        }),
        Cover::Broadleaf => Surface::Plants(Plants {
            chlorophyll: grow(own(0, 1.0, 1.15), 0.15),
            water: grow(1.05, 0.1),
            senescence: 0.05,
            petals: 0.0,
            scattering: 1.0,
            leaf_area: grow(3.6, 0.2),
            soil,
        }),
        // Needles: strong pigments, weak scattering, deep crowns.
        Cover::Conifer => Surface::Plants(Plants {
            chlorophyll: grow(own(0, 1.05, 1.2), 0.15),
            water: grow(1.15, 0.1),
            senescence: 0.08,
            petals: 0.0,
            scattering: 0.72 * (1.0 + 0.12 * fine),
            leaf_area: grow(3.2, 0.2),
            soil,
        }),
        Cover::Garden => Surface::Plants(Plants {
            chlorophyll: grow(0.9, 0.2),
            water: 0.9,
            senescence: 0.1,
            petals: 0.0,
            scattering: 0.95,
            leaf_area: grow(1.6, 0.3) * part.density,
            soil,
        }),
        Cover::Water => Surface::Water {
            turbidity: (0.35 + 0.25 * fractal(seed ^ 0x5D5, x, y, 30.0, 2)).clamp(0.05, 1.0),
            depth: (part.density / 1.8).clamp(0.1, 1.0),
        },
        Cover::Roof => match unit(seed ^ 0x5D6, object, 0) {
            _ if part.density > 1.5 => Surface::Concrete { brightness: own(4, 0.8, 1.15) },
            material if material < 0.62 => Surface::Tiles { weathering: own(5, 0.05, 0.75) },
            material if material < 0.85 => Surface::Slate { brightness: own(6, 0.8, 1.5) },
            _ => Surface::Concrete { brightness: own(4, 0.8, 1.15) },
        },
        Cover::Road => {
            Surface::Asphalt { age: (own(7, 0.35, 0.8) + 0.2 * fractal(seed ^ 0x5D7, x, y, 12.0, 2)).clamp(0.0, 1.0) }
        }
        Cover::Soil => Surface::Soil(Soil {
            brightness: soil.brightness * own(8, 0.85, 1.1) * part.density,
            moisture: (soil.moisture + own(10, -0.12, 0.2)).clamp(0.0, 1.0),
            ..soil
        }),
    }
}
