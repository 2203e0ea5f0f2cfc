//! Colours for classes that come without their own.

/// Twenty colours that stay apart on a map and on a dark or light page: the qualitative order starts with strong,
/// well-separated hues and goes on with lighter and darker ones. None is near black, white or grey, which mean "no
/// class" and "no data".
const COLORS: [[u8; 3]; 20] = [
    [230, 57, 70],
    [46, 134, 222],
    [60, 170, 70],
    [245, 166, 35],
    [142, 68, 173],
    [23, 190, 187],
    [240, 98, 176],
    [139, 90, 43],
    [190, 214, 47],
    [52, 73, 148],
    [255, 127, 80],
    [0, 110, 90],
    [201, 160, 255],
    [176, 28, 86],
    [255, 221, 87],
    [120, 200, 255],
    [128, 128, 0],
    [255, 178, 178],
    [94, 53, 177],
    [144, 238, 144],
];

/// The colour of a class; numbers start at 1.
///
/// Beyond the 20 fixed colours the hue goes round by the golden angle, so that neighbours in number differ in colour.
pub fn class_color(class: usize) -> [u8; 3] {
    let index = class.saturating_sub(1);
    if let Some(color) = COLORS.get(index) {
        return *color;
    }
    let turn = (index as f64 * 0.618_033_988_749_895).fract();
    // Lighter and darker rounds alternate.
    let value = if index.is_multiple_of(2) { 0.9 } else { 0.65 };
    hsv(turn, 0.65, value)
}

/// Hue, saturation and value, 0..=1 each (Smith 1978).
fn hsv(hue: f64, saturation: f64, value: f64) -> [u8; 3] {
    [5.0, 3.0, 1.0].map(|n| {
        let k = (n + hue * 6.0) % 6.0;
        let channel = value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0);
        (channel * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_classes_have_colours_of_their_own() {
        let colors: std::collections::BTreeSet<[u8; 3]> = (1..=255).map(class_color).collect();
        assert_eq!(colors.len(), 255);
        assert_eq!(hsv(0.0, 1.0, 1.0), [255, 0, 0]);
        assert_eq!(hsv(1.0 / 3.0, 1.0, 1.0), [0, 255, 0]);
        assert_eq!(hsv(2.0 / 3.0, 1.0, 1.0), [0, 0, 255]);
    }

    #[test]
    fn the_first_colours_are_far_apart() {
        let distance = |a: [u8; 3], b: [u8; 3]| (0..3).map(|i| (i32::from(a[i]) - i32::from(b[i])).pow(2)).sum::<i32>();
        for (i, &a) in COLORS.iter().enumerate() {
            for &b in &COLORS[..i] {
                assert!(distance(a, b) > 30 * 30, "{a:?} {b:?}");
            }
            // Away from greys: black, white and grey mean no class.
            let (low, high) = (a.iter().min(), a.iter().max());
            assert!(high.zip(low).is_some_and(|(high, low)| high - low > 60), "{a:?}");
        }
    }
}
