//! Layers whose gradients are heard of while the backward pass still goes on.

use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::layers::{Built, Forward};
use super::{Activation, Noise};
use crate::compute::cpu::{Announcement, Listener};

/// Layers in groups, each up to the next layer that has weights; what normalizes or activates stays with the layer before it.
pub(crate) fn groups(layers: &[Built]) -> impl DoubleEndedIterator<Item = &[Built]> {
    let begins = |layer: &Built| matches!(layer, Built::Linear(_) | Built::Conv(_) | Built::Residual(_));
    layers.chunk_by(move |_, next| !begins(next))
}

/// What layers make of `x`. In the backward pass, on the CPU, `listener` hears of the gradients of every [group](groups), the
/// last of which is number 0, since it is done first.
pub(super) fn heard(
    layers: &[Built],
    mut x: Activation,
    noise: &mut Noise,
    listener: &Arc<dyn Listener>,
) -> Activation {
    let groups: Vec<_> = groups(layers).collect();
    for (i, layers) in groups.iter().enumerate() {
        let mut trained = Trained(Announcement::new(listener, groups.len() - 1 - i));
        layers.iter().for_each(|layer| layer.visit(&mut trained));
        x = x.map(|maps| trained.0.before(maps), |vectors| trained.0.before(vectors));
        x = Built::sequence(layers, x, noise);
    }
    x
}

/// Announces what is trained.
struct Trained(Announcement);

impl ModuleVisitor for Trained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        if tensor.is_require_grad() {
            self.0.add(&tensor);
        }
    }
}
