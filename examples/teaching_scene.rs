//! Draws the teaching scene: `cargo run --no-default-features --example teaching_scene -- FOLDER [SEED]`.

use sigmascope::scene::{Cube, TEACHING_CLASSES, TeachingScene, Window};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = std::path::PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned()));
    let seed = arguments.next().map_or(Ok(0), |seed| seed.parse())?;
    let scene = TeachingScene::new(seed);
    let info = scene.info();
    let wavelengths = info.wavelengths_nm.clone().unwrap_or_default();
    let nearest = |nm: f64| {
        (0..info.bands)
            .min_by(|a, b| (wavelengths[*a] - nm).abs().total_cmp(&(wavelengths[*b] - nm).abs()))
            .unwrap_or(0)
    };
    for (name, bands) in
        [("natural", [650.0, 550.0, 460.0]), ("infrared", [850.0, 650.0, 550.0]), ("swir", [1650.0, 850.0, 2200.0])]
    {
        let mut planes = Vec::new();
        for nm in bands {
            let band = nearest(nm);
            let window = Window { rows: 0..info.rows, cols: 0..info.cols, bands: band..band + 1 };
            let mut values = vec![0.0; window.len()];
            scene.read(&window, &mut values)?;
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            println!("{nm} nm: {:?}", [1, 10, 50, 90, 98].map(|percent| sorted[values.len() * percent / 100]));
            let (low, high) = (sorted[values.len() / 50], sorted[values.len() * 49 / 50]);
            planes.push(
                values.iter().map(|v| (255.0 * (v - low) / (high - low)).clamp(0.0, 255.0) as u8).collect::<Vec<_>>(),
            );
        }
        save(&folder.join(format!("{name}_{seed}.png")), info.cols, |pixel| {
            [planes[0][pixel], planes[1][pixel], planes[2][pixel]]
        })?;
    }
    save(&folder.join(format!("truth_{seed}.png")), info.cols, |pixel| match scene.truth()[pixel] {
        0 => [0; 3],
        class => TEACHING_CLASSES[usize::from(class) - 1].1,
    })?;
    for (number, (name, _)) in (1..).zip(TEACHING_CLASSES) {
        println!("{name}: {}", scene.truth().iter().filter(|class| **class == number).count());
    }
    Ok(())
}

/// Writes a picture, each pixel 6 × 6 large.
fn save(
    path: &std::path::Path,
    side: usize,
    color: impl Fn(usize) -> [u8; 3],
) -> Result<(), Box<dyn std::error::Error>> {
    let large = 6 * side;
    let mut encoder = png::Encoder::new(std::fs::File::create(path)?, large as u32, large as u32);
    encoder.set_color(png::ColorType::Rgb);
    let rgb: Vec<u8> = (0..large * large).flat_map(|at| color(at / large / 6 * side + at % large / 6)).collect();
    Ok(encoder.write_header()?.write_image_data(&rgb)?)
}
