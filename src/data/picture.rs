//! Image files, decoded within limits and brought into the shape that a model takes.

use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageBuffer, Rgb, RgbImage};

use super::dataset::ImageShape;
use super::digit;
use super::identity::Preprocessing;
use crate::error::{Error, Result};

/// The most bytes that a decoded image may have.
#[cfg(feature = "native")]
const MOST_BYTES: u64 = 256 << 20;

/// Decodes a PNG, JPEG, WebP or BMP file of up to 16,384 pixels a side and 256 MB, and turns it as its EXIF data says.
///
/// # Errors
/// Io, or invalid data naming the file.
#[cfg(feature = "native")]
pub fn open_image(path: &std::path::Path) -> Result<DynamicImage> {
    let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
    decode_image(std::io::BufReader::new(file), path)
}

/// Decodes an image as [`open_image`] does; `path` is what errors call it.
#[cfg(feature = "native")]
pub(super) fn decode_image(
    from: impl std::io::BufRead + std::io::Seek,
    path: &std::path::Path,
) -> Result<DynamicImage> {
    use image::metadata::Orientation;
    use image::{ImageDecoder, ImageFormat, ImageReader, Limits};
    const EXPECTED: &str = "expected a PNG, JPEG, WebP or BMP image";
    let mut reader = ImageReader::new(from).with_guessed_format().map_err(|e| Error::io("read", path, e))?;
    let kind = match reader.format() {
        Some(ImageFormat::Png) => "PNG",
        Some(ImageFormat::Jpeg) => "JPEG",
        Some(ImageFormat::WebP) => "WebP",
        Some(ImageFormat::Bmp) => "BMP",
        Some(other) => {
            return Err(Error::invalid_file(path, format!("{EXPECTED}, found {}", other.to_mime_type())));
        }
        None => return Err(Error::invalid_file(path, format!("{EXPECTED}, found another kind of file"))),
    };
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(16_384), Some(16_384));
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits.clone());
    let decoded = reader.into_decoder().and_then(|mut decoder| {
        limits.reserve(decoder.total_bytes())?;
        decoder.set_limits(limits)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms); // what cannot be read says nothing
        Ok((DynamicImage::from_decoder(decoder)?, orientation))
    });
    let (mut image, orientation) = decoded.map_err(|e| {
        let cause = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        Error::invalid_file(path, format!("this {kind} image cannot be read: {cause}")).caused_by(e)
    })?;
    image.apply_orientation(orientation);
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
    if shape.channels == 1 {
        return Ok(middle(on_paper(image).into(), shape).to_luma8().into_raw());
    }
    Ok(planes(&middle(coloured_on_paper(image).into(), shape).to_rgb8()))
}

/// The red, the green and the blue plane of a picture, one behind the other.
pub(super) fn planes(picture: &RgbImage) -> Vec<u8> {
    (0..3).flat_map(|channel| picture.pixels().map(move |pixel| pixel.0[channel])).collect()
}

/// The middle of a picture in the size of a model's images, as torchvision's `Resize` and `CenterCrop` make it: the picture is
/// resized so that its short side fits, with a triangle filter that is as wide as a pixel of the result, and what is too much of
/// the long side is cut off.
pub(super) fn middle(picture: DynamicImage, shape: ImageShape) -> DynamicImage {
    let (fit_width, fit_height) = (shape.width as u32, shape.height as u32);
    let picture = not_too_long(picture, shape);
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let scale = (shape.width as f64 / width).max(shape.height as f64 / height);
    // A hair is added, since a side that fits exactly must not be rounded down.
    let side = |length: f64, fit: u32| ((length * scale + 1e-6) as u32).max(fit);
    let (new_width, new_height) = (side(width, fit_width), side(height, fit_height));
    let resized = match (new_width, new_height) == (picture.width(), picture.height()) {
        true => picture,
        false => picture.resize_exact(new_width, new_height, FilterType::Triangle),
    };
    let start = |length: u32, fit: u32| (f64::from(length - fit) / 2.0).round_ties_even() as u32;
    resized.crop_imm(start(new_width, fit_width), start(new_height, fit_height), fit_width, fit_height)
}

/// The middle of a picture that is much longer than what is wanted of it: to resize a line of pixels as a whole would take more
/// memory than there is.
fn not_too_long(picture: DynamicImage, shape: ImageShape) -> DynamicImage {
    const TIMES: u64 = 8;
    let most = |side: u32, other: u32, fit: usize, other_fit: usize| {
        let wanted = u64::from(other) * fit as u64 * TIMES / other_fit as u64;
        u64::from(side).min(wanted.max(1)) as u32
    };
    let (width, height) = (picture.width(), picture.height());
    let (new_width, new_height) =
        (most(width, height, shape.width, shape.height), most(height, width, shape.height, shape.width));
    if (new_width, new_height) == (width, height) {
        return picture;
    }
    picture.crop_imm((width - new_width) / 2, (height - new_height) / 2, new_width, new_height)
}

/// A value in front of white paper.
fn flat(value: u8, alpha: u8) -> u8 {
    ((u32::from(value) * u32::from(alpha) + 255 * (255 - u32::from(alpha))) / 255) as u8
}

/// Grey; transparent parts count as white paper.
fn on_paper(image: &DynamicImage) -> GrayImage {
    let with_alpha = image.to_luma_alpha8();
    GrayImage::from_fn(image.width(), image.height(), |x, y| {
        let [l, a] = with_alpha.get_pixel(x, y).0;
        image::Luma([flat(l, a)])
    })
}

/// In colour; transparent parts count as white paper.
pub(super) fn coloured_on_paper(image: &DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let with_alpha = image.to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = with_alpha.get_pixel(x, y).0;
        Rgb([red, green, blue].map(|value| flat(value, alpha)))
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
