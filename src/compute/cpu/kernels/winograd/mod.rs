//! 3x3 convolutions by Winograd's schemes, forward and backward.
//!
//! Images are cut into tiles, tiles and weights are brought to the points of a scheme, and at each point the channels are
//! a product of matrices. A task is of whole images, so that no two tasks write the same pixel; in the gradient of the
//! weights, where all images come together, a task is of some outputs.

mod kernels;
mod scheme;
mod tiles;

use std::marker::PhantomData;

use pulp::Arch;

use crate::memory::Buffer;
use crate::product::panel_width;
use crate::sizes::Sizes;
use crate::threads::{each, map, share, threads};
use kernels::{BLOCK, Backward, BackwardWeights, Forward, Panel, ROWS, TAPS, grid};
pub(crate) use scheme::{Four, Pair, Scheme, Two};

/// Values at all points, before and after the convolution, that are worked on together on the way back: 24 megabytes, which a
/// processor's last cache holds.
const ROUND: usize = 6 << 20;

/// A scheme, with the numbers of its inputs, outputs and products in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Winograd<W, const IN: usize, const OUT: usize, const P: usize>(pub W);

impl<W: Scheme<IN, OUT, P>, const IN: usize, const OUT: usize, const P: usize> Winograd<W, IN, OUT, P> {
    /// Weights `[outputs, inputs, 3, 3]` at all points, as panels of outputs; or of inputs, to take gradients back.
    pub fn panels(self, weights: &[f32], outputs: usize, inputs: usize, back: bool) -> Buffer {
        let (columns, depth) = if back { (inputs, outputs) } else { (outputs, inputs) };
        let strides = if back { (1, inputs) } else { (inputs, 1) };
        let width = panel_width();
        let mut panels = Buffer::new(P * P * depth * columns.next_multiple_of(width));
        let parts = panels.values_mut().chunks_mut(P * P * depth * width).enumerate();
        each(parts.collect(), |(i, out)| {
            let first = i * width;
            Arch::new().dispatch(Panel {
                scheme: PhantomData::<Self>,
                weights,
                columns: first..columns,
                depth,
                strides,
                out,
            });
        });
        panels
    }

    /// The images after the convolution, by [`panels`](Self::panels) of outputs.
    pub fn forward(self, sizes: Sizes, images: &[f32], panels: &[f32], out: &mut [f32]) {
        let tiles = grid(sizes, sizes.inputs, OUT).tiles();
        let share = share(sizes.images, BLOCK.div_ceil(tiles));
        let tasks = images
            .chunks(share * sizes.pixels() * sizes.inputs)
            .zip(out.chunks_mut(share * sizes.pixels() * sizes.outputs));
        each(tasks.collect(), |(images, out)| {
            Arch::new().dispatch(Forward { scheme: PhantomData::<Self>, sizes, images, panels, out });
        });
    }

    /// The gradient `[outputs, inputs, 3, 3]` of the weights by that of the outputs; and, by panels of inputs, that of the
    /// images.
    ///
    /// The gradient of the weights wants all images' tiles at one point after the other. So images go in rounds, whose
    /// tiles at all points stay in the cache.
    pub fn backward(
        self,
        sizes: Sizes,
        images: &[f32],
        gradient: &[f32],
        to_images: Option<(&[f32], &mut [f32])>,
        to_weights: &mut [f32],
    ) {
        let tiles = grid(sizes, sizes.inputs, OUT).tiles();
        let (block, image) = (BLOCK.div_ceil(tiles), P * P * (sizes.inputs + sizes.outputs) * tiles);
        let round = (ROUND / image).max(block * threads()).min(sizes.images);
        let (before, after) = (sizes.pixels() * sizes.inputs, sizes.pixels() * sizes.outputs);
        let (panels, mut out) = to_images.map_or((None, None), |(panels, out)| (Some(panels), Some(out)));
        let rounds = images.chunks(round * before).zip(gradient.chunks(round * after));
        for (i, (images, gradient)) in rounds.enumerate() {
            let share = share(images.len() / before, block);
            let tasks = images.chunks(share * before).zip(gradient.chunks(share * after));
            let (now, later) = out.map(|out| out.split_at_mut(images.len())).unzip();
            out = later;
            let parts: Vec<_> = match now {
                Some(now) => now.chunks_mut(share * before).map(Some).collect(),
                None => (0..tasks.len()).map(|_| None).collect(),
            };
            let chunks = map(tasks.zip(parts).collect(), |((images, gradient), out)| {
                let to_images = panels.zip(out);
                Arch::new().dispatch(Backward { scheme: PhantomData::<Self>, sizes, images, gradient, to_images })
            });
            let rows = to_weights.chunks_mut(ROWS * sizes.inputs * TAPS).enumerate();
            each(rows.collect(), |(row, out)| {
                let (scheme, first, chunks) = (PhantomData::<Self>, row * ROWS, &chunks[..]);
                Arch::new().dispatch(BackwardWeights { scheme, sizes, first, chunks, out, add: i > 0 });
            });
        }
    }
}
