//! PyTorch's default initialisation, drawn on the host from the seed: every device starts from the same weights.

use burn::module::{Param, ParamId, RunningState};
use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Convolution, Precision, Products};

/// Makes the parameters of one layer after the other; the same seed and the same order give the same values.
pub struct Init {
    rng: ChaCha8Rng,
    next_id: u64,
    device: Device,
    products: Products,
    /// Whether what is made is left as it is.
    frozen: bool,
}

impl Init {
    /// Parameters made by this are on `device`; layers multiply as `products` says where the device can.
    pub fn new(seed: u64, products: impl Into<Products>, device: &Device) -> Self {
        let products = products.into();
        let products = Products { precision: products.precision.on(device), ..products };
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { rng, next_id: 0, device: device.clone(), products, frozen: false }
    }

    /// Leaves what is made from now on as it is, or has it trained.
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Whether what is made is left as it is.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The precision in which layers multiply.
    pub fn precision(&self) -> Precision {
        self.products.precision
    }

    /// The algorithm of convolutions.
    pub fn convolution(&self) -> Convolution {
        self.products.convolution
    }

    /// A trained parameter, uniform in `-bound..bound`.
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f32) -> Param<Tensor<D>> {
        let values = self.draw(shape.iter().product(), bound);
        self.given(values, shape)
    }

    /// So many values, uniform in `-bound..bound`.
    pub fn draw(&mut self, n: usize, bound: f32) -> Vec<f32> {
        // 24 random bits fill an f32's mantissa: k / 2^24 in [0, 1).
        let mut unit = || (self.rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32;
        (0..n).map(|_| (2.0 * unit() - 1.0) * bound).collect()
    }

    /// A trained parameter of these values.
    pub fn given<const D: usize>(&mut self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        let tensor = Tensor::from_data(TensorData::new(values, shape), &self.device);
        self.trained(tensor)
    }

    /// A parameter of these values that is not trained.
    pub fn fixed<const D: usize>(&mut self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        Param::initialized(self.id(), Tensor::from_data(TensorData::new(values, shape), &self.device))
    }

    /// A trained parameter of `n` equal values.
    pub fn constant(&mut self, value: f32, n: usize) -> Param<Tensor<1>> {
        self.trained(Tensor::full([n], value, &self.device))
    }

    /// A running statistic of `n` equal values.
    pub fn running(&mut self, value: f32, n: usize) -> RunningState<Tensor<1>> {
        RunningState::with_id(self.id(), Tensor::full([n], value, &self.device))
    }

    fn trained<const D: usize>(&mut self, tensor: Tensor<D>) -> Param<Tensor<D>> {
        let tensor = if self.device.is_autodiff() && !self.frozen { tensor.require_grad() } else { tensor };
        Param::initialized(self.id(), tensor)
    }

    /// Counted, not random as burn's default: the same model has the same ids in every process.
    fn id(&mut self) -> ParamId {
        self.next_id += 1;
        ParamId::from(self.next_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_uniform_within_the_bound_and_follow_the_seed() {
        let draw = |seed| {
            let mut init = Init::new(seed, Precision::F32, &Device::flex());
            init.uniform([50, 400], 0.05).val().into_data().try_to_vec::<f32>().unwrap()
        };
        let weights = draw(1);
        assert!(weights.iter().all(|w| w.abs() <= 0.05));
        let mean = weights.iter().sum::<f32>() / 20_000.0;
        let variance = weights.iter().map(|w| w * w).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.001, "{mean}");
        assert!((variance - 0.05f32.powi(2) / 3.0).abs() < 3e-5, "{variance}");
        assert_eq!(weights, draw(1));
        assert_ne!(weights, draw(2));
    }
}
