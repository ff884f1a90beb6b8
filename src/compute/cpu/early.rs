//! Gradients that are heard of while the backward pass still goes on.
//!
//! burn computes backwards by depth: when the gradient of a value is asked for, everything that was made of that value is done.
//! So an operation that passes its input on as it is hears, in its backward pass, that the layers behind it are done.

use std::fmt;
use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::tensor::Tensor;

use super::tensors::{Tracked, track, tracked};

/// Hears of gradients during the backward pass.
pub trait Listener: fmt::Debug + Send + Sync {
    /// Takes the gradients of all parameters of a group of layers, each as a vector, in the order of the parameters.
    fn hear(&self, group: usize, gradients: Vec<Tensor<1>>);
}

/// The parameters of a group of layers, and who wants to hear of their gradients.
#[derive(Debug, Clone)]
pub struct Announcement {
    listener: Arc<dyn Listener>,
    group: usize,
    /// burn gives a gradient only for the tensor itself. It advises against tensors in what a backward pass knows, since a forward
    /// pass without a backward pass would then never be forgotten: nobody listens to such a pass.
    parameters: Vec<FloatTensor<Tracked>>,
}

impl Announcement {
    /// Announces to `listener` the gradients of a group of layers with this number.
    pub fn new(listener: &Arc<dyn Listener>, group: usize) -> Self {
        Self { listener: Arc::clone(listener), group, parameters: Vec::new() }
    }

    /// Adds a parameter of the group. One that is not on the CPU with autodiff is ignored.
    pub fn add<const D: usize>(&mut self, parameter: &Tensor<D>) {
        self.parameters.extend(tracked(parameter));
    }

    /// Passes `x`, the input of the group, on as it is. In the backward pass the gradients of the group are taken out and
    /// announced, if all of them are there. An input without gradients, as images are, stays one.
    pub fn before<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match x.device().is_autodiff().then(|| tracked(&x)).flatten() {
            Some(input) => track(Announce, [&input], self.clone(), input.primitive().clone()),
            None => x,
        }
    }
}

#[derive(Debug)]
struct Announce;

impl Backward<Flex, 1> for Announce {
    type State = Announcement;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [parent] = ops.parents;
        let gradient = grads.consume::<Flex>(&ops.node);
        if let Some(parent) = parent {
            grads.register::<Flex>(parent.id, gradient);
        }
        let Announcement { listener, group, parameters } = ops.state;
        // Some operations hand on a parameter's gradient by way of another operation, which comes last. Where it is there it is
        // whole, since a layer uses each of its parameters once.
        if parameters.iter().all(|parameter| grads.get::<Flex>(parameter).is_some()) {
            let gradients = parameters.iter().filter_map(|parameter| grads.remove::<Flex>(parameter));
            let gradients = gradients.map(|gradient| {
                let n = gradient.layout().num_elements();
                Tensor::<1>::from_primitive::<Flex>(gradient.reshape([n].into()))
            });
            listener.hear(group, gradients.collect());
        }
    }
}
