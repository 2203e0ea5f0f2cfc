//! From values to places on the plot, and where the ticks are.

/// A linear axis: `from`..`to` in values, `start`..`end` in plot units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    pub from: f64,
    pub to: f64,
    pub start: f64,
    pub end: f64,
}

impl Axis {
    /// An axis over a range of values; a range without extent is widened.
    pub fn new(from: f64, to: f64, start: f64, end: f64) -> Self {
        if !(from.is_finite() && to.is_finite()) {
            return Self { from: 0.0, to: 1.0, start, end };
        }
        if from < to {
            return Self { from, to, start, end };
        }
        let half = if from == 0.0 { 0.5 } else { from.abs() * 0.05 };
        Self { from: from - half, to: from + half, start, end }
    }

    pub fn place(&self, value: f64) -> f64 {
        self.start + (value - self.from) / (self.to - self.from) * (self.end - self.start)
    }

    pub fn value(&self, place: f64) -> f64 {
        self.from + (place - self.start) / (self.end - self.start) * (self.to - self.from)
    }

    /// Round values inside the axis, about `count` of them.
    pub fn ticks(&self, count: usize) -> Vec<f64> {
        let raw = (self.to - self.from) / count.max(1) as f64;
        let power = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= raw * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let first = (self.from / step - 1e-9).ceil() as i64;
        let last = (self.to / step + 1e-9).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }
}

/// Smallest and largest finite value.
pub fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

/// An SVG path through points; a point that is not finite breaks the line.
pub fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut text = String::new();
    let mut pen_down = false;
    for (x, y) in points {
        if !(x.is_finite() && y.is_finite()) {
            pen_down = false;
            continue;
        }
        text.push(if pen_down { 'L' } else { 'M' });
        text.push_str(&format!("{x:.1} {y:.1}"));
        pen_down = true;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::new(380.0, 2450.0, 0.0, 100.0);
        assert_eq!(axis.ticks(5), [500.0, 1000.0, 1500.0, 2000.0]);
        assert_eq!(Axis::new(0.0, 1.0, 0.0, 1.0).ticks(5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(Axis::new(-3.0, 3.0, 0.0, 1.0).ticks(3), [-2.0, 0.0, 2.0]);
    }

    #[test]
    fn places_and_values_are_inverse() {
        let axis = Axis::new(10.0, 30.0, 200.0, 0.0);
        assert_eq!(axis.place(10.0), 200.0);
        assert_eq!(axis.place(30.0), 0.0);
        assert_eq!(axis.value(axis.place(17.0)), 17.0);
    }

    #[test]
    fn a_range_without_extent_still_has_an_axis() {
        assert!(Axis::new(5.0, 5.0, 0.0, 1.0).place(5.0).is_finite());
        assert!(Axis::new(0.0, 0.0, 0.0, 1.0).place(0.0).is_finite());
        assert!(Axis::new(f64::INFINITY, f64::NEG_INFINITY, 0.0, 1.0).place(0.5).is_finite());
    }

    #[test]
    fn gaps_break_the_line() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (3.0, 4.0)];
        assert_eq!(path(points.into_iter()), "M0.0 1.0M2.0 3.0L3.0 4.0");
        assert_eq!(extent([3.0, f64::NAN, -1.0].into_iter()), Some((-1.0, 3.0)));
        assert_eq!(extent([f64::NAN].into_iter()), None);
    }
}
