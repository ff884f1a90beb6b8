//! Operations of ours with their gradients, on burn's wgpu backend.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Wgpu};
use burn::tensor::{DType, Int, Shape, Tensor};

use super::conv::Sides;
use super::extension::{Shaders, Wgsl};
use super::norm;
use super::terms::{Dropout, Normalized, Way};
use crate::compute::LossKind;
use crate::compute::cpu::Activation;

/// A tensor of burn's wgpu backend.
type Primitive = FloatTensor<Wgpu>;
/// The backend that tracks gradients.
type Tracked = Autodiff<Wgpu, NoCheckpointing>;

/// Whether our shaders can compute with this tensor: they know single precision alone.
fn computes<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && Wgsl::of(&x.device()).is_some()
}

/// Whether they can, and gradients are wanted.
fn takes<const D: usize>(x: &Tensor<D>) -> bool {
    computes(x) && x.device().is_autodiff()
}

/// The values of a tracked tensor.
fn untracked<const D: usize>(x: &Tensor<D>) -> Option<Primitive> {
    x.clone().inner().try_into_primitive::<Wgpu>().ok()
}

/// The tensor as burn tracks it.
fn tracked<const D: usize>(x: &Tensor<D>) -> Option<FloatTensor<Tracked>> {
    x.clone().try_into_primitive::<Tracked>().ok()
}

/// What an operation made of `inputs`, with what its backward pass wants to know.
fn track<O: Backward<Wgpu, N>, const N: usize, const D: usize>(
    operation: O,
    inputs: [&FloatTensor<Tracked>; N],
    state: O::State,
    output: Primitive,
) -> Tensor<D> {
    let nodes = inputs.map(|input| input.node());
    Tensor::from_primitive::<Tracked>(match operation.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    })
}

/// The mean loss `[1]` of logits `[n, classes]` and labels `[n]`, while training where shaders run; `None` elsewhere.
/// `smoothing` is for cross-entropy alone.
pub fn loss(logits: &Tensor<2>, labels: &Tensor<1, Int>, kind: LossKind, smoothing: f64) -> Option<Tensor<1>> {
    if !takes(logits) {
        return None;
    }
    let labels = labels.clone().try_into_primitive::<Wgpu>().ok()?;
    let (loss, gradient) = <Wgpu as Shaders>::loss(untracked(logits)?, labels, kind, smoothing as f32);
    Some(track(Loss, [&tracked(logits)?], gradient, loss))
}

/// The gradient, which came along with the loss, times that of the loss.
#[derive(Debug)]
struct Loss;

impl Backward<Wgpu, 1> for Loss {
    type State = Primitive;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node] = ops.parents;
        let of_loss = Tensor::<1>::from_primitive::<Wgpu>(grads.consume::<Wgpu>(&ops.node));
        let gradient = Tensor::<2>::from_primitive::<Wgpu>(ops.state);
        let gradient = gradient * of_loss.unsqueeze::<2>();
        if let (Some(node), Ok(gradient)) = (node, gradient.try_into_primitive::<Wgpu>()) {
            grads.register::<Wgpu>(node.id, gradient);
        }
    }
}

/// Images `[n, inputs, h, w]` convolved with weights `[outputs, inputs, kernel, kernel]`, with stride 1 and zeros around them, where
/// shaders run; `None` elsewhere, and for a padding that is not below the kernel.
pub fn convolve(x: &Tensor<4>, weights: &Tensor<4>, padding: usize, way: Way) -> Option<Tensor<4>> {
    let sides = Sides::of(x.dims(), weights.dims(), padding, way);
    if padding < weights.dims()[2] { Conv::Forwards.of(x.clone(), weights.clone(), sides) } else { None }
}

/// The product of `x`, `[n, inputs]`, and `weights`, `[inputs, outputs]`, where shaders run; `None` elsewhere.
///
/// It is a convolution of maps of one pixel, from outputs to inputs, gone backwards: so the weights lie as it reads them, and its
/// shaders are enough.
pub fn product(x: &Tensor<2>, weights: &Tensor<2>) -> Option<Tensor<2>> {
    let ([n, inputs], [_, outputs]) = (x.dims(), weights.dims());
    let sides = Sides::of([n, outputs, 1, 1], [inputs, outputs, 1, 1], 0, Way::Ours);
    let (x, weights) = (x.clone().reshape([n, inputs, 1, 1]), weights.clone().reshape([inputs, outputs, 1, 1]));
    Some(Conv::Backwards.of(x, weights, sides)?.reshape([n, outputs]))
}

/// A convolution, or the way back through one, with gradients with respect to images and weights.
#[derive(Debug, Clone, Copy)]
enum Conv {
    Forwards,
    Backwards,
}

impl Conv {
    fn of(self, x: Tensor<4>, weights: Tensor<4>, sides: Sides) -> Option<Tensor<4>> {
        if !computes(&x) {
            return None;
        }
        if !weights.device().is_autodiff() {
            let [x, weights] = [x, weights].map(|tensor| tensor.try_into_primitive::<Wgpu>().ok());
            return Some(Tensor::from_primitive::<Wgpu>(self.launch(x?, weights?, sides)));
        }
        // Images of the data set have no gradient.
        let x = if x.device().is_autodiff() { x } else { Tensor::from_inner(x) };
        let state = (untracked(&x)?, untracked(&weights)?, sides);
        let y = self.launch(state.0.clone(), state.1.clone(), sides);
        Some(track(self, [&tracked(&x)?, &tracked(&weights)?], state, y))
    }

    fn launch(self, x: Primitive, weights: Primitive, sides: Sides) -> Primitive {
        match self {
            Self::Forwards => <Wgpu as Shaders>::conv(x, weights, sides),
            Self::Backwards => <Wgpu as Shaders>::conv_images_gradient(x, weights, sides),
        }
    }

    fn turned(self) -> Self {
        match self {
            Self::Forwards => Self::Backwards,
            Self::Backwards => Self::Forwards,
        }
    }
}

impl Backward<Wgpu, 2> for Conv {
    type State = (Primitive, Primitive, Sides);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node_x, node_weights] = ops.parents;
        let (x, weights, sides) = ops.state;
        let dy = grads.consume::<Wgpu>(&ops.node);
        if let Some(node) = node_x {
            grads.register::<Wgpu>(node.id, self.turned().launch(dy.clone(), weights, sides));
        }
        if let Some(node) = node_weights {
            let (input, output) = match self {
                Self::Forwards => (x, dy),
                Self::Backwards => (dy, x),
            };
            grads.register::<Wgpu>(node.id, <Wgpu as Shaders>::conv_weights_gradient(input, output, sides));
        }
    }
}

/// The maxima of windows of `size` by `size` pixels side by side, of maps `[n, channels, h, w]`, where shaders run; `None` elsewhere.
pub fn max_pool(x: &Tensor<4>, size: usize) -> Option<Tensor<4>> {
    if !computes(x) {
        return None;
    }
    if !x.device().is_autodiff() {
        let x = x.clone().try_into_primitive::<Wgpu>().ok()?;
        return Some(Tensor::from_primitive::<Wgpu>(<Wgpu as Shaders>::max_pool(x, size)));
    }
    let values = untracked(x)?;
    let y = <Wgpu as Shaders>::max_pool(values.clone(), size);
    Some(track(MaxPool, [&tracked(x)?], (values, size), y))
}

/// The gradient of a maximum goes to where it came from.
#[derive(Debug)]
struct MaxPool;

impl Backward<Wgpu, 1> for MaxPool {
    type State = (Primitive, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node] = ops.parents;
        let (x, size) = ops.state;
        let dy = grads.consume::<Wgpu>(&ops.node);
        if let Some(node) = node {
            grads.register::<Wgpu>(node.id, <Wgpu as Shaders>::max_pool_gradient(x, dy, size));
        }
    }
}

/// Values with a share of them zeroed, as [`Wgsl::dropout`] does, while training where shaders run; `None`
/// elsewhere.
pub fn drop_out<const D: usize>(x: &Tensor<D>, progress: &Tensor<1, Int>, dropout: Dropout) -> Option<Tensor<D>> {
    if !takes(x) {
        return None;
    }
    let progress = progress.clone().try_into_primitive::<Wgpu>().ok()?;
    let y = <Wgpu as Shaders>::dropout(untracked(x)?, progress.clone(), dropout);
    Some(track(DropOut, [&tracked(x)?], (progress, dropout), y))
}

/// The gradient is dropped where the value was, and scaled as it was.
#[derive(Debug)]
struct DropOut;

impl Backward<Wgpu, 1> for DropOut {
    type State = (IntTensor<Wgpu>, Dropout);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node] = ops.parents;
        let (progress, dropout) = ops.state;
        let dy = grads.consume::<Wgpu>(&ops.node);
        if let Some(node) = node {
            grads.register::<Wgpu>(node.id, <Wgpu as Shaders>::dropout(dy, progress, dropout));
        }
    }
}

/// Normalizes by the batch, applies an activation, and blends the batch into the running mean and variance with the weight
/// `momentum`, while training where shaders run; `None` elsewhere.
pub fn norm_train(
    x: &Tensor<4>,
    [gamma, beta]: [&Tensor<1>; 2],
    [mean, variance]: [Tensor<1>; 2],
    (epsilon, momentum): (f64, f64),
    activation: Activation,
) -> Option<Normalized> {
    if !takes(x) {
        return None;
    }
    let inputs = [&tracked(x)?, &tracked(gamma)?, &tracked(beta)?];
    let channels = x.dims()[1];
    let (x, gamma, beta) = (untracked(x)?, untracked(gamma)?, untracked(beta)?);
    let running = |t: Tensor<1>| t.without_autodiff().try_into_primitive::<Wgpu>().ok();
    let numbers = (epsilon as f32, momentum as f32);
    let (output, statistics) =
        <Wgpu as Shaders>::norm(x.clone(), gamma, beta, running(mean)?, running(variance)?, numbers, activation);
    let output = track(Norm(activation), inputs, (x, statistics.clone(), channels), output);
    let part = |i: usize| Tensor::from_inner(Tensor::from_primitive::<Wgpu>(part(&statistics, i, channels)));
    Some(Normalized { output, running_mean: part(4), running_variance: part(5) })
}

/// One of the vectors `[channels]` that lie in one buffer, each at a place where it can be bound.
fn part(vectors: &Primitive, i: usize, channels: usize) -> Primitive {
    <Wgpu as Shaders>::view(vectors.clone(), i * norm::stride(channels), Shape::new([channels]))
}

/// Gradients of activation(batch norm(x)) with respect to x, scale and offset.
#[derive(Debug)]
struct Norm(Activation);

impl Backward<Wgpu, 3> for Norm {
    /// x; the statistics of the batch, with scale and offset; the channels.
    type State = (Primitive, Primitive, usize);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node_x, node_gamma, node_beta] = ops.parents;
        let (x, statistics, channels) = ops.state;
        let dy = grads.consume::<Wgpu>(&ops.node);
        let (dx, affine) = <Wgpu as Shaders>::norm_gradient(x, dy, statistics, self.0);
        let (dgamma, dbeta) = (part(&affine, 0, channels), part(&affine, 1, channels));
        for (node, gradient) in [(node_x, dx), (node_gamma, dgamma), (node_beta, dbeta)] {
            if let Some(node) = node {
                grads.register::<Wgpu>(node.id, gradient);
            }
        }
    }
}
