//! Test-time augmentation: several views of an image, and the mean of what a network says of them.

use burn::tensor::Tensor;

use super::augmentation::{Change, apply};
use crate::network::Model;
use crate::recipe::Views;

impl Views {
    /// What is done to the image for each view, and its weight. The weights add up to 1.
    fn changes(self) -> Vec<(Change, f32)> {
        let view = |shift: i32, flip: bool| Change {
            down: shift,
            right: if flip { -shift } else { shift }, // it is the shifted image that is mirrored
            flip,
        };
        let both = |shift: i32, weight: f32| [(view(shift, false), weight), (view(shift, true), weight)];
        match self {
            Self::Plain => vec![(Change::default(), 1.0)],
            Self::Mirror => both(0, 0.5).to_vec(),
            Self::MirrorAndShift => [both(0, 0.25), both(1, 0.125), both(-1, 0.125)].concat(),
        }
    }

    /// The logits `[n, classes]` of images `[n, channels, height, width]`: the weighted mean over the views.
    pub fn logits(self, model: &Model, images: Tensor<4>) -> Tensor<2> {
        if self == Self::Plain {
            return model.forward(images);
        }
        let n = images.dims()[0];
        let view = |(change, weight): (Change, f32)| {
            let changed =
                if change == Change::default() { images.clone() } else { apply(images.clone(), &vec![change; n]) };
            model.forward(changed).mul_scalar(weight)
        };
        self.changes().into_iter().map(view).reduce(Tensor::add).unwrap_or_else(|| model.forward(images.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::recipe::Recipe;
    use burn::tensor::{Device, TensorData};

    fn values(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn weights_add_up_to_one_and_a_mirrored_image_has_the_same_logits() {
        let shape = ImageShape { channels: 3, height: 4, width: 5 };
        let device = Device::flex();
        let model = Recipe::preset("linear_v0-mse").unwrap().model(shape, 3, &device).unwrap();
        let pixels: Vec<f32> = (0..2 * shape.len()).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
        let images = Tensor::<4>::from_data(TensorData::new(pixels, [2, 3, 4, 5]), &device);
        let mirrored = images.clone().flip([3]);
        for views in [Views::Mirror, Views::MirrorAndShift] {
            assert_eq!(views.changes().iter().map(|(_, weight)| weight).sum::<f32>(), 1.0);
        }
        let [a, b] = [&images, &mirrored].map(|images| Views::Mirror.logits(&model, images.clone()).into_data());
        a.assert_approx_eq::<f32>(&b, burn::tensor::Tolerance::absolute(1e-5));
        let plain = Views::Plain.logits(&model, images.clone()).into_data();
        assert_eq!(plain, model.forward(images).into_data());
    }

    #[test]
    fn a_shifted_view_is_mirrored_as_a_whole() {
        let image: Vec<f32> = (0..20u8).map(f32::from).collect();
        let image = Tensor::<4>::from_data(TensorData::new(image, [1, 1, 4, 5]), &Device::flex());
        let changes = Views::MirrorAndShift.changes();
        for pair in changes.chunks(2) {
            let [view, mirrored] = [pair[0].0, pair[1].0].map(|change| apply(image.clone(), &[change]));
            assert_eq!(values(view.flip([3])), values(mirrored));
        }
    }
}
