//! Marking pixels by hand: the brush of the page. Class 0 erases.

use thiserror::Error;

use super::LabelMap;

/// The class is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("class {class} does not exist, there are {classes} classes; add the class first")]
pub struct UnknownClass {
    pub class: u8,
    pub classes: usize,
}

impl LabelMap {
    /// Sets the class of every pixel whose centre lies within `radius` pixels of (`row`, `col`); radius 0 is one pixel.
    /// What lies outside the map is left out. Returns how many pixels changed.
    ///
    /// # Errors
    /// [`UnknownClass`].
    pub fn paint_disc(&mut self, row: f64, col: f64, radius: f64, class: u8) -> Result<usize, UnknownClass> {
        self.paint_line((row, col), (row, col), radius, class)
    }

    /// Sets the class of every pixel whose centre lies within `radius` pixels of the line between two points (row, col):
    /// a stroke of the brush between two pointer events. Returns how many pixels changed.
    ///
    /// # Errors
    /// [`UnknownClass`].
    pub fn paint_line(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        radius: f64,
        class: u8,
    ) -> Result<usize, UnknownClass> {
        if usize::from(class) > self.classes.len() {
            return Err(UnknownClass { class, classes: self.classes.len() });
        }
        if ![from.0, from.1, to.0, to.1].iter().all(|value| value.is_finite()) {
            return Ok(0);
        }
        // A brush thinner than half a pixel's diagonal would leave gaps in a stroke; a click with it means one pixel.
        let thin = !(radius.is_finite() && radius > 0.71);
        let radius = if thin { 0.71 } else { radius };
        let (from, to, reach) = if thin && from == to {
            let pixel = (from.0.round(), from.1.round());
            (pixel, pixel, 0.0)
        } else {
            (from, to, radius)
        };
        let range = |a: f64, b: f64, len: usize| {
            let first = (a.min(b) - reach).ceil().max(0.0) as usize;
            let last = ((a.max(b) + reach).floor() + 1.0).clamp(0.0, len as f64) as usize;
            first..last
        };
        let (dr, dc) = (to.0 - from.0, to.1 - from.1);
        let length2 = dr * dr + dc * dc;
        let mut changed = 0;
        for r in range(from.0, to.0, self.rows) {
            for c in range(from.1, to.1, self.cols) {
                let (pr, pc) = (r as f64 - from.0, c as f64 - from.1);
                let along = if length2 > 0.0 { ((pr * dr + pc * dc) / length2).clamp(0.0, 1.0) } else { 0.0 };
                let (er, ec) = (pr - along * dr, pc - along * dc);
                if er * er + ec * ec > radius * radius {
                    continue;
                }
                if let Some(label) = self.labels.get_mut(r * self.cols + c) {
                    changed += usize::from(*label != class);
                    *label = class;
                }
            }
        }
        Ok(changed)
    }

    /// Pixels of each class; entry 0 counts the unlabelled ones. Numbers beyond the class table are not counted.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len() + 1];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(usize::from(label)) {
                *count += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::super::Class;
    use super::*;

    fn empty(rows: usize, cols: usize) -> LabelMap {
        let classes = ["a", "b"].map(|name| Class { name: name.to_owned(), color: [0; 3] }).to_vec();
        LabelMap { rows, cols, labels: vec![0; rows * cols], classes }
    }

    #[test]
    fn a_click_marks_one_pixel_and_a_disc_a_disc() {
        let mut map = empty(9, 11);
        assert_eq!(map.paint_disc(2.0, 3.0, 0.0, 1), Ok(1));
        assert_eq!(map.labels[2 * 11 + 3], 1);
        assert_eq!(map.paint_disc(5.0, 5.0, 2.0, 2), Ok(13));
        assert_eq!(map.counts(), [9 * 11 - 14, 1, 13]);
        assert_eq!(map.paint_disc(5.0, 5.0, 2.0, 2), Ok(0));
        assert_eq!(map.paint_disc(5.0, 5.0, 30.0, 0), Ok(14));
    }

    #[test]
    fn a_stroke_has_no_gaps() {
        let mut map = empty(30, 30);
        map.paint_line((1.0, 2.0), (28.0, 17.0), 0.0, 1).expect("class 1 exists");
        for row in 1..=28 {
            let touched = (0..30).filter(|col| map.labels[row * 30 + col] == 1).count();
            assert!((1..=3).contains(&touched), "row {row} has {touched}");
        }
    }

    #[test]
    fn the_border_clips_and_nonsense_changes_nothing() {
        let mut map = empty(4, 4);
        assert_eq!(map.paint_disc(-1.0, -1.0, 2.0, 1), Ok(1));
        assert_eq!(map.paint_disc(1e300, 0.0, 5.0, 1), Ok(0));
        assert_eq!(map.paint_disc(f64::NAN, 0.0, 5.0, 1), Ok(0));
        assert_eq!(map.paint_disc(0.0, 0.0, 1.0, 3), Err(UnknownClass { class: 3, classes: 2 }));
    }
}
