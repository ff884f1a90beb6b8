//! The gradients of a step on their way to the sum that all ranks get.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::tensor::{Gradients, Tensor};

use crate::compute::cpu::Listener;
use crate::compute::failure;
use crate::compute::peers::{Peers, Posted};
use crate::error::{Error, Result};
use crate::network::{Model, flat, groups};

/// Gradients of fewer values than this travel with their neighbours: below it, a message costs more to start than to send.
const BUCKET: usize = 1 << 18;

/// Adds up gradients on CPUs, in buckets that go while the backward pass still computes others. As PyTorch's
/// `DistributedDataParallel`: the last layer's come first, and the buckets are the same on all ranks, in the same order.
#[derive(Debug)]
pub(super) struct Buckets {
    peers: Peers,
    step: Mutex<Step>,
}

/// How far a step is.
#[derive(Debug, Default)]
struct Step {
    /// So many groups of layers, from the last on, are on their way or [open](Self::open).
    done: usize,
    /// Gradients that wait for those of groups behind theirs.
    heard: BTreeMap<usize, Vec<Tensor<1>>>,
    /// Gradients at the front of what is done, which wait for more to fill a bucket.
    open: Vec<Tensor<1>>,
    /// Buckets under way, the network's last first.
    posted: Vec<Posted>,
    /// The first thing that went wrong while nobody could be told.
    failed: Option<Error>,
}

impl Buckets {
    pub fn new(peers: Peers) -> Self {
        Self { peers, step: Mutex::default() }
    }

    /// Sends what is still to be sent of a step, `said` before everything, and waits for all sums: `said` and the gradients of
    /// all parameters, in their order.
    ///
    /// # Errors
    /// Device: a rank is gone.
    pub fn finish(&self, model: &Model, mut gradients: Gradients, said: Tensor<1>) -> Result<Vec<Vec<f32>>> {
        let mut step = std::mem::take(&mut *self.step.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(failed) = step.failed {
            return Err(failed);
        }
        for (group, layers) in groups(model.layers()).rev().enumerate().skip(step.done) {
            let heard = step.heard.remove(&group);
            let parts = || layers.iter().flat_map(|layer| flat::gradient_parts(layer, &mut gradients)).collect();
            step.take(heard.unwrap_or_else(parts), &self.peers)?;
        }
        let first = std::iter::once(said).chain(std::mem::take(&mut step.open)).collect();
        for bucket in flat::joined(first, BUCKET).into_iter().rev() {
            step.post(bucket, &self.peers)?;
        }
        let sums: Result<Vec<_>> = step.posted.iter().map(|posted| self.peers.collect(posted)).collect();
        Ok(sums?.into_iter().rev().collect())
    }
}

impl Step {
    /// Goes on with the gradients of the next group.
    fn take(&mut self, parts: Vec<Tensor<1>>, peers: &Peers) -> Result<()> {
        self.done += 1;
        let mut parts: Vec<_> = parts.into_iter().chain(std::mem::take(&mut self.open)).collect();
        let length = |part: &Tensor<1>| part.dims()[0];
        let short = parts.iter().take_while(|part| length(part) < BUCKET).count();
        if parts[..short].iter().map(length).sum::<usize>() < BUCKET {
            self.open = parts.drain(..short).collect();
        }
        flat::joined(parts, BUCKET).into_iter().rev().try_for_each(|bucket| self.post(bucket, peers))
    }

    fn post(&mut self, bucket: Tensor<1>, peers: &Peers) -> Result<()> {
        let values = bucket.into_data().try_into_vec().map_err(|e| failure::device(&e))?;
        self.posted.push(peers.post(values)?);
        Ok(())
    }
}

impl Listener for Buckets {
    fn hear(&self, group: usize, gradients: Vec<Tensor<1>>) {
        let mut step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        step.heard.insert(group, gradients);
        while let done = step.done
            && let Some(next) = step.heard.remove(&done)
            && step.failed.is_none()
        {
            step.failed = step.take(next, &self.peers).err();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::peers::threads;
    use crate::data::ImageShape;
    use crate::network::{Architecture, Network, Noise, Precision};
    use burn::tensor::Device;
    use std::sync::Arc;

    #[test]
    fn a_layers_gradients_go_before_those_of_earlier_layers_are_computed() {
        let layers: Architecture =
            "conv 3 bias off, norm, relu, residual [norm, conv 3], pool max 2, flatten, linear 600, norm, \
                                    relu, linear 500, gelu, linear classes"
                .parse()
                .unwrap();
        let network = Network::new(&layers, ImageShape { channels: 1, height: 28, width: 28 }, 10).unwrap();
        let model = network.build(1, Precision::F32, &Device::flex().autodiff());
        let loss = |model: &Model| {
            let images = Tensor::<1>::from_floats(
                (0..8 * 784).map(|i| (i as f32).sin()).collect::<Vec<_>>().as_slice(),
                &Device::flex(),
            );
            model.forward_with(images.reshape([8, 1, 28, 28]), Noise::none()).square().mean()
        };
        let values = |tensor: Tensor<1>| tensor.into_data().try_to_vec::<f32>().unwrap();
        let expected = values(flat::gradients(&model, loss(&model).backward()));

        let buckets = Arc::new(Buckets::new(threads(1).remove(0)));
        let model = model.heard_by(Arc::clone(&buckets) as _);
        for _ in 0..2 {
            let gradients = loss(&model).backward();
            {
                let step = buckets.step.lock().unwrap();
                assert_eq!(
                    step.done,
                    groups(model.layers()).count() - 1,
                    "all but the first layer, whose input nobody trains"
                );
                assert_eq!(step.posted.len(), 4, "the linear layers of 300,000 values, and what is behind each");
            }
            let said = Tensor::from_floats([5.0, 6.0], &Device::flex());
            let found = buckets.finish(&model, gradients, said).unwrap();
            assert!(found.len() > 2 && found.concat() == [&[5.0, 6.0], &*expected].concat());
        }
    }
}
