//! Random changes to train images: what is done to each image of an epoch, and how.

use burn::tensor::{Int, Tensor, TensorData};

use crate::compute::shaders;
use crate::data::ImageShape;
use crate::random::{philox, within};
use crate::recipe::{Augment, Flip};

/// What augmentation does to one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Change {
    /// Pixels down, negative for up.
    pub(super) down: i32,
    /// Pixels to the right, negative for left.
    pub(super) right: i32,
    /// Mirror left and right, before the shift.
    pub(super) flip: bool,
}

impl Change {
    /// Where row `y` of the changed image comes from.
    pub(super) fn row(self, y: usize, height: usize) -> usize {
        reflect(y as i32 - self.down, height)
    }

    /// Where column `x` of the changed image comes from.
    pub(super) fn column(self, x: usize, width: usize) -> usize {
        let source = reflect(x as i32 - self.right, width);
        if self.flip { width - 1 - source } else { source }
    }

    /// For the shader.
    pub(super) fn encode(self) -> i32 {
        shaders::encode(self.down, self.right, self.flip)
    }
}

/// A position outside `0..side`, mirrored at the border pixel as PyTorch's padding mode `reflect` does.
fn reflect(position: i32, side: usize) -> usize {
    let last = side as i32 - 1;
    let inside = if position < 0 {
        -position
    } else if position > last {
        2 * last - position
    } else {
        position
    };
    inside.clamp(0, last) as usize
}

/// The layers that augmentation counts as in [`philox`], by position and by image; layers of a network count up from 0.
const LAYER: u32 = u32::MAX;
const IMAGE_LAYER: u32 = u32::MAX - 1;

/// The change to an image at a position of an epoch's order, which depends on these and the seed alone.
pub(super) fn change(augment: Augment, seed: u64, epoch: usize, position: usize, image: u32) -> Change {
    let [down, right, flip, _] = philox([position as u32, 0, epoch as u32, LAYER], seed);
    let shift = |bits| within(2 * augment.crop + 1, bits) as i32 - augment.crop as i32;
    let flip = match augment.flip {
        Flip::Never => false,
        Flip::Random => within(2, flip) == 1,
        Flip::Alternating => {
            let [first, ..] = philox([image, 0, 0, IMAGE_LAYER], seed);
            (within(2, first) + epoch) % 2 == 1
        }
    };
    Change { down: shift(down), right: shift(right), flip }
}

/// Changes images on the device: rows, then columns, of `[n, channels, h, w]` are gathered by index.
pub(super) fn apply(images: Tensor<4>, changes: &[Change]) -> Tensor<4> {
    let [n, channels, height, width] = images.dims();
    let device = images.device();
    let upload = |side: usize, source: fn(Change, usize, usize) -> usize| -> Tensor<2, Int> {
        let indices: Vec<i32> =
            changes.iter().flat_map(|&change| (0..side).map(move |i| source(change, i, side) as i32)).collect();
        Tensor::from_data(TensorData::new(indices, [n, side]), &device)
    };
    let rows = upload(height, Change::row).reshape([n, 1, height, 1]).expand([n, channels, height, width]);
    let columns = upload(width, Change::column).reshape([n, 1, 1, width]).expand([n, channels, height, width]);
    images.gather(2, rows).gather(3, columns)
}

/// Values of the images at `indices`, times `scale`, each image changed on the way.
pub(super) fn gather_changed(
    bytes: &[u8],
    shape: ImageShape,
    indices: &[i32],
    changes: &[Change],
    scale: f32,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(indices.len() * shape.len());
    for (&index, change) in indices.iter().zip(changes) {
        let image = &bytes[index as usize * shape.len()..][..shape.len()];
        let columns: Vec<usize> = (0..shape.width).map(|x| change.column(x, shape.width)).collect();
        for plane in image.chunks_exact(shape.height * shape.width) {
            for y in 0..shape.height {
                let row = &plane[change.row(y, shape.height) * shape.width..][..shape.width];
                out.extend(columns.iter().map(|&x| f32::from(row[x]) * scale));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn augmentation_uses_its_whole_range() {
        let augment = Augment::ON;
        let changes: Vec<Change> = (0..2000).map(|position| change(augment, 3, 1, position, 7)).collect();
        for shift in -4..=4 {
            assert!(changes.iter().any(|c| c.down == shift) && changes.iter().any(|c| c.right == shift));
        }
        assert!(changes.iter().all(|c| c.down.abs() <= 4 && c.right.abs() <= 4));
        let flipped = changes.iter().filter(|c| c.flip).count();
        assert!((900..1100).contains(&flipped), "{flipped}");
    }

    #[test]
    fn alternating_flips_mirror_every_image_in_every_other_epoch() {
        let augment = Augment { crop: 2, flip: Flip::Alternating, ..Augment::OFF };
        let flips = |epoch: usize| -> Vec<bool> {
            // Wherever the image is in the order.
            (0..1000).map(|image| change(augment, 3, epoch, (image as usize * 7 + epoch) % 1000, image).flip).collect()
        };
        let first = flips(0);
        assert!((400..600).contains(&first.iter().filter(|flip| **flip).count()));
        assert_eq!(flips(1), first.iter().map(|flip| !flip).collect::<Vec<_>>());
        assert_eq!(flips(2), first);
    }
}
