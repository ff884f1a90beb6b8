//! Image files, decoded within limits and brought into the shape that a model takes.

use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageBuffer, Rgb, RgbImage};

use super::dataset::ImageShape;
use super::digit;
use super::identity::Preprocessing;
use crate::error::{Error, Result};

/// Decodes a PNG, JPEG or BMP file of up to 16,384 pixels a side and 256 MB.
///
/// # Errors
/// Io, or invalid data naming the file.
#[cfg(feature = "native")]
pub fn open_image(path: &std::path::Path) -> Result<DynamicImage> {
    let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
    decode_image(std::io::BufReader::new(file), path)
}

/// Decodes a PNG, JPEG or BMP image as [`open_image`] does; `path` is what errors call it.
#[cfg(feature = "native")]
pub(super) fn decode_image(
    from: impl std::io::BufRead + std::io::Seek,
    path: &std::path::Path,
) -> Result<DynamicImage> {
    use image::{ImageFormat, ImageReader, Limits};
    let mut reader = ImageReader::new(from).with_guessed_format().map_err(|e| Error::io("read", path, e))?;
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
///
/// # Errors
/// Invalid data: there is no digit where one is expected.
pub fn to_model_input(image: &DynamicImage, shape: ImageShape, of: Preprocessing) -> Result<Vec<u8>> {
    if of == Preprocessing::Digit && shape.channels == 1 {
        let none =
            || Error::invalid("no digit is found: expected one that is darker or lighter than the paper around it");
        return digit::cut_out(&on_paper(image), shape).ok_or_else(none);
    }
    let resized = image.resize_to_fill(shape.width as u32, shape.height as u32, FilterType::Triangle);
    if shape.channels == 1 {
        return Ok(resized.to_luma8().into_raw());
    }
    let rgb = resized.to_rgb8();
    Ok((0..shape.channels).flat_map(|channel| rgb.pixels().map(move |pixel| pixel.0[channel])).collect())
}

/// Grey; transparent parts count as white paper.
fn on_paper(image: &DynamicImage) -> GrayImage {
    let flat = |l: u8, a: u8| ((u32::from(l) * u32::from(a) + 255 * (255 - u32::from(a))) / 255) as u8;
    let with_alpha = image.to_luma_alpha8();
    GrayImage::from_fn(image.width(), image.height(), |x, y| {
        let [l, a] = with_alpha.get_pixel(x, y).0;
        image::Luma([flat(l, a)])
    })
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

    #[test]
    fn an_image_of_the_data_set_is_left_alone() {
        let mut image = GrayImage::new(28, 28);
        image.put_pixel(9, 9, image::Luma([77]));
        assert_eq!(
            to_model_input(&DynamicImage::ImageLuma8(image.clone()), MNIST, Preprocessing::Digit).unwrap(),
            image.into_raw()
        );
    }

    #[test]
    fn odd_images_are_taken() {
        for (width, height) in [(1, 1), (1, 500), (500, 1), (28, 28), (3000, 2)] {
            for value in [0, 128, 255] {
                let image = DynamicImage::ImageLuma8(GrayImage::from_pixel(width, height, image::Luma([value])));
                let digit = to_model_input(&image, MNIST, Preprocessing::Digit);
                let as_it_is = (width, height, value) == (28, 28, 0);
                assert_eq!(digit.is_ok(), as_it_is, "{width}x{height} of {value}");
                let shape = ImageShape { channels: 3, height: 32, width: 32 };
                assert_eq!(to_model_input(&image, shape, Preprocessing::Picture).unwrap().len(), 3072);
            }
        }
    }
}
