//! Training over the ranks of a job: each computes its share of every batch, the gradients meet in a sum that all get, and every
//! rank takes the same step. So all have the same weights, and none is the main one.
//!
//! As PyTorch's `DistributedDataParallel`. What a rank has to say beside its gradients travels with
//! them: its loss, whether a signal came, and whether the first rank wants to save.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Gradients, Tensor};

use super::Plan;
use super::buckets::Buckets;
use super::state::{Progress, TrainState};
use crate::compute::peers::{Peers, from_bytes, to_bytes};
use crate::compute::{AdapterKind, Devices, read, write};
use crate::data::{Dataset, Split, fnv_1a};
use crate::error::{Error, ErrorKind, Result};
use crate::network::flat::Cursor;
use crate::network::{Model, Summary, flat};
use crate::recipe::OptimizerConfig;

/// The ranks of a run, seen from one of them.
pub(super) struct Together {
    peers: Peers,
    /// Whether all devices compute the same to the last bit.
    alike: bool,
    /// The way of gradients where all of them are CPUs. Elsewhere every read waits for the device, and one is enough.
    buckets: Option<Arc<Buckets>>,
    /// Whether a layer's gradients go while those of others are computed.
    early: bool,
    /// The signal that one of the ranks was given, once all know of it.
    signal: AtomicUsize,
}

/// What all ranks gave to a step.
pub(super) struct Total {
    /// The gradients of all parameters, where the model is.
    pub gradients: Cursor,
    /// The loss of the batch.
    pub loss: f32,
    /// Whether the first rank wants the state to be whole, to save it.
    pub due: bool,
}

/// What travels before the gradients: the loss, a signal's number, who heard one, and the wish to save.
const BESIDE: usize = 4;

impl Together {
    /// The ranks that a process trains with; none where it trains by itself.
    pub fn new(devices: &Devices, plan: &Plan) -> Option<Self> {
        let peers = devices.ranks()?.clone();
        // Muon multiplies matrices, by kernels that a device may have chosen for itself.
        let alike = devices.are_alike() && !matches!(plan.optimizer(), OptimizerConfig::Muon { .. });
        let on_cpus = devices.info().each().iter().all(|info| info.kind == AdapterKind::Cpu);
        let buckets = on_cpus.then(|| Arc::new(Buckets::new(peers.clone())));
        // Where batches are normalized together, ranks exchange something else within the backward pass, and all of them have to
        // do everything in the same order.
        let early = pays_early(&plan.network().summary()) && !plan.shares_statistics();
        Some(Self { peers, alike, buckets, early, signal: AtomicUsize::new(0) })
    }

    /// Brings every rank to where the first one stands: its weights, its optimizer and its progress.
    ///
    /// # Errors
    /// Invalid data: a rank has other data, which is named. Device: a rank is gone.
    pub async fn begin(&self, mut state: TrainState, data: &Dataset) -> Result<TrainState> {
        let all = self.peers.gather(sketch(data).to_le_bytes().to_vec())?;
        if let Some(other) = all.iter().position(|found| *found != all[0]) {
            return Err(Error::invalid(format!(
                "rank {other} has other images than rank 0: give all machines the same files"
            )));
        }
        state.model = self.everything_of_first(state.model).await?;
        let optimizer = self.peers.broadcast(state.optimizer.to_bytes()?)?;
        let progress = serde_json::to_vec(&state.progress).unwrap_or_default(); // plain data, which JSON always holds
        let progress = self.peers.broadcast(progress)?;
        if self.peers.rank() > 0 {
            state.load_optimizer(optimizer)?;
            state.progress =
                serde_json::from_slice::<Progress>(&progress).map_err(|e| Error::invalid(e.to_string()))?;
        }
        Ok(state)
    }

    /// The model for a step whose gradients are [summed](Self::sum): where that is worth while, they travel while others are
    /// computed.
    pub fn sending(&self, model: &Model) -> Model {
        match &self.buckets {
            Some(buckets) if self.early => model.clone().heard_by(Arc::clone(buckets) as _),
            _ => model.clone(),
        }
    }

    /// Adds up what the ranks computed of a step: gradients and loss `[1]`, each weighted by its share. `signal` is what this
    /// rank has heard, `due` whether it wants to save.
    ///
    /// # Errors
    /// Device: a rank is gone, or the device cannot be read.
    pub async fn sum(
        &self,
        model: &Model,
        loss: Tensor<1>,
        gradients: Gradients,
        signal: usize,
        due: bool,
    ) -> Result<Total> {
        let device = loss.device();
        let first = self.peers.rank() == 0;
        let said = [signal as f32, f32::from(signal > 0), f32::from(due && first)];
        let said = Tensor::cat(vec![loss, Tensor::from_data(said, &device)], 0);
        let sums = match &self.buckets {
            Some(buckets) => buckets.finish(model, gradients, said)?,
            None => {
                let all = Tensor::cat(vec![said, flat::gradients(model, gradients)], 0);
                vec![self.peers.sum(read(all).await?)?]
            }
        };
        let [loss, signals, heard, due] =
            *sums.first().and_then(|sums| sums.first_chunk()).unwrap_or(&[f32::NAN; BESIDE]);
        if heard > 0.0 {
            self.signal.store((signals / heard) as usize, Ordering::Relaxed); // all were given the same
        }
        let mut gradients = Cursor::new(sums.into_iter().map(|sums| write(sums, &device)));
        let _ = gradients.take([BESIDE]);
        Ok(Total { gradients, loss, due: due > 0.0 })
    }

    /// The signal that all ranks know of; 0 where there is none.
    pub fn signal(&self) -> &AtomicUsize {
        &self.signal
    }

    /// Makes sure that all ranks have the same weights. On devices that are alike they must have; else those of the first are
    /// taken.
    ///
    /// # Errors
    /// Device: a rank has other weights, which is named; a rank is gone.
    pub async fn agree(&self, model: Model) -> Result<Model> {
        let parameters = flat::parameters(&model);
        if self.alike {
            let own = fnv_1a(read(parameters).await?.iter().map(|value| value.to_bits()));
            let all = self.peers.gather(own.to_le_bytes().to_vec())?;
            return match all.iter().position(|found| *found != all[0]) {
                None => Ok(model),
                Some(other) => Err(Error::new(
                    ErrorKind::Device,
                    format!(
                        "rank {other} has come to other weights than rank 0: its device, or its memory, computes wrongly"
                    ),
                )),
            };
        }
        let first = self.of_first(parameters).await?;
        Ok(flat::with_parameters(model, &first))
    }

    /// Gives every rank all values of the first, running statistics included.
    ///
    /// # Errors
    /// Device: a rank is gone, or the device cannot be read.
    pub async fn everything_of_first(&self, model: Model) -> Result<Model> {
        let first = self.of_first(flat::values(&model)).await?;
        Ok(flat::with_values(model, &first))
    }

    /// The first rank's vector, where this rank's own is.
    async fn of_first(&self, own: Tensor<1>) -> Result<Tensor<1>> {
        let device = own.device();
        let first = self.peers.broadcast(to_bytes(&read(own).await?))?;
        Ok(write(from_bytes(&first), &device))
    }
}

/// Whether the backward pass is long enough for sums to hide behind it: a convolution uses each weight at many pixels. Where most
/// are used once an image, as in linear layers, MPI only takes cores from the computation.
fn pays_early(network: &Summary) -> bool {
    network.multiply_adds() >= 4 * network.parameters()
}

/// So many images of a split are looked at to tell two sets apart, which may lie on a disk.
const LOOKED_AT: usize = 200;

/// A number by which other data are told apart: of all labels, and of some images.
fn sketch(data: &Dataset) -> u64 {
    let of_split = |split: &Split| {
        let some = (0..split.len()).step_by(split.len().div_ceil(LOOKED_AT));
        let pixels = some.filter_map(|image| split.image(image)).flatten();
        let labels = split.labels.iter().map(|&label| u32::from(label));
        labels.chain(pixels.map(|&byte| u32::from(byte))).collect::<Vec<_>>()
    };
    fnv_1a([of_split(&data.train), of_split(&data.test)].concat().into_iter())
}
