//! What random layers draw from.

use burn::tensor::{DType, FloatDType, Int, Tensor, TensorData};

use crate::compute::shaders::{self, Dropout, Wgsl};
use crate::random::philox;

/// The random numbers of one training step. Each depends on the seed, the epoch, the step, the layer, and the place of the
/// value in the batch, and on nothing else: a run that goes on draws what it would have drawn, several devices draw what one
/// would, and every device draws the same.
#[derive(Debug)]
pub struct Noise {
    step: Step,
    seed: u64,
    /// Images of the batch before the first one at hand.
    first_image: usize,
    /// Random layers so far.
    layers: u32,
}

/// Which step it is.
#[derive(Debug)]
enum Step {
    /// None: nothing is drawn.
    None,
    /// The step of the epoch, and the epoch.
    Known([u32; 2]),
    /// Second and third of these numbers, on the device, which counts its steps by itself.
    OnDevice(Wgsl, Box<Tensor<1, Int>>),
}

impl Noise {
    /// Nothing is drawn: for inference, and where a test wants a network to be certain.
    pub fn none() -> Self {
        Self { step: Step::None, seed: 0, first_image: 0, layers: 0 }
    }

    /// The numbers of a step of an epoch, both counted from 0, for a share of the batch that begins with this image.
    pub fn new(seed: u64, epoch: usize, step: usize, first_image: usize) -> Self {
        Self { step: Step::Known([step as u32, epoch as u32]), seed, first_image, layers: 0 }
    }

    /// The numbers of the step that a device that runs shaders is at: `progress` is the position of the
    /// batch, the step of the epoch, and the epoch.
    pub fn on_device(wgsl: Wgsl, seed: u64, progress: Tensor<1, Int>) -> Self {
        Self { step: Step::OnDevice(wgsl, Box::new(progress)), seed, first_image: 0, layers: 0 }
    }

    /// Zeroes a share, from 0 to below 1, of values `[n, ...]`, and scales up the others.
    pub fn drop_out<const D: usize>(&mut self, x: Tensor<D>, share: f64) -> Tensor<D> {
        let layer = self.layers;
        self.layers += 1;
        if share == 0.0 {
            return x;
        }
        let (dims, device) = (x.dims(), x.device().inner());
        let first = self.first_image * dims[1..].iter().product::<usize>();
        let dropout = Dropout { seed: self.seed, layer, first, share };
        let mask: Tensor<D> = match &self.step {
            Step::None => return x,
            Step::OnDevice(wgsl, progress) => {
                if let Some(dropped) = shaders::drop_out(&x, progress, dropout) {
                    return dropped;
                }
                wgsl.dropout(Tensor::ones(dims, &device), Tensor::clone(progress), dropout)
            }
            Step::Known(step) => {
                Tensor::from_data(TensorData::new(mask(&dropout, *step, x.shape().num_elements()), dims), &device)
            }
        };
        let mask = if x.dtype() == DType::F16 { mask.cast(FloatDType::F16) } else { mask };
        x * Tensor::from_inner(mask)
    }
}

/// What each of `n` values is multiplied by: the CPU twin of `shaders/dropout.wgsl`.
fn mask(dropout: &Dropout, [step, epoch]: [u32; 2], n: usize) -> Vec<f32> {
    let (threshold, scale) = (dropout.threshold(), dropout.scale());
    let (first, end) = (dropout.first, dropout.first + n);
    let mut mask = Vec::with_capacity(n + 8);
    for four in first / 4..end.div_ceil(4) {
        let bits = philox([four as u32, step, epoch, dropout.layer], dropout.seed);
        mask.extend(bits.map(|bits| if bits < threshold { 0.0 } else { scale }));
    }
    mask.drain(..first % 4);
    mask.truncate(n);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn dropped(mut noise: Noise, images: usize, share: f64) -> Vec<f32> {
        noise.drop_out(Tensor::<2>::ones([images, 7], &Device::flex()), share).into_data().try_to_vec().unwrap()
    }

    #[test]
    fn the_share_is_dropped_and_the_rest_scaled_up() {
        let values = dropped(Noise::new(1, 2, 3, 0), 10_000, 0.2);
        assert!(values.iter().all(|&v| v == 0.0 || v == 1.25));
        let zeros = values.iter().filter(|&&v| v == 0.0).count();
        assert!((13_500..14_500).contains(&zeros), "{zeros} of 70,000"); // 14,000 expected, sigma 106
        assert_eq!(dropped(Noise::none(), 3, 0.5), [1.0; 21]);
    }

    #[test]
    fn shares_of_a_batch_draw_what_the_whole_draws() {
        let whole = dropped(Noise::new(5, 0, 9, 0), 10, 0.5);
        let parts = [dropped(Noise::new(5, 0, 9, 0), 3, 0.5), dropped(Noise::new(5, 0, 9, 3), 7, 0.5)].concat();
        assert_eq!(whole, parts);
    }

    #[test]
    fn seed_epoch_step_and_layer_each_make_a_difference() {
        let first = dropped(Noise::new(0, 0, 0, 0), 20, 0.5);
        for other in
            [Noise::new(1, 0, 0, 0), Noise::new(1 << 32, 0, 0, 0), Noise::new(0, 1, 0, 0), Noise::new(0, 0, 1, 0)]
        {
            assert_ne!(dropped(other, 20, 0.5), first);
        }
        let mut noise = Noise::new(0, 0, 0, 0);
        noise.drop_out(Tensor::<2>::ones([1, 1], &Device::flex()), 0.5);
        assert_ne!(dropped(noise, 20, 0.5), first);
    }
}
