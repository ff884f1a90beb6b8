//! Convolutions, and by which way.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{Bytes, Device, Tensor};
use tinderbox_kernels::conv::{Way, add_bias, bias_gradient};
use tinderbox_kernels::{Buffer, Kernel, Sizes};

use super::tensors::{Maps, Primitive, contiguous, images, slice, track, tracked, untracked, vector};

/// A convolution with this stride and so many zeros around, of images `[n, inputs, h, w]` with weights
/// `[outputs, inputs, side, side]` and a bias `[outputs]`, if there is one, on the CPU backend, training or not; `None`
/// elsewhere, and where whole sides of the kernel would see nothing but zeros. That of 3x3 pixels, a stride and a padding of 1 is computed
/// by Winograd's schemes, whose rounding is a few times that of the definition, or `exact`ly as defined.
pub fn convolve(
    x: &Tensor<4>,
    weights: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    (stride, padding): (usize, usize),
    exact: bool,
    prepared: &Prepared,
) -> Option<Tensor<4>> {
    let training = weights.device().is_autodiff();
    let ([n, c, height, width], [outputs, inputs, side, columns]) = (x.dims(), weights.dims());
    debug_assert!(c == inputs && side == columns);
    let sizes = Sizes { images: n, height, width, inputs, outputs, kernel: Kernel { side, padding, stride } };
    let [height, width] = sizes.sides_after().filter(|_| padding < side)?;
    let way = Way::of(sizes, exact);
    let maps = Maps::of(x)?;
    let kernels = untracked(weights)?.to_contiguous();
    let panels = prepared.panels(way, sizes, &kernels, training);
    let mut out = Buffer::new(sizes.after());
    way.forward(sizes, maps.values(), panels.values(), out.values_mut());
    drop(panels);
    if let Some(bias) = bias {
        add_bias(out.values_mut(), &vector(bias)?);
    }
    let out = images(out, [n, outputs, height, width]);
    if !training {
        return Some(Tensor::from_primitive::<Flex>(out));
    }
    let bias = bias.map_or_else(|| tracked(&Tensor::<1>::zeros([1], &Device::flex())), tracked)?;
    let inputs = [&tracked(x)?, &tracked(weights)?, &bias];
    Some(track(Conv, inputs, Forwarded { sizes, way, maps, kernels }, out))
}

/// What a convolution makes of its weights before it multiplies with them, kept for the next batch while the weights are the
/// same.
#[derive(Debug, Clone, Default)]
pub struct Prepared(Arc<Mutex<Option<Panels>>>);

#[derive(Debug)]
struct Panels {
    /// The memory that they were made of, and where in it. Weights that change in place are in another piece from then on.
    weights: (Weak<Bytes>, usize),
    way: Way,
    panels: Arc<Buffer>,
}

impl Prepared {
    fn panels(&self, way: Way, sizes: Sizes, kernels: &Primitive, training: bool) -> Arc<Buffer> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (weights, start) = (kernels.data_arc(), kernels.layout().start_offset());
        let of_these = |kept: &&Panels| {
            let is_same = |memory| Arc::ptr_eq(&memory, &weights);
            (kept.way, kept.weights.1) == (way, start) && kept.weights.0.upgrade().is_some_and(is_same)
        };
        if let Some(kept) = kept.as_ref().filter(of_these) {
            return kept.panels.clone();
        }
        *kept = None; // before there are new ones
        let panels = Arc::new(way.panels(slice(kernels), sizes, false));
        if !training {
            *kept = Some(Panels { weights: (Arc::downgrade(&weights), start), way, panels: panels.clone() });
        }
        panels
    }
}

/// What the backward pass wants to know.
#[derive(Debug, Clone)]
struct Forwarded {
    sizes: Sizes,
    way: Way,
    maps: Maps,
    kernels: Primitive,
}

/// Gradients of a convolution with respect to images, weights and bias.
#[derive(Debug)]
struct Conv;

impl Backward<Flex, 3> for Conv {
    type State = Forwarded;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_images, of_weights, of_bias], Forwarded { sizes, way, maps, kernels }) = (ops.parents, ops.state);
        let Sizes { images: n, height, width, inputs, outputs, kernel } = sizes;
        let Some([height_after, width_after]) = sizes.sides_after() else { return };
        let gradient = grads.consume::<Flex>(&ops.node);
        let Some(gradient) = Maps::of_primitive(gradient, [n, outputs, height_after, width_after]) else { return };
        if let Some(node) = of_bias {
            grads.register::<Flex>(node.id, contiguous(bias_gradient(gradient.values(), outputs), [outputs]));
        }
        if of_images.is_none() && of_weights.is_none() {
            return; // weights that stay as they are, and images of the data set
        }
        let (to_images, to_weights) =
            way.backward(sizes, maps.values(), slice(&kernels), gradient.values(), of_images.is_some());
        if let Some((node, to_images)) = of_images.zip(to_images) {
            grads.register::<Flex>(node.id, images(to_images, [n, inputs, height, width]));
        }
        if let Some(node) = of_weights {
            let sides = [outputs, inputs, kernel.side, kernel.side];
            grads.register::<Flex>(node.id, contiguous(to_weights, sides));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensors::testing::random;
    use super::*;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{TensorData, Tolerance};
    use tinderbox_kernels::threads::threads;

    /// Images, inputs, outputs, height, width; and the way that belongs to them.
    const SIZES: [([usize; 5], Way); 10] = [
        ([3, 5, 7, 8, 8], Way::Direct),
        ([1, 16, 32, 1, 5], Way::Direct),
        ([4, 16, 33, 8, 8], Way::Four),
        ([5, 37, 19, 7, 9], Way::Four),
        ([13, 64, 40, 4, 4], Way::Four),
        ([9, 20, 24, 6, 2], Way::Two),
        ([8, 12, 100, 2, 3], Way::Two),
        ([3, 64, 40, 4, 4], Way::Direct),
        ([9, 70, 34, 2, 2], Way::Pair),
        ([0, 16, 16, 4, 4], Way::Direct),
    ];

    #[test]
    fn every_way_is_burns_convolution_forward_and_backward() {
        for ([n, c, o, h, w], way) in SIZES {
            let sizes = Sizes { images: n, height: h, width: w, inputs: c, outputs: o, kernel: Kernel::THREE };
            if threads() < 4 {
                assert_eq!((Way::of(sizes, false), Way::of(sizes, true)), (way, Way::Direct), "{sizes:?}");
            }
            if n == 0 {
                continue;
            }
            let (x, weights) = (random([n, c, h, w], -1.0, 1.0), random([o, c, 3, 3], -1.0, 1.0));
            let bias = random([o], -1.0, 1.0);
            is_burns(&x, &weights, &bias, (1, 1));
        }
    }

    #[test]
    fn kernels_of_any_side_are_burns_forward_and_backward() {
        for ([n, c, o, h, w], side, (stride, padding)) in [
            ([3, 3, 24, 8, 8], 2, (1, 0)),
            ([2, 5, 7, 6, 9], 5, (1, 2)),
            ([4, 18, 33, 5, 5], 1, (1, 0)),
            ([1, 2, 40, 7, 3], 3, (1, 2)),
            ([2, 4, 3, 1, 4], 2, (1, 1)),
            ([3, 16, 33, 8, 8], 3, (2, 1)),
            ([2, 5, 7, 9, 6], 5, (4, 2)),
            ([40, 18, 20, 7, 7], 1, (2, 0)),
            ([1, 2, 70, 8, 5], 2, (3, 0)),
        ] {
            let (x, weights) = (random([n, c, h, w], -1.0, 1.0), random([o, c, side, side], -1.0, 1.0));
            is_burns(&x, &weights, &random([o], -1.0, 1.0), (stride, padding));
        }
        let (x, weights) = (random([1, 2, 4, 4], -1.0, 1.0), random([2, 2, 2, 2], -1.0, 1.0));
        assert!(convolve(&x, &weights, None, (1, 2), false, &Prepared::default()).is_none(), "zeros alone are burn's");
    }

    /// Whether both ways, training and not, are burn's convolution.
    fn is_burns(x: &Tensor<4>, weights: &Tensor<4>, bias: &Tensor<1>, how: (usize, usize)) {
        let run = |y: Tensor<4>| {
            let pick = (0..y.shape().num_elements()).map(|i| (i * 37 % 23) as f32 / 11.0 - 1.0).collect::<Vec<_>>();
            let pick = Tensor::from_data(TensorData::new(pick, y.dims()), &Device::flex().autodiff());
            let gradients = (y.clone() * pick).sum().backward();
            let of_bias = bias.grad(&gradients).unwrap().reshape([1, -1, 1, 1]);
            [y.inner(), x.grad(&gradients).unwrap(), weights.grad(&gradients).unwrap(), of_bias]
        };
        let options = ConvOptions::new([how.0; 2], [how.1; 2], [1, 1], 1);
        let expected = run(conv2d(x.clone(), weights.clone(), Some(bias.clone()), options));
        let plain = [x, weights].map(|tensor| tensor.clone().inner());
        for exact in [false, true] {
            let prepared = Prepared::default();
            let found = run(convolve(x, weights, Some(bias), how, exact, &prepared).unwrap());
            let [x, weights] = &plain;
            let plain = convolve(x, weights, Some(&bias.clone().inner()), how, exact, &prepared).unwrap();
            for (expected, found) in expected.iter().chain([&expected[0]]).zip(found.into_iter().chain([plain])) {
                found.into_data().assert_approx_eq::<f32>(&expected.to_data(), Tolerance::absolute(2e-4));
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for (n, [c, h]) in [[3, 4], [16, 8], [16, 2]].into_iter().enumerate() {
            let mut values = vec![1.0; c * h * h];
            values[n] = f32::NAN;
            let x = Tensor::<4>::from_data(TensorData::new(values, [1, c, h, h]), &Device::flex());
            let weights = Tensor::ones([16, c, 3, 3], &Device::flex());
            let sum: f32 =
                convolve(&x, &weights, None, (1, 1), false, &Prepared::default()).unwrap().sum().into_scalar();
            assert!(sum.is_nan(), "{c} {h}");
        }
    }

    #[test]
    fn panels_are_kept_while_the_weights_are_the_same_and_no_longer() {
        let device = Device::flex();
        let (x, prepared) = (Tensor::<4>::ones([9, 16, 4, 4], &device), Prepared::default());
        let sum = |weights: &Tensor<4>| {
            convolve(&x, weights, None, (1, 1), false, &prepared).unwrap().sum().into_scalar::<f32>()
        };
        let panels = || Arc::as_ptr(&prepared.0.lock().unwrap().as_ref().unwrap().panels);
        let weights = Tensor::<4>::ones([16, 16, 3, 3], &device);
        let first = (sum(&weights), panels());
        assert_eq!((sum(&weights), panels()), first);
        let changed = weights.add_scalar(1.0); // in the same memory, if burn can
        assert!((sum(&changed) - 2.0 * first.0).abs() < 1e-4 * first.0);
        let trained = Tensor::from_inner(changed.add_scalar(1.0));
        drop(convolve(&x, &trained, None, (1, 1), false, &prepared));
        assert!(prepared.0.lock().unwrap().is_none(), "weights that are trained change with every batch");
    }

    #[test]
    fn the_same_convolution_gives_the_same_bits() {
        let (x, weights) = (random([6, 24, 8, 8], -1.0, 1.0), random([40, 24, 3, 3], -1.0, 1.0));
        let run = || {
            let gradients =
                convolve(&x, &weights, None, (1, 1), false, &Prepared::default()).unwrap().square().sum().backward();
            [x.grad(&gradients).unwrap().into_data(), weights.grad(&gradients).unwrap().into_data()]
        };
        assert_eq!(run(), run());
    }
}
