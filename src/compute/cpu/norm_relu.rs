//! max pool(relu(batch norm(x))), with the statistics of the batch or with given ones; with a pool of one pixel there is none.
//!
//! What lies between the three is never in memory: the backward pass computes it again from `x`, which it has to read anyway.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{Device, Tensor, TensorData};
use pulp::Arch;

use super::memory::Buffer;
use super::norm_kernels::{Affine, GradientOfX, GradientSums, Images, Normalize, Sums, added};
use super::tensors::{Maps, Primitive, images, track, tracked, vector};
use super::threads::{each, map, share};
use super::windows::Windows;

/// max pool(relu(batch norm(x))) by the statistics of the batch, which come along: mean and biased variance.
pub struct Normalized {
    /// `[n, channels, h / side, w / side]`.
    pub output: Tensor<4>,
    /// `[channels]`, not tracked.
    pub mean: Tensor<1>,
    /// `[channels]`, not tracked.
    pub variance: Tensor<1>,
}

/// Calls a function of the windows' side.
macro_rules! by_side {
    ($side:expr, $function:ident($($argument:expr),*)) => {
        match $side {
            1 => $function::<1>($($argument),*),
            2 => $function::<2>($($argument),*),
            3 => $function::<3>($($argument),*),
            4 => $function::<4>($($argument),*),
            _ => None,
        }
    };
}

/// Normalizes by the batch, applies ReLU and takes the maximum of every `side` x `side` pixels, while training on the CPU
/// backend; `None` elsewhere, for sides above 4, and where pixels are left over.
pub fn norm_relu_train(x: &Tensor<4>, affine: [&Tensor<1>; 2], epsilon: f64, side: usize) -> Option<Normalized> {
    if !x.device().is_autodiff() {
        return None;
    }
    by_side!(side, train(x, affine, epsilon))
}

fn train<const SIDE: usize>(x: &Tensor<4>, [gamma, beta]: [&Tensor<1>; 2], epsilon: f64) -> Option<Normalized> {
    let windows = Windows::<SIDE>::of(x.dims())?;
    let maps = Maps::of(x)?;
    let [mean, variance] = statistics(&maps);
    let affine = Affine::new(&mean, &variance, &vector(gamma)?, &vector(beta)?, epsilon);
    let output = normalize(windows, &maps, &affine);
    let inputs = [&tracked(x)?, &tracked(gamma)?, &tracked(beta)?];
    Some(Normalized {
        output: track(NormRelu(windows), inputs, (maps, affine), output),
        mean: Tensor::from_inner(of_channels(&mean)),
        variance: Tensor::from_inner(of_channels(&variance)),
    })
}

/// Normalizes by given scale, offset, mean and variance, applies ReLU and takes the maximum of every `side` x `side` pixels,
/// while not training on the CPU backend; `None` as above.
pub fn norm_relu(x: &Tensor<4>, norm: &[Tensor<1>; 4], epsilon: f64, side: usize) -> Option<Tensor<4>> {
    by_side!(side, infer(x, norm, epsilon))
}

fn infer<const SIDE: usize>(x: &Tensor<4>, norm: &[Tensor<1>; 4], epsilon: f64) -> Option<Tensor<4>> {
    let windows = Windows::<SIDE>::of(x.dims())?;
    let maps = Maps::of(x)?;
    let [gamma, beta, mean, variance] = norm.each_ref().map(vector);
    let exact = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<f64>>();
    let affine = Affine::new(&exact(mean?), &exact(variance?), &gamma?, &beta?, epsilon);
    Some(Tensor::from_primitive::<Flex>(normalize(windows, &maps, &affine)))
}

fn of_channels(values: &[f64]) -> Tensor<1> {
    let single: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    Tensor::from_data(TensorData::new(single, [values.len()]), &Device::flex())
}

/// Mean and biased variance of every channel, in one pass: of the distance to the mean of the first image, so that little
/// is lost where a mean is large and its variance small.
fn statistics(maps: &Maps) -> [Vec<f64>; 2] {
    let [n, channels, h, w] = maps.dims;
    let count = (n * h * w) as f64;
    let image = channels * h * w;
    let near = |x: &[f32], centre: &[f32]| Arch::new().dispatch(Sums { x, centre });
    let zeros = vec![0.0; channels];
    let first = near(&maps.values()[..image.min(maps.values().len())], &zeros);
    let centre: Vec<f32> = first[0].iter().map(|sum| (sum / (h * w) as f64) as f32).collect();
    let parts = map(maps.values().chunks(share(n, least(image)) * image).collect(), |part| near(part, &centre));
    let [distances, squares] = added(&parts, channels);
    let mean = centre.iter().zip(&distances).map(|(&centre, sum)| f64::from(centre) + sum / count).collect();
    // A sum of rounded squares may end a little below the square of the sum.
    let variance = |(sum, squares): (&f64, &f64)| {
        let variance = squares / count - (sum / count).powi(2);
        if variance < 0.0 { 0.0 } else { variance }
    };
    [mean, distances.iter().zip(&squares).map(variance).collect()]
}

/// Images that a task has at least, by their values: so many values that waking another core is worth it.
fn least(image: usize) -> usize {
    (64 * 1024usize).div_ceil(image)
}

fn normalize<const SIDE: usize>(windows: Windows<SIDE>, maps: &Maps, affine: &Affine) -> Primitive {
    let [n, c, h, w] = maps.dims;
    let mut out = Buffer::new(n * windows.pooled());
    let share = share(n, least(windows.image()));
    let tasks =
        maps.values().chunks(share * windows.image()).zip(out.values_mut().chunks_mut(share * windows.pooled()));
    each(tasks.collect(), |(x, out)| Arch::new().dispatch(Normalize { windows, affine, x, out }));
    images(out, [n, c, h / SIDE, w / SIDE])
}

/// Gradients of max pool(relu(batch norm(x))) with respect to x, gamma and beta.
#[derive(Debug)]
struct NormRelu<const SIDE: usize>(Windows<SIDE>);

impl<const SIDE: usize> Backward<Flex, 3> for NormRelu<SIDE> {
    type State = (Maps, Affine);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_x, of_gamma, of_beta], (maps, affine), windows) = (ops.parents, ops.state, self.0);
        let [n, c, h, w] = maps.dims;
        let gradient = grads.consume::<Flex>(&ops.node);
        let Some(gradient) = Maps::of_primitive(gradient, [n, c, h / SIDE, w / SIDE]) else { return };
        let share = share(n, least(windows.image()));
        let (image, pooled) = (share * windows.image(), share * windows.pooled());
        let both = || maps.values().chunks(image).zip(gradient.values().chunks(pooled));
        let part = |(x, dy)| Images { windows, affine: &affine, x, dy };
        let parts = map(both().map(part).collect(), |images| Arch::new().dispatch(GradientSums(images)));
        let [beta, gamma] = added(&parts, c);
        if let Some(node) = of_x {
            let count = (n * h * w) as f64;
            let means = [&beta, &gamma].map(|sums| sums.iter().map(|sum| (sum / count) as f32).collect());
            let mut dx = Buffer::new(maps.values().len());
            let tasks = both().map(part).zip(dx.values_mut().chunks_mut(image));
            each(tasks.collect(), |(images, dx)| Arch::new().dispatch(GradientOfX { images, means: &means, dx }));
            grads.register::<Flex>(node.id, images(dx, maps.dims));
        }
        for (node, sums) in [(of_gamma, gamma), (of_beta, beta)] {
            if let (Some(node), Ok(gradient)) = (node, of_channels(&sums).try_into_primitive::<Flex>()) {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensors::testing::{SHAPES, close, random};
    use super::*;
    use burn::tensor::activation::relu;
    use burn::tensor::module::{batch_norm, batch_norm_train, max_pool2d};
    use burn::tensor::ops::MaxPoolOptions;

    fn pooled(x: Tensor<4>, side: usize) -> Tensor<4> {
        max_pool2d(x, MaxPoolOptions::new([side; 2]))
    }

    #[test]
    fn norm_relu_and_pool_are_burns_forward_and_backward() {
        for (shape, side) in SHAPES.into_iter().flat_map(|shape| [(shape, 1), (shape, 2)]) {
            let x = random(shape, -3.0, 5.0);
            let (gamma, beta) = (random([shape[1]], -1.0, 2.0), random([shape[1]], -0.5, 0.5));
            let weight = random([shape[0], shape[1], shape[2] / side, shape[3] / side], -1.0, 1.0);
            let run = |output: Tensor<4>| {
                let gradients = (output.clone() * weight.clone()).sum().backward();
                let of_affine = [&gamma, &beta].map(|affine| affine.grad(&gradients).unwrap());
                (output.inner(), x.grad(&gradients).unwrap(), of_affine)
            };
            let reference = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), 1e-5);
            let ours = norm_relu_train(&x, [&gamma, &beta], 1e-5, side).unwrap();
            close(ours.mean.inner(), reference.mean.inner());
            close(ours.variance.inner(), reference.variance.inner());
            let (expected, found) = (run(pooled(relu(reference.output), side)), run(ours.output));
            close(found.0, expected.0);
            close(found.1, expected.1);
            found.2.into_iter().zip(expected.2).for_each(|(found, expected)| close(found, expected));
        }
    }

    #[test]
    fn norm_relu_and_pool_infer_as_burn_does() {
        for (shape, side) in SHAPES.into_iter().flat_map(|shape| [(shape, 1), (shape, 2)]) {
            let x = random(shape, -3.0, 5.0).inner();
            let vector = |low, high| random([shape[1]], low, high).inner();
            let norm = [vector(-1.0, 2.0), vector(-0.5, 0.5), vector(-1.0, 1.0), vector(0.1, 2.0)];
            let [gamma, beta, mean, variance] = norm.clone();
            let expected = relu(batch_norm(x.clone(), gamma, beta, mean, variance, 1e-5));
            close(norm_relu(&x, &norm, 1e-5, side).unwrap(), pooled(expected, side));
        }
    }

    #[test]
    fn nan_is_not_lost() {
        let mut pixels = vec![0.5f32; 32];
        pixels[3] = f32::NAN;
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_data(pixels.as_slice(), &device).reshape([2, 4, 2, 2]);
        let (ones, zeros) = (Tensor::ones([4], &device), Tensor::zeros([4], &device));
        let norm = [ones.clone(), zeros.clone(), zeros.clone(), ones.clone()].map(Tensor::inner);
        for side in [1, 2] {
            let output = norm_relu_train(&x, [&ones, &zeros], 1e-5, side).unwrap().output.inner();
            assert!(output.into_data().iter::<f32>().any(f32::is_nan));
            let output = norm_relu(&x.clone().inner(), &norm, 1e-5, side).unwrap();
            assert!(output.into_data().iter::<f32>().any(f32::is_nan));
        }
    }
}
