//! Random changes that only photographs are given, computed on the host: a part of the image, resized to the whole, and other
//! brightness, contrast and saturation; as torchvision's `RandomResizedCrop` and `ColorJitter`.

use super::augmentation::{Change, change};
use crate::data::ImageShape;
use crate::random::{philox, within};
use crate::recipe::Augment;

/// The layers that these draws count as in [`philox`]; see `augmentation`.
const PART_LAYER: u32 = u32::MAX - 2;
const COLOUR_LAYER: u32 = u32::MAX - 3;
/// So many parts are tried; if none lies within the image, the middle is taken.
const TRIES: u32 = 10;
/// Width by height of a part, from this to its inverse.
const LEAST_RATIO: f64 = 3.0 / 4.0;
/// What red, green and blue count for brightness, as in ITU-R BT.601.
const GREY: [f32; 3] = [0.2989, 0.587, 0.114];

/// What is done to one photograph.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Photo {
    change: Change,
    /// Left, top, width and height of the part that is taken, in pixels; else the image is shifted as `change` says.
    part: Option<[f32; 4]>,
    /// Factors on brightness, contrast and saturation, in the order in which they are applied.
    colour: Option<[(Colour, f32); 3]>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Colour {
    Brightness,
    Contrast,
    Saturation,
}

/// From 0 to below 1.
fn unit(bits: u32) -> f64 {
    f64::from(bits) / f64::from(u32::MAX).next_up()
}

impl Photo {
    /// What is done to an image at a position of an epoch's order, which depends on these and the seed alone.
    pub fn new(augment: Augment, shape: ImageShape, seed: u64, epoch: usize, position: usize, image: u32) -> Self {
        let at = |try_: u32, layer| philox([position as u32, try_, epoch as u32, layer], seed);
        let part = (augment.part > 0).then(|| {
            let tries = (0..TRIES).map(|try_| part(augment, shape, at(try_, PART_LAYER)));
            tries.into_iter().flatten().next().unwrap_or([0.0, 0.0, shape.width as f32, shape.height as f32])
        });
        let colour = (augment.jitter > 0).then(|| {
            let [brightness, contrast, saturation, order] = at(0, COLOUR_LAYER);
            let strength = f64::from(augment.jitter) / 100.0;
            let factor = |bits| (1.0 - strength + 2.0 * strength * unit(bits)) as f32;
            let mut steps = [
                (Colour::Brightness, factor(brightness)),
                (Colour::Contrast, factor(contrast)),
                (Colour::Saturation, factor(saturation)),
            ];
            let order = within(6, order);
            steps.rotate_left(order / 2);
            if order % 2 == 1 {
                steps.swap(1, 2);
            }
            steps
        });
        Self { change: change(augment, seed, epoch, position, image), part, colour }
    }

    /// Writes the changed image to `out`; both hold `shape.len()` bytes.
    pub fn apply(&self, image: &[u8], shape: ImageShape, out: &mut [u8]) {
        let ImageShape { height, width, .. } = shape;
        let plane = height * width;
        let mut values: Vec<f32> = Vec::with_capacity(image.len());
        match self.part {
            Some([left, top, part_width, part_height]) => {
                let flip = self.change.flip;
                let columns: Vec<_> = (0..width)
                    .map(|x| if flip { width - 1 - x } else { x })
                    .map(|x| between(x, width, left, part_width))
                    .collect();
                for image in image.chunks_exact(plane) {
                    for y in 0..height {
                        let (above, below, down) = between(y, height, top, part_height);
                        let (above, below) = (&image[above * width..][..width], &image[below * width..][..width]);
                        values.extend(columns.iter().map(|&(left, right, share)| {
                            let row = |row: &[u8]| f32::from(row[left]) * (1.0 - share) + f32::from(row[right]) * share;
                            row(above) * (1.0 - down) + row(below) * down
                        }));
                    }
                }
            }
            None => {
                let columns: Vec<usize> = (0..width).map(|x| self.change.column(x, width)).collect();
                for image in image.chunks_exact(plane) {
                    for y in 0..height {
                        let row = &image[self.change.row(y, height) * width..][..width];
                        values.extend(columns.iter().map(|&x| f32::from(row[x])));
                    }
                }
            }
        }
        for (kind, factor) in self.colour.iter().flatten() {
            kind.apply(*factor, &mut values, plane);
        }
        out.iter_mut().zip(values).for_each(|(out, value)| *out = (value + 0.5) as u8);
    }
}

/// Left, top, width and height of a part with a random share of the area and a random ratio of its sides; none where it is larger
/// than the image.
fn part(augment: Augment, shape: ImageShape, [area, ratio, x, y]: [u32; 4]) -> Option<[f32; 4]> {
    let (width, height) = (shape.width as f64, shape.height as f64);
    let least = f64::from(augment.part) / 100.0;
    let area = width * height * (least + (1.0 - least) * unit(area));
    let ratio = (LEAST_RATIO.ln() * (1.0 - 2.0 * unit(ratio))).exp();
    let (part_width, part_height) = ((area * ratio).sqrt().round(), (area / ratio).sqrt().round());
    let fits = (1.0..=width).contains(&part_width) && (1.0..=height).contains(&part_height);
    let place = |bits, whole: f64, part: f64| within((whole - part) as usize + 1, bits) as f32;
    fits.then(|| [place(x, width, part_width), place(y, height, part_height), part_width as f32, part_height as f32])
}

/// Between which two pixels the pixel `to` of a side lies in a part of it, and how far towards the second.
fn between(to: usize, side: usize, start: f32, part: f32) -> (usize, usize, f32) {
    // Centres of pixels lie on each other; beyond the part its border is continued.
    let at = ((to as f32 + 0.5) * part / side as f32 - 0.5).clamp(0.0, part - 1.0);
    let (first, last) = (start as usize, (start + part) as usize - 1);
    let left = first + at as usize;
    (left, (left + 1).min(last), at.fract())
}

impl Colour {
    /// Changes an image of one plane or three, with values from 0 to 255.
    fn apply(self, factor: f32, values: &mut [f32], plane: usize) {
        let colours = values.len() / plane;
        let grey_at = |values: &[f32], i: usize| match colours {
            3 => (0..3).map(|channel| GREY[channel] * values[channel * plane + i]).sum(),
            _ => values[i],
        };
        let towards = |value: f32, other: f32| (factor * value + (1.0 - factor) * other).clamp(0.0, 255.0);
        match self {
            Self::Brightness => values.iter_mut().for_each(|value| *value = towards(*value, 0.0)),
            Self::Contrast => {
                let mean = (0..plane).map(|i| grey_at(values, i)).sum::<f32>() / plane as f32;
                values.iter_mut().for_each(|value| *value = towards(*value, mean));
            }
            Self::Saturation if colours == 3 => {
                for i in 0..plane {
                    let grey = grey_at(values, i);
                    (0..3).for_each(|channel| values[channel * plane + i] = towards(values[channel * plane + i], grey));
                }
            }
            Self::Saturation => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Flip;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 24, width: 32 };

    fn image() -> Vec<u8> {
        (0..SHAPE.len()).map(|i| (i * 31 % 256) as u8).collect()
    }

    fn applied(photo: &Photo) -> Vec<u8> {
        let mut out = vec![0; SHAPE.len()];
        photo.apply(&image(), SHAPE, &mut out);
        out
    }

    const NOTHING: Photo = Photo { change: Change { down: 0, right: 0, flip: false }, part: None, colour: None };

    #[test]
    fn the_whole_is_itself_and_a_mirrored_whole_its_mirror_image() {
        let whole = Some([0.0, 0.0, 32.0, 24.0]);
        assert_eq!(applied(&Photo { part: whole, ..NOTHING }), image());
        let flip = Change { flip: true, ..NOTHING.change };
        let mirrored: Vec<u8> = image().chunks(32).flat_map(|row| row.iter().rev().copied()).collect();
        assert_eq!(applied(&Photo { part: whole, change: flip, ..NOTHING }), mirrored);
        assert_eq!(applied(&Photo { change: flip, ..NOTHING }), mirrored);
    }

    #[test]
    fn a_part_is_made_larger_between_its_pixels() {
        let photo = Photo { part: Some([4.0, 6.0, 16.0, 12.0]), ..NOTHING };
        let (found, image) = (applied(&photo), image());
        let at = |x: usize, y: usize| f32::from(image[y * 32 + x]);
        // The first pixel is the part's corner; the second lies a quarter of the way to the next one.
        assert_eq!(found[0], image[6 * 32 + 4]);
        assert_eq!(f32::from(found[1]), (0.75 * at(4, 6) + 0.25 * at(5, 6)).round());
        assert_eq!(found[SHAPE.len() - 1], image[2 * 24 * 32 + 17 * 32 + 19]);
    }

    #[test]
    fn colours_are_changed_as_by_torchvision() {
        let with = |kind, factor| {
            let others = [Colour::Brightness; 2].map(|kind| (kind, 1.0));
            applied(&Photo { colour: Some([(kind, factor), others[0], others[1]]), ..NOTHING })
        };
        assert!(with(Colour::Brightness, 0.0).iter().all(|&value| value == 0));
        let half = with(Colour::Brightness, 0.5);
        assert!(half.iter().zip(image()).all(|(&half, value)| (f32::from(half) - f32::from(value) / 2.0).abs() <= 0.5));
        let flat = with(Colour::Contrast, 0.0);
        assert!(flat.iter().all(|value| *value == flat[0]) && (120..136).contains(&flat[0]));
        let grey = with(Colour::Saturation, 0.0);
        let plane = 24 * 32;
        assert!((0..plane).all(|i| grey[i] == grey[plane + i] && grey[i] == grey[2 * plane + i]));
        for kind in [Colour::Brightness, Colour::Contrast, Colour::Saturation] {
            assert_eq!(with(kind, 1.0), image());
        }
    }

    #[test]
    fn parts_have_the_area_and_the_ratio_that_they_should() {
        let augment = Augment { part: 25, jitter: 40, flip: Flip::Random, ..Augment::OFF };
        let photos: Vec<Photo> = (0..4000).map(|position| Photo::new(augment, SHAPE, 3, 1, position, 0)).collect();
        let areas = photos.iter().filter_map(|photo| photo.part).map(|[x, y, width, height]| {
            assert!(x + width <= 32.0 && y + height <= 24.0 && width >= 1.0 && height >= 1.0);
            assert!((0.70..1.43).contains(&(width / height)) || width * height == 32.0 * 24.0, "{width}x{height}");
            width * height / (32.0 * 24.0)
        });
        let (least, mean) = areas.fold((1.0f32, 0.0), |(least, sum), area| (least.min(area), sum + area / 4000.0));
        assert!((0.22..0.30).contains(&least) && (0.5..0.65).contains(&mean), "{least} {mean}");
        let flips = photos.iter().filter(|photo| photo.change.flip).count();
        assert!((1850..2150).contains(&flips), "{flips}");
        let orders: std::collections::BTreeSet<String> =
            photos.iter().map(|photo| format!("{:?}", photo.colour.unwrap().map(|(kind, _)| kind))).collect();
        assert_eq!(orders.len(), 6);
        assert!(photos.iter().flat_map(|photo| photo.colour.unwrap()).all(|(_, factor)| (0.6..=1.4).contains(&factor)));
        assert_eq!(photos[7], Photo::new(augment, SHAPE, 3, 1, 7, 0));
    }
}
