//! What optimizers remember, where they compute with it.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use crate::compute::{failure, is_cpu};
use crate::error::Result;
use crate::network::flat::Cursor;

/// What a rule remembers of earlier gradients: as many vectors as it [names](super::rule::names), each of a value for every parameter.
#[derive(Clone)]
pub(super) enum Moments {
    /// Whole vectors `[parameters]`, where the CPU computes, and after loading.
    Host(Vec<Vec<f32>>),
    /// On the device that computes, a vector for each tensor of parameters, or one for all.
    Device(Vec<Vec<Tensor<1>>>),
}

impl Moments {
    /// Zeros for rules that have not taken a step, and moved to the device's side where it is not the CPU. `sizes` gives
    /// those of the tensors of parameters, which the CPU does not ask for at every step.
    pub fn placed(self, count: usize, sizes: impl FnOnce() -> Vec<usize>, device: &Device) -> Self {
        if matches!(&self, Self::Host(moments) if moments.len() == count && is_cpu(device)) {
            return self;
        }
        let sizes = sizes();
        let moments = match self {
            Self::Host(moments) if moments.is_empty() => vec![vec![0.0; sizes.iter().sum()]; count],
            Self::Host(moments) => moments,
            Self::Device(moments) if moments.iter().all(|parts| parts.len() == sizes.len()) => {
                return Self::Device(moments);
            }
            Self::Device(moments) => {
                let pieces = |parts: Vec<Tensor<1>>| {
                    let whole = Tensor::cat(parts, 0);
                    let mut cursor = Cursor::new([whole]);
                    sizes.iter().map(|&n| cursor.take([n])).collect()
                };
                return Self::Device(moments.into_iter().map(pieces).collect());
            }
        };
        if is_cpu(device) {
            return Self::Host(moments);
        }
        let split = |moment: Vec<f32>| {
            let mut rest = &moment[..];
            let mut upload = |&n: &usize| {
                let (values, after) = rest.split_at(n);
                rest = after;
                Tensor::from_data(TensorData::new(values.to_vec(), [n]), device)
            };
            sizes.iter().map(&mut upload).collect()
        };
        Self::Device(moments.into_iter().map(split).collect())
    }

    /// The first moment `[values]` of a tensor of parameters, by its position among them and the place of its values.
    pub fn part(&self, tensor: usize, values: Range<usize>, device: &Device) -> Tensor<1> {
        match self {
            Self::Host(moments) => {
                let part = moments[0][values].to_vec();
                let n = part.len();
                Tensor::from_data(TensorData::new(part, [n]), device)
            }
            Self::Device(moments) => moments[0][tensor].clone(),
        }
    }

    /// Sets what [`part`](Self::part) gives.
    pub fn set_part(&mut self, tensor: usize, first_value: usize, new: Tensor<1>) {
        match self {
            Self::Host(moments) => {
                let data = new.into_data();
                if let Ok(new) = data.as_slice::<f32>() {
                    moments[0][first_value..][..new.len()].copy_from_slice(new);
                }
            }
            Self::Device(moments) => moments[0][tensor] = new,
        }
    }

    /// On the host, each in one piece.
    ///
    /// # Errors
    /// Device: they cannot be read.
    pub fn to_host(&self) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Host(moments) => Ok(moments.clone()),
            Self::Device(moments) => {
                let read = |moment: &Vec<Tensor<1>>| {
                    let data = Tensor::cat(moment.clone(), 0).try_into_data().map_err(|e| failure::device(&e))?;
                    data.try_to_vec().map_err(|e| failure::device(&e))
                };
                moments.iter().map(read).collect()
            }
        }
    }
}
