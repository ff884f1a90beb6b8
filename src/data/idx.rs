//! The IDX format of MNIST: a big-endian header (magic, one size a dimension), then the values as bytes.
//!
//! Source: <http://yann.lecun.com/exdb/mnist/>. Sizes are checked against the bytes at hand before anything
//! is allocated, so a hostile header costs nothing.

use super::dataset::{ImageShape, Label, MAX_IMAGE_SIDE, Split};
use crate::error::{Error, Result};

/// Magic of a three-dimensional array of unsigned bytes: images.
const IMAGES_MAGIC: u32 = 0x0000_0803;
/// Magic of a one-dimensional array of unsigned bytes: labels.
const LABELS_MAGIC: u32 = 0x0000_0801;

/// Parses an IDX file of images; `bytes` is the whole file, uncompressed.
///
/// # Errors
/// Invalid data, naming the offset, what was expected and what was found.
pub fn parse_images(bytes: &[u8]) -> Result<(ImageShape, &[u8])> {
    magic(bytes, IMAGES_MAGIC, "images")?;
    let count = size(bytes, 4, "number of images")?;
    let height = size(bytes, 8, "number of rows")?;
    let width = size(bytes, 12, "number of columns")?;
    for (offset, side) in [(8, height), (12, width)] {
        if side == 0 || side > MAX_IMAGE_SIDE {
            let message = format!("offset {offset}: expected an image side from 1 to {MAX_IMAGE_SIDE}, found {side}");
            return Err(Error::invalid(message));
        }
    }
    let shape = ImageShape { channels: 1, height, width };
    let pixels = body(bytes, 16, count.checked_mul(shape.len()), &format!("{count} images of {height}x{width}"))?;
    Ok((shape, pixels))
}

/// Parses an IDX file of labels; `bytes` is the whole file, uncompressed.
///
/// # Errors
/// Invalid data, naming the offset, what was expected and what was found.
pub fn parse_labels(bytes: &[u8]) -> Result<&[u8]> {
    magic(bytes, LABELS_MAGIC, "labels")?;
    let count = size(bytes, 4, "number of labels")?;
    body(bytes, 8, Some(count), &format!("{count} labels"))
}

/// A split from a file of images and one of labels, both uncompressed, where their counts agree.
///
/// # Errors
/// Invalid data, naming the file, the offset, what was expected and what was found.
pub fn parse_split(images: &[u8], labels: &[u8]) -> Result<Split> {
    let (shape, pixels) = parse_images(images).map_err(|e| e.reword(|m| format!("images: {m}")))?;
    let labels = parse_labels(labels).map_err(|e| e.reword(|m| format!("labels: {m}")))?;
    let count = pixels.len() / shape.len();
    if count != labels.len() {
        return Err(Error::invalid(format!("{count} images but {} labels", labels.len())));
    }
    Ok(Split { pixels: pixels.to_vec().into(), labels: labels.iter().copied().map(Label::from).collect(), shape })
}

fn u32_at(bytes: &[u8], offset: usize, what: &str) -> Result<u32> {
    let four = bytes.get(offset..offset + 4).ok_or_else(|| {
        let end = bytes.len();
        Error::invalid(format!("offset {offset}: expected 4 bytes of {what}, but the file ends after {end} bytes"))
    })?;
    Ok(four.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)))
}

fn size(bytes: &[u8], offset: usize, what: &str) -> Result<usize> {
    u32_at(bytes, offset, what).map(|value| value as usize)
}

fn magic(bytes: &[u8], expected: u32, what: &str) -> Result<()> {
    match u32_at(bytes, 0, "magic number")? {
        found if found == expected => Ok(()),
        found => {
            let message = format!("offset 0: expected magic 0x{expected:08x} (IDX {what}), found 0x{found:08x}");
            Err(Error::invalid(message))
        }
    }
}

fn body<'a>(bytes: &'a [u8], header: usize, expected: Option<usize>, what: &str) -> Result<&'a [u8]> {
    let found = &bytes[header..]; // the header was read, so it is there
    match expected {
        Some(expected) if expected == found.len() => Ok(found),
        Some(expected) => {
            let message = format!("offset {header}: expected {expected} bytes ({what}), found {}", found.len());
            Err(Error::invalid(message))
        }
        None => Err(Error::invalid(format!("offset {header}: {what} are more bytes than can be addressed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn images(count: u32, height: u32, width: u32, body: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in [IMAGES_MAGIC, count, height, width] {
            bytes.extend(value.to_be_bytes());
        }
        bytes.extend((0..body).map(|i| i as u8));
        bytes
    }

    #[test]
    fn a_valid_file_parses() {
        let bytes = images(2, 2, 3, 12);
        let (shape, pixels) = parse_images(&bytes).unwrap();
        assert_eq!(shape, ImageShape { channels: 1, height: 2, width: 3 });
        assert_eq!(pixels, (0..12).collect::<Vec<u8>>());
        assert_eq!(parse_labels(&[0, 0, 8, 1, 0, 0, 0, 2, 7, 9]).unwrap(), [7, 9]);
    }

    #[test]
    fn every_truncation_and_every_extra_byte_is_refused() {
        let whole = images(3, 4, 5, 60);
        for length in 0..whole.len() {
            assert!(parse_images(&whole[..length]).is_err(), "length {length}");
        }
        assert!(parse_images(&[&whole[..], &[0]].concat()).is_err());
        let labels = [0, 0, 8, 1, 0, 0, 0, 2, 7, 9];
        for length in 0..labels.len() {
            assert!(parse_labels(&labels[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn every_flipped_header_bit_is_refused_or_reads_the_same_bytes() {
        let whole = images(4, 4, 4, 64);
        for byte in 0..16 {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[byte] ^= 1 << bit;
                assert!(parse_images(&bytes).is_err(), "byte {byte} bit {bit}");
            }
        }
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let error = parse_images(&images(u32::MAX, 4096, 4096, 0)).unwrap_err();
        assert!(error.to_string().contains("offset 16"), "{error}");
        assert!(parse_images(&images(1, u32::MAX, 1, 0)).unwrap_err().to_string().contains("offset 8"));
        assert!(parse_images(&images(1, 0, 1, 0)).is_err());
    }

    #[test]
    fn counts_must_agree() {
        let error = parse_split(&images(2, 1, 1, 2), &[0, 0, 8, 1, 0, 0, 0, 1, 7]).unwrap_err();
        assert_eq!(error.to_string(), "2 images but 1 labels");
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_images(&bytes);
            let _ = parse_labels(&bytes);
        }

        #[test]
        fn no_header_panics(header in any::<[u32; 3]>(), body in 0usize..64) {
            let _ = parse_images(&images(header[0], header[1], header[2], body));
        }
    }
}
