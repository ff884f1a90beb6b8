//! Pictures of shapes, of several sizes, formats and colours: something to tell apart where there are no photographs.

use std::f64::consts::PI;
use std::path::Path;

use image::{DynamicImage, Rgb, RgbImage};

/// What can be told apart.
pub const SHAPES: [&str; 4] = ["circle", "square", "star", "triangle"];

/// Random numbers from a seed, by splitmix64.
struct Random(u64);

impl Random {
    /// From `low` to below `high`.
    fn within(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        low + (high - low) * ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn colour(&mut self) -> [f64; 3] {
        [0; 3].map(|_| self.within(0.0, 255.0))
    }
}

/// Whether a point, seen from the middle of a shape of radius 1, lies in it.
fn is_inside(shape: usize, x: f64, y: f64) -> bool {
    let (radius, angle) = (x.hypot(y), y.atan2(x));
    // A regular polygon with so many corners.
    let polygon = |corners: f64| {
        let sector = 2.0 * PI / corners;
        radius * (angle.rem_euclid(sector) - sector / 2.0).cos() < (PI / corners).cos()
    };
    match shape {
        0 => radius < 0.9,
        1 => polygon(4.0),
        2 => radius < 0.65 + 0.35 * (5.0 * angle).cos(),
        _ => polygon(3.0),
    }
}

/// One picture: a shape in front of another colour, somewhere, turned, with noise.
pub fn picture(shape: usize, seed: u64, sides: [f64; 2]) -> RgbImage {
    let mut random = Random(seed.wrapping_mul(0x1000_0001).wrapping_add(shape as u64));
    let [width, height] = [0; 2].map(|_| random.within(sides[0], sides[1]));
    let short = width.min(height);
    let radius = short * random.within(0.2, 0.4);
    let (x, y) = (width / 2.0 + short * random.within(-0.1, 0.1), height / 2.0 + short * random.within(-0.1, 0.1));
    let turn = random.within(0.0, 2.0 * PI);
    let (front, mut behind) = (random.colour(), random.colour());
    // The two differ enough to be seen.
    if front.iter().zip(&behind).map(|(a, b)| (a - b).abs()).sum::<f64>() < 150.0 {
        behind = front.map(|value| 255.0 - value);
    }
    RgbImage::from_fn(width as u32, height as u32, |column, row| {
        let (across, down) = ((f64::from(column) - x) / radius, (f64::from(row) - y) / radius);
        let (sin, cos) = turn.sin_cos();
        let inside = is_inside(shape, across * cos - down * sin, across * sin + down * cos);
        let noise = random.within(-20.0, 20.0);
        Rgb(if inside { front } else { behind }.map(|value| (value + noise).clamp(0.0, 255.0) as u8))
    })
}

/// Writes so many pictures of every shape into `folder/SHAPE/`, with sides between these, as PNG and JPEG files in turn.
pub fn write(folder: &Path, of_each: u64, sides: [f64; 2]) -> image::ImageResult<()> {
    for (shape, name) in SHAPES.iter().enumerate() {
        std::fs::create_dir_all(folder.join(name))?;
        for i in 0..of_each {
            let ending = if i % 2 == 0 { "png" } else { "jpg" };
            let picture = DynamicImage::ImageRgb8(picture(shape, i, sides));
            picture.save(folder.join(name).join(format!("{i:05}.{ending}")))?;
        }
    }
    Ok(())
}
