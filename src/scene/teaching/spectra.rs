//! Reflectance spectra from their physical ingredients.
//!
//! Leaves are Kubelka–Munk layers: absorption by chlorophyll, carotenoids, water and dry matter over scattering gives the
//! reflectance of a thick canopy, which closes over the soil with growing leaf area (Beer's law there and back). So the
//! green peak, the red edge, the near-infrared plateau and the leaf-water bands at 970, 1200, 1450 and 1940 nm come out by
//! themselves and move with the amounts, as in nature. Absorption strengths are rounded from the literature (liquid water:
//! Palmer and Williams 1974, Curcio and Petty 1951); soils and man-made surfaces are smooth curves with the known features:
//! iron oxides, hydroxyl of clay at 2200 nm, hydrocarbons at 2310 nm, carbonate at 2340 nm.

/// Absorption of liquid water, nm and 1/cm.
const WATER: [(f64, f64); 34] = [
    (380.0, 0.0),
    (800.0, 0.02),
    (900.0, 0.07),
    (940.0, 0.25),
    (970.0, 0.47),
    (1000.0, 0.36),
    (1060.0, 0.13),
    (1130.0, 0.45),
    (1160.0, 0.95),
    (1200.0, 1.25),
    (1260.0, 1.05),
    (1300.0, 1.3),
    (1350.0, 3.0),
    (1400.0, 13.0),
    (1450.0, 28.0),
    (1500.0, 18.0),
    (1550.0, 10.5),
    (1600.0, 6.7),
    (1650.0, 5.3),
    (1700.0, 5.5),
    (1750.0, 7.3),
    (1850.0, 10.0),
    (1880.0, 30.0),
    (1930.0, 122.0),
    (1950.0, 110.0),
    (2000.0, 67.0),
    (2050.0, 40.0),
    (2100.0, 25.0),
    (2150.0, 19.0),
    (2200.0, 17.0),
    (2300.0, 22.5),
    (2350.0, 30.0),
    (2400.0, 42.0),
    (2460.0, 58.0),
];

/// Linear interpolation in a table of rising abscissae; constant beyond its ends.
fn interpolate(table: &[(f64, f64)], x: f64) -> f64 {
    let after = table.partition_point(|(at, _)| *at < x);
    match (after.checked_sub(1).and_then(|before| table.get(before)), table.get(after)) {
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (x - x0) / (x1 - x0),
        (Some((_, y)), None) | (None, Some((_, y))) => *y,
        (None, None) => 0.0,
    }
}

/// A bell of height 1.
fn bell(x: f64, centre: f64, width: f64) -> f64 {
    (-0.5 * ((x - centre) / width).powi(2)).exp()
}

/// A smooth step from 0 to 1.
fn step(x: f64, centre: f64, width: f64) -> f64 {
    1.0 / (1.0 + (-(x - centre) / width).exp())
}

/// Soil as it lies bare or shows through plants.
#[derive(Debug, Clone, Copy)]
pub(in crate::scene) struct Soil {
    /// 1 = a medium loam.
    pub brightness: f64,
    /// 0 = dry, 1 = wet.
    pub moisture: f64,
    /// Depth of the clay band at 2200 nm, about 0.05 to 0.15.
    pub clay: f64,
}

/// A canopy. Amounts are relative: 1 = a healthy, dense crop.
#[derive(Debug, Clone, Copy)]
pub(in crate::scene) struct Plants {
    pub chlorophyll: f64,
    pub water: f64,
    /// Brown pigments and dry matter of ripe or dead leaves: 0 = green, 1 = straw.
    pub senescence: f64,
    /// Share of the canopy that is yellow petals.
    pub petals: f64,
    /// Scattering against absorption in the near infrared: lower for needles.
    pub scattering: f64,
    pub leaf_area: f64,
    pub soil: Soil,
}

/// What reflects.
#[derive(Debug, Clone, Copy)]
pub(in crate::scene) enum Surface {
    Soil(Soil),
    Plants(Plants),
    /// Turbidity 0 = clear to 1 = muddy; depth 0 = the wet bank shows to 1 = the bottom is never seen.
    Water {
        turbidity: f64,
        depth: f64,
    },
    /// Red clay tiles; weathering 0 = new to 1 = grey and overgrown.
    Tiles {
        weathering: f64,
    },
    Slate {
        brightness: f64,
    },
    Concrete {
        brightness: f64,
    },
    Asphalt {
        age: f64,
    },
}

/// Curves that do not depend on amounts, one value a band.
pub(in crate::scene) struct Spectra {
    nm: Vec<f64>,
    chlorophyll: Vec<f64>,
    carotenoid: Vec<f64>,
    water: Vec<f64>,
    brown: Vec<f64>,
    cellulose: Vec<f64>,
    /// Dry soil without clay.
    soil: Vec<f64>,
    /// What moisture takes away beside its film, and the clay band.
    damp: Vec<f64>,
    clay: Vec<f64>,
}

impl Spectra {
    pub fn new(nm: &[f64]) -> Self {
        let curve = |f: &dyn Fn(f64) -> f64| nm.iter().map(|nm| f(*nm)).collect();
        Self {
            nm: nm.to_vec(),
            chlorophyll: curve(&|nm| {
                0.95 * bell(nm, 432.0, 32.0)
                    + 0.35 * bell(nm, 470.0, 22.0)
                    + 0.16 * bell(nm, 590.0, 38.0)
                    + 0.4 * bell(nm, 642.0, 24.0)
                    + bell(nm, 676.0, 16.0)
                    + 0.16 * bell(nm, 700.0, 16.0)
                    + 0.15 * bell(nm, 540.0, 45.0)
            }),
            carotenoid: curve(&|nm| 0.7 * bell(nm, 445.0, 28.0) + 0.7 * bell(nm, 485.0, 20.0)),
            water: curve(&|nm| interpolate(&WATER, nm)),
            brown: curve(&|nm| (-(nm - 400.0) / 150.0).exp()),
            cellulose: curve(&|nm| {
                bell(nm, 2100.0, 50.0)
                    + 0.9 * bell(nm, 2310.0, 45.0)
                    + 0.4 * bell(nm, 1730.0, 30.0)
                    + 0.3 * bell(nm, 1490.0, 60.0)
            }),
            soil: curve(&|nm| {
                let slope = 0.05
                    + 0.125 * step(nm, 545.0, 55.0)
                    + 0.14 * step(nm, 900.0, 230.0)
                    + 0.06 * step(nm, 1500.0, 250.0);
                let iron = 0.10 * bell(nm, 480.0, 40.0) + 0.05 * bell(nm, 880.0, 70.0);
                let water = 0.05 * bell(nm, 1420.0, 40.0) + 0.10 * bell(nm, 1930.0, 55.0);
                slope * (1.0 - iron - water - 0.14 * step(nm, 2360.0, 45.0))
            }),
            damp: curve(&|nm| 0.12 * bell(nm, 1420.0, 40.0) + 0.25 * bell(nm, 1930.0, 55.0)),
            clay: curve(&|nm| bell(nm, 2207.0, 28.0)),
        }
    }

    /// Reflectance 0..1 of a surface, a band each.
    pub fn reflectance(&self, surface: Surface) -> Vec<f64> {
        (0..self.nm.len()).map(|band| self.at(surface, band)).collect()
    }

    fn at(&self, surface: Surface, band: usize) -> f64 {
        let nm = self.nm[band];
        match surface {
            Surface::Soil(soil) => self.soil(soil, band),
            Surface::Plants(plants) => self.plants(plants, band),
            Surface::Water { turbidity, depth } => {
                // Pure water absorbs more and more from the red on; what comes back is scattered by particles.
                let absorption = 0.04
                    + 0.25 * bell(nm, 430.0, 60.0) * (0.4 + turbidity)
                    + interpolate(
                        &[
                            (380.0, 0.0),
                            (560.0, 0.06),
                            (600.0, 0.22),
                            (650.0, 0.34),
                            (690.0, 0.5),
                            (720.0, 1.2),
                            (750.0, 2.6),
                            (810.0, 2.2),
                            (850.0, 4.3),
                            (930.0, 15.0),
                            (970.0, 45.0),
                        ],
                        nm,
                    );
                let scattering = 0.012 + 0.06 * turbidity;
                let column = 0.5 * scattering / (scattering + absorption);
                let wet_bank = 0.5 * self.soil(Soil { brightness: 0.8, moisture: 1.0, clay: 0.05 }, band);
                let seen = (-(2.0 + 14.0 * absorption) * depth).exp() * (1.0 - depth);
                0.008 + column * (1.0 - seen) + wet_bank * seen
            }
            Surface::Tiles { weathering } => {
                let fresh = 0.05 + 0.21 * step(nm, 592.0, 22.0) + 0.09 * step(nm, 760.0, 60.0)
                    - 0.035 * bell(nm, 870.0, 70.0)
                    + 0.07 * step(nm, 1300.0, 200.0)
                    - 0.02 * bell(nm, 1930.0, 60.0)
                    - 0.035 * bell(nm, 2205.0, 30.0)
                    - 0.05 * step(nm, 2350.0, 70.0);
                let old = 0.10 + 0.05 * step(nm, 620.0, 60.0) + 0.04 * step(nm, 1200.0, 300.0);
                fresh * (1.0 - weathering) + old * weathering
            }
            Surface::Slate { brightness } => {
                brightness
                    * (0.085 + 0.025 * step(nm, 900.0, 300.0)
                        - 0.012 * bell(nm, 2250.0, 40.0)
                        - 0.008 * bell(nm, 2340.0, 25.0))
            }
            Surface::Concrete { brightness } => {
                let rise = 0.19 + 0.13 * step(nm, 520.0, 60.0) + 0.05 * step(nm, 1100.0, 300.0);
                brightness
                    * (rise
                        - 0.03 * bell(nm, 1430.0, 40.0)
                        - 0.08 * bell(nm, 1940.0, 60.0)
                        - 0.05 * bell(nm, 2340.0, 35.0)
                        - 0.03 * step(nm, 2400.0, 50.0))
            }
            Surface::Asphalt { age } => {
                let rise = 0.045
                    + 0.055 * age
                    + (0.02 + 0.03 * age) * step(nm, 530.0, 40.0)
                    + (0.035 + 0.03 * age) * step(nm, 900.0, 350.0)
                    + 0.02 * step(nm, 1700.0, 250.0);
                rise - 0.012 * (1.0 - age) * bell(nm, 2310.0, 30.0) - 0.006 * bell(nm, 1730.0, 25.0)
            }
        }
    }

    fn soil(&self, soil: Soil, band: usize) -> f64 {
        let features = 1.0 - soil.moisture * self.damp[band] - soil.clay * self.clay[band];
        // A film of water darkens everything and the short-wave infrared most.
        let film = (-soil.moisture * (0.45 + 0.03 * self.water[band].min(25.0))).exp();
        soil.brightness * self.soil[band] * features * film
    }

    fn plants(&self, plants: Plants, band: usize) -> f64 {
        let green = plants.chlorophyll * (1.0 - 0.9 * plants.senescence);
        let dry = 0.25 + 0.75 * plants.senescence;
        let common = 0.12 * self.water[band] * plants.water * (1.0 - 0.85 * plants.senescence)
            + dry * (0.55 * self.cellulose[band])
            + 0.22;
        let leaf = common
            + 13.0 * green * self.chlorophyll[band]
            + 4.0 * green * self.carotenoid[band]
            + (0.35 + 5.0 * plants.senescence) * self.brown[band];
        let petal =
            common + 9.0 * self.carotenoid[band] + 0.8 * self.chlorophyll[band] * green + 1.5 * self.brown[band];
        let thick = thick_layer(leaf / plants.scattering) * (1.0 - plants.petals)
            + thick_layer(petal / plants.scattering) * plants.petals;
        // Light that is absorbed less goes deeper and sees more of the soil.
        let extinction = 0.35 + 0.35 * (1.0 - thick);
        thick + (self.soil(plants.soil, band) - thick) * (-2.0 * extinction * plants.leaf_area).exp()
    }
}

/// Reflectance of an infinitely thick layer from absorption over scattering (Kubelka and Munk, 1931).
fn thick_layer(ratio: f64) -> f64 {
    1.0 + ratio - (ratio * ratio + 2.0 * ratio).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAM: Soil = Soil { brightness: 1.0, moisture: 0.1, clay: 0.1 };
    const CROP: Plants = Plants {
        chlorophyll: 1.0,
        water: 1.0,
        senescence: 0.0,
        petals: 0.0,
        scattering: 1.0,
        leaf_area: 4.0,
        soil: LOAM,
    };

    fn at(surface: Surface, nm: &[f64]) -> Vec<f64> {
        Spectra::new(nm).reflectance(surface)
    }

    #[test]
    fn leaves_look_like_leaves() {
        let r = at(
            Surface::Plants(CROP),
            &[450.0, 550.0, 675.0, 720.0, 800.0, 970.0, 1080.0, 1200.0, 1450.0, 1650.0, 1940.0, 2200.0],
        );
        let [blue, green, red, edge, nir, w970, n1080, w1200, w1450, s1650, w1940, s2200] = r[..] else {
            panic!("12 bands")
        };
        assert!(green > 2.0 * red && green > 2.0 * blue, "green peak: {r:?}");
        assert!(red < 0.06 && edge > 2.0 * red && nir > 2.0 * edge && nir > 0.4, "red edge: {r:?}");
        assert!(
            w970 < nir && w970 < n1080 && w1200 < n1080 && w1450 < 0.5 * s1650 && w1940 < w1450,
            "leaf water: {r:?}"
        );
        assert!(s2200 < s1650 && s1650 < nir, "{r:?}");
    }

    #[test]
    fn the_red_edge_moves_with_chlorophyll() {
        let nm: Vec<f64> = (660..780).map(f64::from).collect();
        let inflection = |chlorophyll: f64| {
            let r = at(Surface::Plants(Plants { chlorophyll, ..CROP }), &nm);
            (1..r.len()).max_by(|a, b| (r[*a] - r[a - 1]).total_cmp(&(r[*b] - r[b - 1]))).map(|i| nm[i])
        };
        assert!(inflection(1.2) > inflection(0.4));
    }

    #[test]
    fn soil_rises_and_has_a_clay_band() {
        let r = at(Surface::Soil(LOAM), &[450.0, 650.0, 1000.0, 1650.0, 2150.0, 2207.0, 2260.0]);
        assert!(r.windows(2).take(3).all(|pair| pair[0] < pair[1]), "{r:?}");
        assert!(r[5] < 0.95 * r[4] && r[5] < 0.95 * r[6], "{r:?}");
        let wet = at(Surface::Soil(Soil { moisture: 1.0, ..LOAM }), &[650.0, 1650.0]);
        assert!(wet[0] < 0.8 * r[1] && wet[1] / r[3] < wet[0] / r[1]);
    }

    #[test]
    fn water_falls_and_is_black_in_the_infrared() {
        let r = at(Surface::Water { turbidity: 0.3, depth: 1.0 }, &[550.0, 650.0, 750.0, 900.0, 1600.0]);
        assert!(r.windows(2).all(|pair| pair[0] >= pair[1]) && r[4] < 0.015, "{r:?}");
    }

    #[test]
    fn every_surface_stays_between_black_and_white() {
        let nm: Vec<f64> = (0..120).map(|band| 380.0 + 2070.0 * f64::from(band) / 119.0).collect();
        let surfaces = [
            Surface::Soil(Soil { brightness: 1.3, moisture: 0.0, clay: 0.15 }),
            Surface::Plants(Plants { senescence: 1.0, ..CROP }),
            Surface::Plants(Plants { petals: 0.5, leaf_area: 0.1, ..CROP }),
            Surface::Water { turbidity: 1.0, depth: 0.0 },
            Surface::Tiles { weathering: 0.0 },
            Surface::Slate { brightness: 0.7 },
            Surface::Concrete { brightness: 1.2 },
            Surface::Asphalt { age: 1.0 },
        ];
        for surface in surfaces {
            assert!(at(surface, &nm).iter().all(|r| (0.001..0.9).contains(r)), "{surface:?}");
        }
    }
}
