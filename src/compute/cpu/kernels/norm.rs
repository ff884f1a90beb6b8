//! max pool(relu(batch norm(x))) of images, where a pool of one pixel is none; and gelu(batch norm(x)).
//!
//! What lies between the three is never in memory: the backward pass computes it again from `x`, which it has to read anyway.

use pulp::Arch;

use crate::memory::Buffer;
pub use crate::norm_kernels::Affine;
use crate::norm_kernels::{self as kernels, GradientOfX, GradientSums, Images, Normalize, Sums, added};
use crate::threads::{each, map, share};
use crate::windows::{Pool, Windows, by_side};

/// What follows the normalization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Negative values become zero.
    Relu,
    /// Every value times the share of a normal distribution below it; not with a pool behind it.
    Gelu,
}

/// Calls what is written for windows of every side and any activation.
macro_rules! by_kind {
    ($pool:expr, $kind:expr, $windows:ident, $activation:ident => $call:expr) => {
        match $kind {
            Activation::Relu => {
                let $activation = kernels::Relu;
                by_side!($pool, $windows => $call)
            }
            Activation::Gelu => {
                let ($windows, $activation) = ($pool.windows::<1>(), kernels::Gelu);
                $call
            }
        }
    };
}

/// Mean and biased variance of every channel of `n` images, in one pass: of the distance to the mean of the first image, so
/// that little is lost where a mean is large and its variance small.
pub fn statistics(x: &[f32], n: usize, channels: usize) -> [Vec<f64>; 2] {
    let image = x.len() / n.max(1);
    let (count, pixels) = ((x.len() / channels) as f64, (image / channels) as f64);
    let near = |x: &[f32], centre: &[f32]| Arch::new().dispatch(Sums { x, centre });
    let first = near(&x[..image], &vec![0.0; channels]);
    let centre: Vec<f32> = first[0].iter().map(|sum| (sum / pixels) as f32).collect();
    let parts = map(x.chunks((share(n, least(image)) * image).max(1)).collect(), |part| near(part, &centre));
    let [distances, squares] = added(&parts, channels);
    let mean = centre.iter().zip(&distances).map(|(&centre, sum)| f64::from(centre) + sum / count).collect();
    // A sum of rounded squares may end a little below the square of the sum.
    let variance = |(sum, squares): (&f64, &f64)| {
        let variance = squares / count - (sum / count).powi(2);
        if variance < 0.0 { 0.0 } else { variance }
    };
    [mean, distances.iter().zip(&squares).map(variance).collect()]
}

/// max pool(activation(batch norm(x))) of `n` images.
pub fn forward(pool: Pool, activation: Activation, n: usize, x: &[f32], affine: &Affine) -> Buffer {
    let mut out = Buffer::new(n * pool.pooled());
    let share = share(n, least(pool.image()));
    let tasks = x.chunks(share * pool.image()).zip(out.values_mut().chunks_mut(share * pool.pooled()));
    each(tasks.collect(), |(x, out)| {
        by_kind!(pool, activation, windows, activation => {
            Arch::new().dispatch(Normalize { windows, activation, affine, x, out });
        });
    });
    out
}

/// Gradients by that of the output.
#[derive(Debug)]
pub struct Gradients {
    /// Of `x`, where it is wanted.
    pub x: Option<Buffer>,
    /// Of gamma, of every channel.
    pub gamma: Vec<f64>,
    /// Of beta, of every channel.
    pub beta: Vec<f64>,
}

/// The gradients of [`forward`] by the statistics of the batch.
pub fn backward(
    pool: Pool,
    activation: Activation,
    n: usize,
    [x, gradient]: [&[f32]; 2],
    affine: &Affine,
    of_x: bool,
) -> Gradients {
    by_kind!(pool, activation, windows, activation => backward_of(windows, activation, n, [x, gradient], affine, of_x))
}

fn backward_of<const SIDE: usize>(
    windows: Windows<SIDE>,
    activation: impl kernels::Activation,
    n: usize,
    [x, gradient]: [&[f32]; 2],
    affine: &Affine,
    of_x: bool,
) -> Gradients {
    let share = share(n, least(windows.image()));
    let (image, pooled) = (share * windows.image(), share * windows.pooled());
    let part = |(x, dy)| Images { windows, activation, affine, x, dy };
    let all: Vec<_> = x.chunks(image).zip(gradient.chunks(pooled)).map(part).collect();
    let parts = map(all.clone(), |images| Arch::new().dispatch(GradientSums(images)));
    let [beta, gamma] = added(&parts, windows.channels);
    let x = of_x.then(|| {
        let count = (x.len() / windows.channels) as f64;
        let means = [&beta, &gamma].map(|sums| sums.iter().map(|sum| (sum / count) as f32).collect());
        let mut dx = Buffer::new(x.len());
        let tasks = all.into_iter().zip(dx.values_mut().chunks_mut(image));
        each(tasks.collect(), |(images, dx)| Arch::new().dispatch(GradientOfX { images, means: &means, dx }));
        dx
    });
    Gradients { x, gamma, beta }
}

/// Images that a task has at least, by their values: so many values that waking another core is worth it.
fn least(image: usize) -> usize {
    (64 * 1024usize).div_ceil(image.max(1))
}
