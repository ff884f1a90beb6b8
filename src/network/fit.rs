//! What some layers learn from the train images before the first step: the mean and standard deviation of `normalize`, and the
//! filters of `whiten`. Both become weights, so that a file of weights has all that a network computes with.
//!
//! Sums are of whole numbers, which the pixels are: the same on every machine.

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};

use super::Model;
use super::layers::Built;
use crate::data::Split;

/// Images whose patches are whitened, at most; as in airbench (Keller Jordan, 2024).
const IMAGES: usize = 5_000;
/// Patches at most: those of as many images of CIFAR-10. Larger images have more of them than are worth the time.
const PATCHES: usize = IMAGES * 32 * 32;
/// Added to how much patches vary along a direction, so that what is hardly there is not blown up; as in airbench.
const EPSILON: f64 = 5e-4;
/// The largest value of a pixel, which a network sees as 1.
const WHITE: f64 = 255.0;

impl Model {
    /// The network with its first layers fitted to train images, of which there is one at least.
    #[must_use]
    pub fn fitted(mut self, images: &Split) -> Self {
        let mut channels = vec![Channel { mean: 0.0, std: 1.0 }; images.shape.channels];
        for layer in self.layers_mut() {
            match layer {
                Built::Normalize(normalize) => {
                    channels = of_channels(images);
                    set(&mut normalize.mean, channels.iter().map(|channel| channel.mean));
                    set(&mut normalize.std, channels.iter().map(|channel| channel.std));
                }
                Built::Whiten(whiten) => {
                    let side = whiten.weight.dims()[3];
                    set(&mut whiten.weight, whitening(images, side, &channels).into_iter());
                }
                _ => break,
            }
        }
        self
    }
}

/// Puts values in the place of a parameter's.
fn set<const D: usize>(param: &mut Param<Tensor<D>>, values: impl Iterator<Item = f64>) {
    let old = param.val();
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    *param = Param::initialized(param.id, Tensor::from_data(TensorData::new(values, old.dims()), &old.device()));
}

/// A channel of images as a network sees them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Channel {
    mean: f64,
    /// The standard deviation; 1 where all pixels are equal.
    std: f64,
}

fn of_channels(images: &Split) -> Vec<Channel> {
    let plane = images.shape.height * images.shape.width;
    let of = |channel: usize| {
        let planes = images.pixels.chunks_exact(plane).skip(channel).step_by(images.shape.channels);
        let sums =
            |(sum, squares): (u64, u64), &pixel: &u8| (sum + u64::from(pixel), squares + u64::from(pixel).pow(2));
        let (sum, squares) = planes.flatten().fold((0, 0), sums);
        let n = (images.len() * plane) as f64;
        let mean = sum as f64 / n;
        let std = (squares as f64 / n - mean * mean).max(0.0).sqrt();
        Channel { mean: mean / WHITE, std: if std > 0.0 { std / WHITE } else { 1.0 } }
    };
    (0..images.shape.channels).map(of).collect()
}

/// Filters `[2 * directions, channels, side, side]`, one after the other, for images whose channels are normalized first.
fn whitening(images: &Split, side: usize, channels: &[Channel]) -> Vec<f64> {
    let mut directions = eigenvectors(moments(images, side, channels));
    directions.sort_by(|a, b| b.0.total_cmp(&a.0));
    let filter = |(variance, direction): &(f64, Vec<f64>)| {
        // The largest component is positive, whichever way the solver left it.
        let largest = direction.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        let scale = largest.signum() / (variance.max(0.0) + EPSILON).sqrt();
        direction.iter().map(|component| component * scale).collect::<Vec<_>>()
    };
    let positive = directions.iter().map(filter).collect::<Vec<_>>().concat();
    positive.iter().copied().chain(positive.iter().map(|weight| -weight)).collect()
}

/// The means of the products of any two values of a patch `[channels, side, side]`, over all patches.
fn moments(images: &Split, side: usize, channels: &[Channel]) -> Vec<Vec<f64>> {
    let shape = images.shape;
    let (down, across) = (shape.height - side + 1, shape.width - side + 1);
    let some = (PATCHES / (down * across)).clamp(1, IMAGES).min(images.len());
    let n = channels.len() * side * side;
    let (mut sums, mut products) = (vec![0u64; n], vec![vec![0u64; n]; n]);
    for image in images.pixels.chunks_exact(shape.len()).take(some) {
        // A value of all patches in a row of them.
        let values = |k: usize, y: usize| {
            let (channel, dy, dx) = (k / (side * side), k / side % side, k % side);
            &image[(channel * shape.height + y + dy) * shape.width + dx..][..across]
        };
        for y in 0..down {
            for a in 0..n {
                let left = values(a, y);
                sums[a] += left.iter().map(|&pixel| u64::from(pixel)).sum::<u64>();
                for (b, sum) in products[a].iter_mut().enumerate().skip(a) {
                    // A row is at most 65,536 pixels long, and so fits.
                    let product = |(&p, &q): (&u8, &u8)| u32::from(p) * u32::from(q);
                    *sum += u64::from(left.iter().zip(values(b, y)).map(product).sum::<u32>());
                }
            }
        }
    }
    let count = (some * down * across) as f64;
    let mean = |k: usize| sums[k] as f64 / count / WHITE;
    let moment = |a: usize, b: usize| {
        let [of_a, of_b] = [a, b].map(|k| channels[k / (side * side)]);
        let product = products[a.min(b)][a.max(b)] as f64 / count / WHITE / WHITE;
        (product - of_a.mean * mean(b) - of_b.mean * mean(a) + of_a.mean * of_b.mean) / (of_a.std * of_b.std)
    };
    (0..n).map(|a| (0..n).map(|b| moment(a, b)).collect()).collect()
}

/// The eigenvalues of a symmetric matrix, each with its eigenvector of length 1: by rotations that make one off-diagonal value
/// after the other zero (Jacobi, 1846).
fn eigenvectors(mut matrix: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    /// It takes half a dozen sweeps.
    const SWEEPS: usize = 50;
    let n = matrix.len();
    // Row `i` becomes the eigenvector of the i-th value.
    let mut vectors: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|k| f64::from(u8::from(i == k))).collect()).collect();
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let off = matrix[p][q];
                if off.abs() <= f64::EPSILON * (matrix[p][p] * matrix[q][q]).abs().sqrt() {
                    continue;
                }
                rotated = true;
                let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * off);
                let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let rotate = |a: f64, b: f64| (cosine * (a - tangent * b), cosine * (tangent * a + b));
                for row in &mut matrix {
                    (row[p], row[q]) = rotate(row[p], row[q]);
                }
                for k in 0..n {
                    (matrix[p][k], matrix[q][k]) = rotate(matrix[p][k], matrix[q][k]);
                    (vectors[p][k], vectors[q][k]) = rotate(vectors[p][k], vectors[q][k]);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    vectors.into_iter().enumerate().map(|(i, vector)| (matrix[i][i], vector)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::network::{Architecture, Network, Precision};
    use crate::random::philox;
    use burn::tensor::Device;

    /// Images whose neighbouring pixels and channels are alike, and unlike in size.
    fn images(n: usize) -> Split {
        let shape = ImageShape { channels: 2, height: 9, width: 8 };
        let pixel = |i: usize| {
            let noise = philox([i as u32 / 3, 0, 0, 0], 5)[0] % 90 + philox([i as u32, 1, 0, 0], 5)[0] % 30;
            (noise + if (i / 72).is_multiple_of(2) { 100 } else { 20 }) as u8
        };
        Split { pixels: (0..n * shape.len()).map(pixel).collect(), labels: vec![0; n], shape }
    }

    fn model(layers: &str, images: &Split) -> Model {
        let layers: Architecture = format!("{layers}, flatten, linear classes").parse().unwrap();
        let network = Network::new(&layers, images.shape, 3).unwrap();
        network.build(0, Precision::F32, &Device::flex()).fitted(images)
    }

    /// What a layer makes of all images, `[values of a channel]` of every channel.
    fn outputs(model: &Model, images: &Split, layer: usize) -> Vec<Vec<f64>> {
        let ImageShape { channels, height, width } = images.shape;
        let pixels: Vec<f32> = images.pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        let x = TensorData::new(pixels, [images.len(), channels, height, width]);
        let maps = model.activation(Tensor::<4>::from_data(x, &Device::flex()), layer).maps();
        let dims = maps.dims();
        let values: Vec<f32> = maps.permute([1, 0, 2, 3]).into_data().try_to_vec().unwrap();
        values.chunks(values.len() / dims[1]).map(|channel| channel.iter().map(|&v| f64::from(v)).collect()).collect()
    }

    fn mean_product(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn normalized_channels_have_mean_zero_and_deviation_one() {
        let images = images(50);
        for channel in outputs(&model("normalize", &images), &images, 0) {
            let mean = channel.iter().sum::<f64>() / channel.len() as f64;
            assert!(mean.abs() < 1e-5 && (mean_product(&channel, &channel) - 1.0).abs() < 1e-4, "{mean}");
        }
        let equal = Split { pixels: vec![7; 144].into(), labels: vec![0], ..images };
        assert!(outputs(&model("normalize", &equal), &equal, 0).concat().iter().all(|value| value.abs() < 1e-6));
    }

    #[test]
    fn whitened_patches_are_uncorrelated_and_of_one_size() {
        let images = images(200);
        for (layers, layer) in [("normalize, whiten", 1), ("whiten kernel 3", 0)] {
            let maps = outputs(&model(layers, &images), &images, layer);
            let half = maps.len() / 2;
            for (i, a) in maps[..half].iter().enumerate() {
                for (k, b) in maps[..half].iter().enumerate() {
                    let expected = if i == k { 1.0 } else { 0.0 };
                    let found = mean_product(a, b);
                    // A direction along which patches hardly vary stays smaller.
                    let fits = if i == k { (0.8..1.001).contains(&found) } else { (found - expected).abs() < 2e-3 };
                    assert!(fits, "{layers} {i} {k}: {found}");
                }
                assert!(a.iter().zip(&maps[half + i]).all(|(a, b)| (a + b).abs() < 1e-4), "{layers} {i}: its negative");
            }
        }
    }

    #[test]
    fn eigenvectors_are_what_a_matrix_only_stretches() {
        let matrix: Vec<Vec<f64>> = vec![vec![4.0, 1.0, -2.0], vec![1.0, 3.0, 0.5], vec![-2.0, 0.5, 1.0]];
        let found = eigenvectors(matrix.clone());
        assert!((found.iter().map(|(value, _)| value).sum::<f64>() - 8.0).abs() < 1e-12);
        for (value, vector) in &found {
            assert!((mean_product(vector, vector) * 3.0 - 1.0).abs() < 1e-12);
            for (row, component) in matrix.iter().zip(vector) {
                assert!((mean_product(row, vector) * 3.0 - value * component).abs() < 1e-12, "{value} {vector:?}");
            }
        }
    }
}
