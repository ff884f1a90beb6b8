//! Image files, decoded within limits and brought into the shape that a model takes.

use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageBuffer, Rgb, RgbImage};

use super::dataset::ImageShape;
use super::identity::Preprocessing;
#[cfg(feature = "native")]
use crate::error::{Error, Result};

/// Decodes a PNG, JPEG or BMP file of up to 16,384 pixels a side and 256 MB.
///
/// # Errors
/// Io, or invalid data naming the file.
#[cfg(feature = "native")]
pub fn open_image(path: &std::path::Path) -> Result<DynamicImage> {
    use std::fs::File;
    use std::io::BufReader;

    use image::{ImageFormat, ImageReader, Limits};
    let open = || ImageReader::new(BufReader::new(File::open(path)?)).with_guessed_format();
    let mut reader = open().map_err(|e| Error::io("read", path, e))?;
    let kind = match reader.format() {
        Some(ImageFormat::Png) => "PNG",
        Some(ImageFormat::Jpeg) => "JPEG",
        Some(ImageFormat::Bmp) => "BMP",
        Some(other) => {
            let message = format!("expected a PNG, JPEG or BMP image, found {}", other.to_mime_type());
            return Err(Error::invalid_file(path, message));
        }
        None => return Err(Error::invalid_file(path, "expected a PNG, JPEG or BMP image, found another kind of file")),
    };
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(16_384), Some(16_384));
    limits.max_alloc = Some(256 << 20);
    reader.limits(limits);
    let image = reader.decode().map_err(|e| {
        let cause = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        Error::invalid_file(path, format!("this {kind} image cannot be read: {cause}")).caused_by(e)
    })?;
    if image.width() == 0 || image.height() == 0 {
        return Err(Error::invalid_file(path, "the image is empty"));
    }
    Ok(image)
}

/// An image as the model's data set has them, channel by channel: a digit as MNIST's makers prepared theirs, of any other
/// picture the middle, resized.
pub fn to_model_input(image: &DynamicImage, shape: ImageShape, of: Preprocessing) -> Vec<u8> {
    if of == Preprocessing::Digit && shape.channels == 1 {
        return to_digit(&on_black(image), shape);
    }
    let resized = image.resize_to_fill(shape.width as u32, shape.height as u32, FilterType::Triangle);
    if shape.channels == 1 {
        return resized.to_luma8().into_raw();
    }
    let rgb = resized.to_rgb8();
    (0..shape.channels).flat_map(|channel| rgb.pixels().map(move |pixel| pixel.0[channel])).collect()
}

/// Grey; transparent parts count as white paper.
fn on_black(image: &DynamicImage) -> GrayImage {
    let flat = |l: u8, a: u8| ((u32::from(l) * u32::from(a) + 255 * (255 - u32::from(a))) / 255) as u8;
    let with_alpha = image.to_luma_alpha8();
    GrayImage::from_fn(image.width(), image.height(), |x, y| {
        let [l, a] = with_alpha.get_pixel(x, y).0;
        image::Luma([flat(l, a)])
    })
}

/// A digit drawn or photographed any way, as MNIST's makers prepared theirs: white on black, scaled to fit 20x20
/// of 28x28 with its proportions kept, centred by mass (LeCun, Cortes and Burges). An image that already has the
/// data set's size and a black border is left as it is.
fn to_digit(image: &GrayImage, shape: ImageShape) -> Vec<u8> {
    let (width, height) = image.dimensions();
    let border: Vec<u8> = image
        .enumerate_pixels()
        .filter(|(x, y, _)| *x == 0 || *y == 0 || x + 1 == width || y + 1 == height)
        .map(|(_, _, pixel)| pixel.0[0])
        .collect();
    let border_mean = border.iter().map(|&p| u32::from(p)).sum::<u32>() / border.len().max(1) as u32;
    if (width as usize, height as usize) == (shape.width, shape.height) && border_mean < 32 {
        return image.as_raw().clone();
    }
    let mut ink = image.clone();
    if border_mean > 127 {
        image::imageops::invert(&mut ink);
    }
    stretch(&mut ink);
    let Some((left, top, right, bottom)) = bounds(&ink) else { return vec![0; shape.len()] };
    let digit = image::imageops::crop_imm(&ink, left, top, right - left + 1, bottom - top + 1).to_image();
    let (w, h) = digit.dimensions();
    let scale = (shape.width as f64 * 20.0 / 28.0 / f64::from(w)).min(shape.height as f64 * 20.0 / 28.0 / f64::from(h));
    let fitted = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let digit = image::imageops::resize(&digit, fitted(w), fitted(h), FilterType::Triangle);
    let (cx, cy) = centre_of_mass(&digit);
    let offset_x = (shape.width as f64 / 2.0 - 0.5 - cx).round() as i64;
    let offset_y = (shape.height as f64 / 2.0 - 0.5 - cy).round() as i64;
    let mut canvas = GrayImage::new(shape.width as u32, shape.height as u32);
    image::imageops::replace(&mut canvas, &digit, offset_x, offset_y);
    canvas.into_raw()
}

/// Spreads the values to 0..=255, and pushes paper texture, the lowest fifth, to 0.
fn stretch(image: &mut GrayImage) {
    let low = image.pixels().map(|p| p.0[0]).min().unwrap_or(0);
    let high = image.pixels().map(|p| p.0[0]).max().unwrap_or(0);
    let range = i32::from(high) - i32::from(low);
    for pixel in image.pixels_mut() {
        let value = if range == 0 { 0 } else { (i32::from(pixel.0[0]) - i32::from(low)) * 255 / range };
        pixel.0[0] = if value < 51 { 0 } else { value as u8 };
    }
}

/// The smallest box that holds all ink.
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

/// One image, brought to `side` pixels a side with hard pixel edges.
pub fn tile_of(image: &[u8], shape: ImageShape, side: u32) -> RgbImage {
    image::imageops::resize(&picture_of(image, shape), side, side, FilterType::Nearest)
}

/// One image of a data set as a picture: grey, or red, green and blue planes. `image` holds `shape.len()` bytes.
pub fn picture_of(image: &[u8], shape: ImageShape) -> RgbImage {
    let plane = shape.height * shape.width;
    ImageBuffer::from_fn(shape.width as u32, shape.height as u32, |x, y| {
        let at = |channel: usize| image[channel * plane + y as usize * shape.width + x as usize];
        if shape.channels == 3 { Rgb([at(0), at(1), at(2)]) } else { Rgb([at(0); 3]) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MNIST: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

    /// A bar, black on white, off centre on a large sheet.
    fn sheet(dark: u8, light: u8) -> DynamicImage {
        let bar = |x: u32, y: u32| (300..340).contains(&x) && (50..250).contains(&y);
        DynamicImage::ImageLuma8(GrayImage::from_fn(400, 300, |x, y| {
            image::Luma([if bar(x, y) { dark } else { light }])
        }))
    }

    #[test]
    fn a_drawing_is_inverted_cropped_scaled_and_centred() {
        let pixels = to_model_input(&sheet(20, 230), MNIST, Preprocessing::Digit);
        let image = GrayImage::from_raw(28, 28, pixels).unwrap();
        let (left, top, right, bottom) = bounds(&image).unwrap();
        assert_eq!((right - left + 1, bottom - top + 1), (4, 20));
        let (x, y) = centre_of_mass(&image);
        assert!((x - 13.5).abs() <= 0.5 && (y - 13.5).abs() <= 0.5, "{x} {y}");
        assert_eq!(image.get_pixel(14, 14).0, [255]);
        assert_eq!(
            to_model_input(&sheet(230, 20), MNIST, Preprocessing::Digit),
            image.into_raw(),
            "white on black is the same digit"
        );
    }

    #[test]
    fn an_image_of_the_data_set_is_left_alone() {
        let mut image = GrayImage::new(28, 28);
        image.put_pixel(9, 9, image::Luma([77]));
        assert_eq!(
            to_model_input(&DynamicImage::ImageLuma8(image.clone()), MNIST, Preprocessing::Digit),
            image.into_raw()
        );
    }

    #[test]
    fn odd_images_are_taken() {
        for (width, height) in [(1, 1), (1, 500), (500, 1), (28, 28), (3000, 2)] {
            for value in [0, 128, 255] {
                let image = DynamicImage::ImageLuma8(GrayImage::from_pixel(width, height, image::Luma([value])));
                assert_eq!(
                    to_model_input(&image, MNIST, Preprocessing::Digit).len(),
                    784,
                    "{width}x{height} of {value}"
                );
                let shape = ImageShape { channels: 3, height: 32, width: 32 };
                assert_eq!(to_model_input(&image, shape, Preprocessing::Picture).len(), 3072);
            }
        }
    }
}
