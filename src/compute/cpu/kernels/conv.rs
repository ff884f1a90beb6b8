//! Convolutions, and by which way.

use pulp::Arch;

use crate::direct;
use crate::memory::Buffer;
use crate::norm_kernels::{Sums, added};
use crate::sizes::{Kernel, Sizes};
use crate::threads::{each, map, share, threads};
use crate::vector::on_this_machine;
use crate::winograd::{Four, Pair, Two, Winograd};

/// Images of fewer channels have too little to multiply for a scheme to pay.
const FEW_CHANNELS: usize = 12;

/// Pixels that a task has at least, where there is little to do for each.
const PIXELS: usize = 1024;

/// With fewer tiles than this, reading the weights of all points from memory takes longer than the products that they save.
const FEW_TILES: usize = 9;

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As it is defined.
    Direct,
    /// By Winograd's scheme for tiles of 4 x 4 outputs, whose rounding is a few times that of the definition.
    Four,
    /// By Winograd's scheme for tiles of 2 x 2 outputs.
    Two,
    /// By a scheme of our own for images of 2 x 2 pixels with zeros around.
    Pair,
}

/// Calls a method of the scheme of a way.
macro_rules! by_scheme {
    ($way:expr, $scheme:ident => $call:expr, else $direct:expr) => {
        match $way {
            Way::Direct => $direct,
            Way::Four => {
                let $scheme = Winograd(Four);
                $call
            }
            Way::Two => {
                let $scheme = Winograd(Two);
                $call
            }
            Way::Pair => {
                let $scheme = Winograd(Pair);
                $call
            }
        }
    };
}

impl Way {
    /// The way with the least to do; as defined, where it has to be `exact`, and where there is no scheme for the kernel.
    pub fn of(sizes: Sizes, exact: bool) -> Self {
        let Sizes { images, height, width, inputs, outputs, kernel } = sizes;
        if exact || kernel != Kernel::THREE || inputs.min(outputs) < FEW_CHANNELS || height.min(width) < 2 {
            return Self::Direct;
        }
        let tiles = |side: usize| height.div_ceil(side) * width.div_ceil(side);
        let (way, tiles) = match (height, width) {
            (2, 2) => (Self::Pair, 1),
            _ if tiles(4) * 36 < tiles(2) * 16 => (Self::Four, tiles(4)),
            _ => (Self::Two, tiles(2)),
        };
        // A scheme has a quarter of the work, but no more tasks than there are images.
        let (by_scheme, direct) = (images.min(threads()), direct::tasks(sizes).min(threads()));
        if images * tiles < FEW_TILES || 4 * by_scheme < direct { Self::Direct } else { way }
    }

    /// Weights `[outputs, inputs, side, side]` as panels, which is what is multiplied with: to go forward, or `back`.
    pub fn panels(self, weights: &[f32], sizes: Sizes, back: bool) -> Buffer {
        let Sizes { outputs, inputs, .. } = sizes;
        by_scheme!(self, scheme => scheme.panels(weights, outputs, inputs, back),
            else direct::panels(weights, sizes, back))
    }

    /// The images after the convolution, by the panels of the weights.
    pub fn forward(self, sizes: Sizes, images: &[f32], panels: &[f32], out: &mut [f32]) {
        by_scheme!(self, scheme => scheme.forward(sizes, images, panels, out),
            else direct::forward(sizes, images, panels, out));
    }

    /// Gradients of the images, where they are wanted, and of the weights, by the gradient of the images after the convolution.
    pub fn backward(
        self,
        sizes: Sizes,
        images: &[f32],
        weights: &[f32],
        gradient: &[f32],
        wanted: bool,
    ) -> (Option<Buffer>, Buffer) {
        let panels = wanted.then(|| self.panels(weights, sizes, true));
        let mut to_images = wanted.then(|| Buffer::new(sizes.before()));
        let mut to_weights = Buffer::new(weights.len());
        let both = panels.as_ref().map(Buffer::values).zip(to_images.as_mut().map(Buffer::values_mut));
        by_scheme!(self, scheme => scheme.backward(sizes, images, gradient, both, to_weights.values_mut()), else {
            match both {
                Some((panels, out)) if sizes.kernel.stride == 1 => direct::forward(sizes.turned(), gradient, panels, out),
                Some((panels, out)) => direct::backward_images(sizes, gradient, panels, out),
                None => {}
            }
            direct::backward_weights(sizes, images, gradient, to_weights.values_mut());
        });
        (to_images, to_weights)
    }
}

/// Adds a value of every channel to every pixel of `[pixels, channels]`.
pub fn add_bias(values: &mut [f32], bias: &[f32]) {
    let pixels = share(values.len() / bias.len(), PIXELS);
    each(values.chunks_mut(pixels * bias.len()).collect(), |values| {
        on_this_machine(
            #[inline(always)]
            || {
                for pixel in values.chunks_exact_mut(bias.len()) {
                    pixel.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
                }
            },
        );
    });
}

/// The gradient of the bias: the sum over all pixels of `[pixels, channels]`, of every channel.
pub fn bias_gradient(gradient: &[f32], channels: usize) -> Buffer {
    let centre = vec![0.0; channels];
    let pixels = share(gradient.len() / channels, PIXELS);
    let tasks = gradient.chunks(pixels * channels).collect();
    let parts = map(tasks, |x| Arch::new().dispatch(Sums { x, centre: &centre }));
    let [total, _] = added(&parts, channels);
    Buffer::of(&total.iter().map(|&sum| sum as f32).collect::<Vec<f32>>())
}
