//! Which part of the scene is on the screen, and which pixels a stroke touches. Pure arithmetic.

/// `x = left + col · scale`, `y = top + row · scale`, in CSS pixels of the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Viewport {
    /// CSS pixels a scene pixel.
    pub scale: f64,
    pub left: f64,
    pub top: f64,
    /// Size of the canvas in CSS pixels.
    pub width: f64,
    pub height: f64,
    /// Rows and columns of the scene.
    pub rows: usize,
    pub cols: usize,
    /// The user has moved or zoomed: a resized window keeps the place instead of fitting again.
    pub moved: bool,
}

const LARGEST_SCALE: f64 = 64.0;
/// Empty border around a fitted scene in CSS pixels.
const BORDER: f64 = 16.0;

impl Viewport {
    /// A new scene: fits it.
    pub fn forget(&mut self, rows: usize, cols: usize) {
        (self.rows, self.cols) = (rows, cols);
        self.fit();
    }

    /// The canvas has a new size.
    pub fn resize(&mut self, width: f64, height: f64) {
        let (dx, dy) = ((width - self.width) / 2.0, (height - self.height) / 2.0);
        (self.width, self.height) = (width, height);
        if self.moved {
            self.left += dx;
            self.top += dy;
            self.keep_in_sight();
        } else {
            self.fit();
        }
    }

    fn fitting_scale(&self) -> f64 {
        let across = (self.width - 2.0 * BORDER).max(1.0) / self.cols.max(1) as f64;
        let down = (self.height - 2.0 * BORDER).max(1.0) / self.rows.max(1) as f64;
        across.min(down).min(LARGEST_SCALE)
    }

    /// The whole scene, centred.
    pub fn fit(&mut self) {
        self.scale = self.fitting_scale();
        self.left = (self.width - self.scale * self.cols as f64) / 2.0;
        self.top = (self.height - self.scale * self.rows as f64) / 2.0;
        self.moved = false;
    }

    /// Zooms so that the point (x, y) stays where it is.
    pub fn zoom_at(&mut self, x: f64, y: f64, factor: f64) {
        let smallest = self.fitting_scale().min(1.0) / 2.0;
        let scale = (self.scale * factor).clamp(smallest, LARGEST_SCALE);
        let ratio = scale / self.scale;
        self.left = x - (x - self.left) * ratio;
        self.top = y - (y - self.top) * ratio;
        self.scale = scale;
        self.moved = true;
        self.keep_in_sight();
    }

    pub fn zoom(&mut self, factor: f64) {
        self.zoom_at(self.width / 2.0, self.height / 2.0, factor);
    }

    pub fn pan(&mut self, dx: f64, dy: f64) {
        self.left += dx;
        self.top += dy;
        self.moved = true;
        self.keep_in_sight();
    }

    /// At least a corner of the scene stays visible.
    fn keep_in_sight(&mut self) {
        let margin = 48.0_f64;
        let (wide, high) = (self.scale * self.cols as f64, self.scale * self.rows as f64);
        let clamp = |start: f64, extent: f64, room: f64| {
            let margin = margin.min(extent).min(room);
            start.clamp(margin - extent, room - margin)
        };
        self.left = clamp(self.left, wide, self.width);
        self.top = clamp(self.top, high, self.height);
    }

    /// The scene pixel (row, col) under a point of the canvas.
    pub fn pixel(&self, x: f64, y: f64) -> Option<(usize, usize)> {
        let (row, col) = (((y - self.top) / self.scale).floor(), ((x - self.left) / self.scale).floor());
        let inside = row >= 0.0 && col >= 0.0 && row < self.rows as f64 && col < self.cols as f64;
        inside.then_some((row as usize, col as usize))
    }

    /// Moves so that a pixel is on the canvas.
    pub fn reveal(&mut self, row: usize, col: usize) {
        let (x, y) = (self.left + (col as f64 + 0.5) * self.scale, self.top + (row as f64 + 0.5) * self.scale);
        let dx = x.clamp(0.0, self.width) - x;
        let dy = y.clamp(0.0, self.height) - y;
        if dx != 0.0 || dy != 0.0 {
            self.pan(dx, dy);
        }
    }
}

/// Pixels (row, col) of a straight line, both ends included (Bresenham).
pub fn line(from: (usize, usize), to: (usize, usize)) -> Vec<(usize, usize)> {
    let (mut row, mut col) = (from.0 as i64, from.1 as i64);
    let (end_row, end_col) = (to.0 as i64, to.1 as i64);
    let (rows, cols) = ((end_row - row).abs(), -(end_col - col).abs());
    let (step_row, step_col) = ((end_row - row).signum(), (end_col - col).signum());
    let mut error = rows + cols;
    let mut pixels = vec![(row as usize, col as usize)];
    while (row, col) != (end_row, end_col) {
        let twice = 2 * error;
        if twice >= cols {
            error += cols;
            row += step_row;
        }
        if twice <= rows {
            error += rows;
            col += step_col;
        }
        pixels.push((row as usize, col as usize));
    }
    pixels
}

/// Pixels of a disc of `size` pixels across, clipped to the scene.
pub fn disc(row: usize, col: usize, size: usize, rows: usize, cols: usize) -> Vec<(usize, usize)> {
    let radius = size as f64 / 2.0;
    // An even brush is centred on the corner between four pixels.
    let centre = if size.is_multiple_of(2) { 0.5 } else { 0.0 };
    let reach = (size / 2) as i64 + 1;
    let mut pixels = Vec::new();
    for dr in -reach..=reach {
        for dc in -reach..=reach {
            let distance = (dr as f64 - centre).hypot(dc as f64 - centre);
            let (r, c) = (row as i64 + dr, col as i64 + dc);
            if distance <= radius && r >= 0 && c >= 0 && r < rows as i64 && c < cols as i64 {
                pixels.push((r as usize, c as usize));
            }
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted() -> Viewport {
        let mut viewport = Viewport { width: 632.0, height: 432.0, ..Viewport::default() };
        viewport.forget(100, 200);
        viewport
    }

    #[test]
    fn a_fitted_scene_is_centred_and_whole() {
        let viewport = fitted();
        assert_eq!((viewport.scale, viewport.left, viewport.top), (3.0, 16.0, 66.0));
        assert_eq!(viewport.pixel(16.0, 66.0), Some((0, 0)));
        assert_eq!(viewport.pixel(615.9, 365.9), Some((99, 199)));
        assert_eq!(viewport.pixel(15.9, 66.0), None);
        assert_eq!(viewport.pixel(616.1, 66.0), None);
    }

    #[test]
    fn zooming_keeps_the_point_and_its_limits() {
        let mut viewport = fitted();
        let before = viewport.pixel(300.0, 200.0);
        viewport.zoom_at(300.0, 200.0, 4.0);
        assert_eq!(viewport.scale, 12.0);
        assert_eq!(viewport.pixel(300.0, 200.0), before);
        viewport.zoom(1e9);
        assert_eq!(viewport.scale, LARGEST_SCALE);
        viewport.zoom(1e-9);
        assert_eq!(viewport.scale, 0.5);
    }

    #[test]
    fn the_scene_cannot_be_lost() {
        let mut viewport = fitted();
        viewport.pan(1e6, -1e6);
        assert_eq!((viewport.left, viewport.top), (584.0, -252.0));
        viewport.reveal(0, 199);
        assert!(viewport.left + 199.5 * viewport.scale <= viewport.width && viewport.top + 1.5 >= 0.0);
    }

    #[test]
    fn a_moved_view_keeps_its_centre_when_the_window_changes() {
        let mut viewport = fitted();
        viewport.zoom(2.0);
        let centre = viewport.pixel(316.0, 216.0);
        viewport.resize(832.0, 532.0);
        assert_eq!(viewport.pixel(416.0, 266.0), centre);
    }

    #[test]
    fn strokes_have_no_holes() {
        let pixels = line((2, 3), (7, 15));
        assert_eq!((pixels[0], pixels[pixels.len() - 1]), ((2, 3), (7, 15)));
        for pair in pixels.windows(2) {
            assert!(pair[0].0.abs_diff(pair[1].0) <= 1 && pair[0].1.abs_diff(pair[1].1) <= 1);
        }
        assert_eq!(line((4, 4), (4, 4)), [(4, 4)]);
    }

    #[test]
    fn discs_have_the_size_they_say() {
        assert_eq!(disc(5, 5, 1, 10, 10), [(5, 5)]);
        assert_eq!(disc(5, 5, 2, 10, 10).len(), 4);
        assert_eq!(disc(5, 5, 3, 10, 10).len(), 9);
        assert_eq!(disc(0, 0, 3, 10, 10), [(0, 0), (0, 1), (1, 0), (1, 1)]);
        assert_eq!(disc(5, 5, 5, 10, 10).len(), 21);
        let across = disc(20, 20, 9, 40, 40).iter().filter(|pixel| pixel.0 == 20).count();
        assert_eq!(across, 9);
    }
}
