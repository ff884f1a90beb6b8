//! What is said to shaders: plain numbers, which a build without them knows too.

use burn::tensor::Tensor;

use crate::compute::Group;

/// The class, its probability, the loss.
pub const VALUES_PER_IMAGE: usize = 3;
/// Every tensor begins at a multiple of this many values: 256 bytes, at which every adapter can bind a buffer.
pub(super) const ALIGNMENT: usize = 64;
/// Words before the rows of `progress`.
pub(super) const HEAD: usize = 4;

/// A shift, within 511 pixels, and a mirroring in one word.
pub fn encode(down: i32, right: i32, flip: bool) -> i32 {
    let shift = |by: i32| by.clamp(-511, 511) + 512;
    shift(down) | shift(right) << 10 | i32::from(flip) << 20
}

/// Words of the progress of so many steps.
pub fn progress_words(steps: usize) -> usize {
    HEAD + 4 * steps
}

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By burn's kernels or by ours, whichever is found to be faster.
    Fastest,
    /// By ours.
    Ours,
}

/// activation(batch norm(x)) by the statistics of the batch.
pub struct Normalized {
    /// `[n, channels, h, w]`.
    pub output: Tensor<4>,
    /// The new running mean, `[channels]`, not tracked.
    pub running_mean: Tensor<1>,
    /// The new running variance, unbiased, `[channels]`, not tracked.
    pub running_variance: Tensor<1>,
}

/// Which values are dropped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The run's seed.
    pub seed: u64,
    /// The place of the layer among the random ones.
    pub layer: u32,
    /// The place in the batch of the first value.
    pub first: usize,
    /// The share that is dropped, from 0 to below 1.
    pub share: f64,
}

impl Dropout {
    /// A value is dropped where its 32 random bits are below this.
    pub fn threshold(&self) -> u32 {
        (self.share * 2f64.powi(32)).round() as u32
    }

    /// What the others are multiplied by.
    pub fn scale(&self) -> f32 {
        (1.0 / (1.0 - self.share)) as f32
    }
}

/// A tensor of a network within the one buffer of all its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Values before it.
    pub offset: usize,
    /// Its values.
    pub len: usize,
    /// Whether an optimizer steps it; else its newest value is taken over.
    pub trained: bool,
    /// Whether it is stepped apart from the others.
    pub group: Group,
}

impl Place {
    /// Tensors of these lengths, trained or not, one behind the other; and the length of the buffer.
    pub fn row(tensors: impl IntoIterator<Item = (usize, bool, Group)>) -> (Vec<Self>, usize) {
        let mut end = 0;
        let places = tensors.into_iter().map(|(len, trained, group)| {
            let offset = end;
            end += len.next_multiple_of(ALIGNMENT);
            Self { offset, len, trained, group }
        });
        (places.collect(), end)
    }
}

/// How parameters are stepped, in the shader's numbers.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// 0 SGD, 1 Adam, 2 AdamW.
    pub kind: u32,
    /// SGD's momentum, 0 for none.
    pub momentum: f32,
    /// Whether it is Nesterov's.
    pub nesterov: bool,
    /// The weight decay.
    pub decay: f32,
    /// On every gradient.
    pub scale: f32,
    /// On the gradients of batch normalization's scales and offsets too.
    pub norm_rate: f32,
}
