//! Digits, cut out of photos and drawings and prepared as MNIST's makers prepared theirs.
//!
//! A photo has noise, shade, the edge of a table and specks. So the paper's brightness is found around every pixel, ink is
//! what differs from it, and of the ink what hangs together and looks like a part of the digit is kept.

use image::GrayImage;
use image::imageops::{FilterType, crop_imm, invert, replace, resize};

use super::dataset::ImageShape;

/// Longer pictures are made this long first; much of a camera's noise goes with that.
const SIDE: u32 = 256;
/// So much coarser the paper is looked at.
const COARSE: u32 = 4;
/// The least difference of ink and paper, of 255, and in standard deviations of the paper.
const CONTRAST: f32 = 12.0;
const DEVIATIONS: f32 = 6.0;
/// A part of less than this share of the largest part is a speck: beside it, and far from it.
const SPECK: f32 = 1.0 / 20.0;
const FAR_SPECK: f32 = 1.0 / 3.0;
/// The least width of a stroke, and the width that a finer one is brought to, as shares of the digit's longer side: those of
/// MNIST's are 0.12 wide.
const FINE: f32 = 0.08;
const STROKE: f32 = 0.11;

/// The digit of a picture as MNIST's makers prepared theirs: white on black, scaled to fit 20x20 of 28x28 with its proportions
/// kept, centred by mass (LeCun, Cortes and Burges); none where there is no ink. An image that already has the data set's
/// size and a black border is left as it is.
pub(super) fn cut_out(image: &GrayImage, shape: ImageShape) -> Option<Vec<u8>> {
    let border = median(&border_of(image));
    if (image.width() as usize, image.height() as usize) == (shape.width, shape.height) && border < 32.0 {
        return Some(image.as_raw().clone());
    }
    let (difference, least) = difference(image);
    let digit = digit_of(difference, least)?;
    let (w, h) = digit.dimensions();
    let scale = (shape.width as f64 * 20.0 / 28.0 / f64::from(w)).min(shape.height as f64 * 20.0 / 28.0 / f64::from(h));
    let fitted = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let digit = resize(&digit, fitted(w), fitted(h), FilterType::Triangle);
    let (cx, cy) = centre_of_mass(&digit);
    let offset_x = (shape.width as f64 / 2.0 - 0.5 - cx).round() as i64;
    let offset_y = (shape.height as f64 / 2.0 - 0.5 - cy).round() as i64;
    let mut canvas = GrayImage::new(shape.width as u32, shape.height as u32);
    replace(&mut canvas, &digit, offset_x, offset_y);
    Some(canvas.into_raw())
}

/// A value for every pixel, row by row.
struct Plane {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Plane {
    fn of(image: &GrayImage) -> Self {
        Self { width: image.width() as usize, height: image.height() as usize, values: values_of(image) }
    }

    fn at(&self, x: usize, y: usize) -> f32 {
        self.values[y * self.width + x]
    }

    /// The smallest or largest value within `radius` of every pixel, along both axes, as `of` takes them.
    fn around(&self, radius: usize, of: fn(f32, f32) -> f32) -> Self {
        let Self { width, height, .. } = *self;
        let line = |from: &dyn Fn(usize) -> f32, length: usize, i: usize| {
            (i.saturating_sub(radius)..(i + radius + 1).min(length)).map(from).reduce(of).unwrap_or_default()
        };
        let pixels = || (0..width * height).map(|i| (i % width, i / width));
        let across = pixels().map(|(x, y)| line(&|x| self.at(x, y), width, x)).collect();
        let across = Self { values: across, ..*self };
        let values = pixels().map(|(x, y)| line(&|y| across.at(x, y), height, y)).collect();
        Self { values, ..*self }
    }
}

/// How much every pixel differs from the paper around it towards ink, and how much ink does at the least.
fn difference(image: &GrayImage) -> (Plane, f32) {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    let scaled = |side: u32| (u64::from(side) * u64::from(SIDE) / u64::from(longer)).max(1) as u32;
    let mut image = match longer > SIDE {
        true => resize(image, scaled(width), scaled(height), FilterType::Triangle),
        false => image.clone(),
    };
    let (paper, all) = (median(&border_of(&image)), values_of(&image));
    let (darkest, lightest) = (at_share(&all, 0.005), at_share(&all, 0.995));
    if paper - darkest > lightest - paper {
        invert(&mut image);
    }
    // No stroke is half as wide as the picture, but shade is: the paper is what is left when strokes are worn away.
    let (width, height) = image.dimensions();
    let coarse = resize(&image, width.div_ceil(COARSE), height.div_ceil(COARSE), FilterType::Triangle);
    let radius = (coarse.width().min(coarse.height()) as usize / 4).max(1);
    let paper = Plane::of(&coarse).around(radius, f32::min).around(radius, f32::max);
    let (plane, coarse) = (Plane::of(&image), COARSE as usize);
    let under = |i: usize| paper.at(i % plane.width / coarse, i / plane.width / coarse);
    let mut values: Vec<f32> = plane.values.iter().enumerate().map(|(i, value)| value - under(i)).collect();
    let middle = median(&values);
    values.iter_mut().for_each(|value| *value -= middle);
    let noise = 1.48 * median(&values.iter().map(|value| value.abs()).collect::<Vec<_>>()); // as a standard deviation
    (Plane { values, ..plane }, CONTRAST.max(DEVIATIONS * noise))
}

/// The ink that belongs to the digit, cropped, full ink as 255; none where there is no ink.
fn digit_of(mut difference: Plane, least: f32) -> Option<GrayImage> {
    let Plane { width, height, .. } = difference;
    let kept = loop {
        let full = at_share(&difference.values, 0.998);
        if full < least {
            return None;
        }
        let parts = parts(&difference, least.max(0.4 * full));
        // What runs along the picture's edge is a table or a shadow.
        let (edge, inside): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| part.on_border > width.min(height) / 4 && part.pixels.len() > 1);
        if edge.is_empty() || inside.is_empty() {
            break if inside.is_empty() { edge } else { inside };
        }
        edge.iter().flat_map(|part| &part.pixels).for_each(|&pixel| difference.values[pixel] = 0.0);
    };
    let largest = kept.iter().max_by_key(|part| part.pixels.len())?;
    let [left, top, right, bottom] = bounds_of(&largest.pixels, width);
    let margin = (right - left).max(bottom - top) / 4;
    let belongs = |part: &&Part| {
        let share = part.pixels.len() as f32 / largest.pixels.len() as f32;
        let [l, t, r, b] = bounds_of(&part.pixels, width);
        let near = l <= right + margin && r + margin >= left && t <= bottom + margin && b + margin >= top;
        share >= if near { SPECK } else { FAR_SPECK }
    };
    let pixels: Vec<usize> = kept.iter().filter(belongs).flat_map(|part| part.pixels.iter().copied()).collect();
    let full = median(&pixels.iter().map(|&pixel| difference.values[pixel]).collect::<Vec<_>>());
    let mut inked = Plane { values: vec![0.0; width * height], ..difference };
    pixels.iter().for_each(|&pixel| inked.values[pixel] = 1.0);
    let outline = pixels.iter().filter(|&&pixel| neighbours(pixel, width, height).any(|n| inked.values[n] == 0.0));
    let stroke = 2.0 * pixels.len() as f32 / (outline.count() as f32).max(1.0);
    // The blurred edge of a stroke belongs to it.
    let near = inked.around(1, f32::max);
    let values = difference.values.iter().zip(&near.values).map(|(value, near)| (value / full).clamp(0.0, 1.0) * near);
    let mut ink = Plane { values: values.collect(), ..inked };
    let [left, top, right, bottom] = bounds_of(&pixels, width);
    let longer = ((right - left).max(bottom - top) + 1) as f32;
    if stroke < FINE * longer {
        ink = ink.around(((STROKE * longer - stroke) / 2.0).round() as usize, f32::max);
    }
    crop(&ink)
}

/// Pixels that hang together.
struct Part {
    pixels: Vec<usize>,
    /// How many of them are on the picture's edge.
    on_border: usize,
}

/// What is above a threshold and hangs together, corners included.
fn parts(plane: &Plane, threshold: f32) -> Vec<Part> {
    let Plane { width, height, ref values } = *plane;
    let mut seen = vec![false; values.len()];
    let mut parts = Vec::new();
    for start in 0..values.len() {
        if seen[start] || values[start] < threshold {
            continue;
        }
        seen[start] = true;
        let mut pixels = vec![start];
        let mut next = 0;
        while let Some(&pixel) = pixels.get(next) {
            next += 1;
            for neighbour in neighbours(pixel, width, height) {
                if !seen[neighbour] && values[neighbour] >= threshold {
                    seen[neighbour] = true;
                    pixels.push(neighbour);
                }
            }
        }
        let on_border = pixels.iter().filter(|&&pixel| is_on_border(pixel, width, height)).count();
        parts.push(Part { pixels, on_border });
    }
    parts
}

/// The pixels around one, corners included.
fn neighbours(pixel: usize, width: usize, height: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (pixel % width, pixel / width);
    let rows = y.saturating_sub(1)..(y + 2).min(height);
    let columns = x.saturating_sub(1)..(x + 2).min(width);
    rows.flat_map(move |row| columns.clone().map(move |column| row * width + column)).filter(move |&n| n != pixel)
}

/// Left, top, right and bottom of pixels; of none all 0.
fn bounds_of(pixels: &[usize], width: usize) -> [usize; 4] {
    let (columns, rows) = (|| pixels.iter().map(|pixel| pixel % width), || pixels.iter().map(|pixel| pixel / width));
    [columns().min(), rows().min(), columns().max(), rows().max()].map(Option::unwrap_or_default)
}

/// The smallest box that holds all ink, which is from 0 to 1; none where there is none.
fn crop(ink: &Plane) -> Option<GrayImage> {
    let pixel = |x: u32, y: u32| image::Luma([(255.0 * ink.at(x as usize, y as usize)).round() as u8]);
    let image = GrayImage::from_fn(ink.width as u32, ink.height as u32, pixel);
    let (left, top, right, bottom) = bounds(&image)?;
    Some(crop_imm(&image, left, top, right - left + 1, bottom - top + 1).to_image())
}

/// The smallest box that holds everything that is not black.
fn bounds(image: &GrayImage) -> Option<(u32, u32, u32, u32)> {
    image.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 0).fold(None, |found, (x, y, _)| match found {
        None => Some((x, y, x, y)),
        Some((left, top, right, bottom)) => Some((left.min(x), top.min(y), right.max(x), bottom.max(y))),
    })
}

fn centre_of_mass(image: &GrayImage) -> (f64, f64) {
    let (mut x_sum, mut y_sum, mut mass) = (0.0, 0.0, 0.0);
    for (x, y, pixel) in image.enumerate_pixels() {
        let m = f64::from(pixel.0[0]);
        x_sum += f64::from(x) * m;
        y_sum += f64::from(y) * m;
        mass += m;
    }
    if mass == 0.0 { (0.0, 0.0) } else { (x_sum / mass, y_sum / mass) }
}

fn is_on_border(pixel: usize, width: usize, height: usize) -> bool {
    let (x, y) = (pixel % width, pixel / width);
    x == 0 || y == 0 || x + 1 == width || y + 1 == height
}

fn border_of(image: &GrayImage) -> Vec<f32> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let values = image.as_raw().iter().enumerate();
    values.filter(|(pixel, _)| is_on_border(*pixel, width, height)).map(|(_, &value)| f32::from(value)).collect()
}

fn values_of(image: &GrayImage) -> Vec<f32> {
    image.as_raw().iter().map(|&value| f32::from(value)).collect()
}

/// The value that so large a share of all values lies below; 0 of none.
fn at_share(values: &[f32], share: f64) -> f32 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let at = (share * last as f64).round() as usize;
    *values.to_vec().select_nth_unstable_by(at, f32::total_cmp).1
}

/// The middle one of the values; 0 of none.
fn median(values: &[f32]) -> f32 {
    at_share(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    const MNIST: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

    #[test]
    fn a_drawing_is_inverted_cropped_scaled_and_centred() {
        let bar = |x: u32, y: u32| (300..340).contains(&x) && (50..250).contains(&y);
        let sheet = |ink: u8, paper: u8| {
            let image = GrayImage::from_fn(400, 300, |x, y| image::Luma([if bar(x, y) { ink } else { paper }]));
            digit(&image)
        };
        let image = GrayImage::from_raw(28, 28, sheet(20, 230)).unwrap();
        let (left, top, right, bottom) = bounds(&image).unwrap();
        assert_eq!((right - left + 1, bottom - top + 1), (4, 20));
        let (x, y) = centre_of_mass(&image);
        assert!((x - 13.5).abs() <= 0.5 && (y - 13.5).abs() <= 0.5, "{x} {y}");
        assert_eq!(image.get_pixel(14, 14).0, [255]);
        assert_eq!(sheet(230, 20), image.into_raw(), "white on black is the same digit");
    }

    /// A seven of strokes this wide, on a sheet of `width x height`.
    fn seven(width: u32, height: u32, stroke: u32) -> impl Fn(u32, u32) -> bool {
        let (left, top, side) = (width / 3, height / 4, height / 3);
        move |x, y| {
            let (Some(x), Some(y)) = (x.checked_sub(left), y.checked_sub(top)) else { return false };
            let bar = y < stroke && x < side * 2 / 3;
            let leg = (x + y / 2).abs_diff(side * 2 / 3) < stroke / 2 + 1 && y < side;
            bar || leg
        }
    }

    /// Ink and paper by brightness; the paper's falls by `shade` to the right, and noise of this size is added.
    fn photo(size: [u32; 2], ink: f32, paper: f32, shade: f32, noise: f32) -> GrayImage {
        let ([width, height], mut rng) = (size, ChaCha8Rng::seed_from_u64(3));
        let inked = seven(width, height, height / 30);
        GrayImage::from_fn(width, height, |x, y| {
            let uniform: f32 = (0..12).map(|_| (rng.next_u32() >> 8) as f32 / (1 << 24) as f32).sum::<f32>() - 6.0;
            let light = (if inked(x, y) { ink } else { paper }) - shade * x as f32 / width as f32;
            image::Luma([(light + noise * uniform).clamp(0.0, 255.0) as u8])
        })
    }

    fn digit(image: &GrayImage) -> Vec<u8> {
        cut_out(image, MNIST).expect("there is ink")
    }

    /// The share of the clean digit's brightness that another one differs by.
    fn differs(found: &[u8], clean: &[u8]) -> f32 {
        let sum: f32 = clean.iter().map(|&value| f32::from(value)).sum();
        found.iter().zip(clean).map(|(&a, &b)| f32::from(a.abs_diff(b))).sum::<f32>() / sum
    }

    #[test]
    fn noise_shade_and_the_side_of_the_light_make_no_other_digit() {
        let size = [600, 800];
        let clean = digit(&photo(size, 30.0, 220.0, 0.0, 0.0));
        for (name, ink, paper, shade, noise) in [
            ("noise", 40.0, 180.0, 0.0, 8.0),
            ("shade", 40.0, 200.0, 60.0, 1.0),
            ("shade and noise", 30.0, 200.0, 40.0, 6.0),
            ("pencil", 150.0, 200.0, 20.0, 2.0),
            ("chalk", 220.0, 60.0, 30.0, 6.0),
        ] {
            let share = differs(&digit(&photo(size, ink, paper, shade, noise)), &clean);
            assert!(share < 0.25, "{name}: {share}");
        }
        let large = digit(&photo([1500, 2000], 40.0, 200.0, 50.0, 10.0));
        assert!(differs(&large, &clean) < 0.25);
    }

    #[test]
    fn a_table_and_specks_are_left_out() {
        let mut image = photo([600, 800], 40.0, 200.0, 10.0, 2.0);
        let clean = digit(&image);
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            if x >= 560 || (40..50).contains(&x) && (700..710).contains(&y) {
                pixel.0 = [20];
            }
        }
        assert!(differs(&digit(&image), &clean) < 0.1);
    }

    #[test]
    fn a_fine_line_becomes_a_stroke() {
        let inked = seven(600, 800, 3);
        let image = GrayImage::from_fn(600, 800, |x, y| image::Luma([if inked(x, y) { 30 } else { 220 }]));
        let clean = digit(&photo([600, 800], 30.0, 220.0, 0.0, 0.0));
        let share = differs(&digit(&image), &clean);
        assert!(share < 0.5, "{share}");
    }

    #[test]
    fn empty_paper_is_black() {
        for noise in [0.0, 3.0, 10.0] {
            let image = photo([600, 800], 180.0, 180.0, 40.0, noise);
            assert!(cut_out(&image, MNIST).is_none(), "noise {noise}");
        }
    }
}
