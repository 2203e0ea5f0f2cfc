//! How far from the official numbers, and how far is too far.

use thiserror::Error;

/// What differs from the official numbers, and by how much.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Mismatch(pub String);

/// A mismatch unless `holds`.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Mismatch> {
    if holds { Ok(()) } else { Err(Mismatch(what())) }
}

/// Largest deviation, and ‖ours - theirs‖ / ‖theirs‖.
#[derive(Debug, Clone, Copy)]
pub struct Deviation {
    pub max_abs: f64,
    pub rel_l2: f64,
}

/// Numbers that are not finite deviate without measure, and are refused whatever the limit.
pub fn deviation<T: Copy + Into<f64>>(ours: &[f32], theirs: &[T]) -> Result<Deviation, Mismatch> {
    ensure(ours.len() == theirs.len(), || format!("{} values for {}", ours.len(), theirs.len()))?;
    let (mut max_abs, mut difference, mut norm) = (0f64, 0f64, 0f64);
    for (ours, theirs) in ours.iter().zip(theirs) {
        let theirs: f64 = (*theirs).into();
        let delta = f64::from(*ours) - theirs;
        ensure(delta.is_finite(), || format!("{ours} for {theirs}"))?;
        max_abs = max_abs.max(delta.abs());
        difference += delta * delta;
        norm += theirs * theirs;
    }
    Ok(Deviation { max_abs, rel_l2: (difference / norm.max(f64::MIN_POSITIVE)).sqrt() })
}

impl Deviation {
    /// A mismatch unless the relative L2 deviation is below `limit`.
    pub fn within(self, limit: f64, what: &str) -> Result<Self, Mismatch> {
        ensure(self.rel_l2 < limit, || format!("{what}: {self:?}, limit {limit:e}"))?;
        Ok(self)
    }
}

/// The worst of many comparisons, for the report.
#[derive(Default)]
pub struct Worst(Option<(String, Deviation)>);

impl Worst {
    pub fn see(&mut self, name: &str, deviation: Deviation) {
        if self.0.as_ref().is_none_or(|(_, worst)| deviation.rel_l2 > worst.rel_l2) {
            self.0 = Some((name.into(), deviation));
        }
    }

    pub fn report(&self, what: &str) -> String {
        match &self.0 {
            Some((name, Deviation { max_abs, rel_l2 })) => {
                format!("{what}: worst {name}, rel L2 {rel_l2:.1e}, max abs {max_abs:.1e}")
            }
            None => format!("{what}: nothing was compared"),
        }
    }
}
