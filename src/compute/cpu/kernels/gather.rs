//! Batches of images.

use crate::memory::Buffer;
use crate::threads::{each, share};
use crate::vector::on_this_machine;

/// Values that a task has at least.
const TASK: usize = 1 << 16;

/// The bytes of the images at `indices`, of `len` bytes each, times `scale`; one image after the other.
pub fn scaled(images: &[u8], len: usize, indices: &[i32], scale: f32) -> Buffer {
    let mut out = Buffer::new(indices.len() * len);
    let share = share(indices.len(), TASK.div_ceil(len));
    let tasks = indices.chunks(share).zip(out.values_mut().chunks_mut(share * len));
    each(tasks.collect(), |(indices, out)| {
        on_this_machine(
            #[inline(always)]
            || {
                for (&index, out) in indices.iter().zip(out.chunks_exact_mut(len)) {
                    let image = &images[index as usize * len..][..len];
                    out.iter_mut().zip(image).for_each(|(out, &byte)| *out = f32::from(byte) * scale);
                }
            },
        );
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_in_the_order_of_the_indices() {
        let (images, len) = ((0..=255).chain(0..=255).collect::<Vec<u8>>(), 4);
        let indices: Vec<i32> = (0..128).rev().collect();
        let found = scaled(&images, len, &indices, 0.5);
        let expected: Vec<f32> = images.chunks(len).rev().flatten().map(|&byte| f32::from(byte) * 0.5).collect();
        assert_eq!(found.values(), expected);
    }
}
