//! Colours for classes and for lines of plots.

use crate::labels::Class;

/// Distinct on dark and light pictures alike; ordered so that the first few differ most.
const CLASSES: [[u8; 3]; 24] = [
    [230, 159, 0],
    [0, 158, 115],
    [86, 180, 233],
    [213, 94, 0],
    [204, 121, 167],
    [240, 228, 66],
    [0, 114, 178],
    [148, 203, 104],
    [155, 89, 182],
    [239, 118, 122],
    [70, 200, 195],
    [166, 118, 29],
    [117, 112, 230],
    [255, 190, 120],
    [30, 130, 60],
    [231, 41, 138],
    [190, 215, 235],
    [128, 128, 0],
    [180, 60, 50],
    [100, 149, 237],
    [250, 250, 190],
    [120, 90, 70],
    [175, 238, 175],
    [160, 160, 170],
];

/// The first colour that no class has yet.
pub fn unused(classes: &[Class]) -> [u8; 3] {
    CLASSES
        .into_iter()
        .find(|color| classes.iter().all(|class| class.color != *color))
        .unwrap_or(CLASSES[classes.len() % CLASSES.len()])
}

/// Whether white stands out from the colour better than black (luma of ITU-R BT.601).
pub fn is_dark([r, g, b]: [u8; 3]) -> bool {
    299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) < 110_000
}

pub fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Reads `#rrggbb`.
pub fn parse(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    Some([(number >> 16) as u8, (number >> 8) as u8, number as u8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_survive_the_colour_field() {
        for color in CLASSES {
            assert_eq!(parse(&hex(color)), Some(color));
        }
        assert_eq!(parse("#12345"), None);
        assert_eq!(parse("#12345g"), None);
        assert_eq!(parse("red"), None);
    }

    #[test]
    fn yellow_is_light_and_blue_is_dark() {
        assert!(!is_dark([255, 255, 0]) && is_dark([0, 0, 255]));
    }

    #[test]
    fn a_new_class_gets_a_new_colour() {
        let mut classes = Vec::new();
        for _ in 0..CLASSES.len() {
            let color = unused(&classes);
            assert!(classes.iter().all(|class: &Class| class.color != color));
            classes.push(Class { name: String::new(), color });
        }
    }
}
