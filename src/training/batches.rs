//! A split on the device: uploaded once as bytes, shuffled by one permutation an epoch, gathered and scaled a
//! batch at a time where the model runs.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::augmentation::{Change, apply, change};
use crate::compute::shaders::{self, Source, Wgsl};
use crate::compute::{cpu, is_cpu};
use crate::data::{ImageShape, Split};
use crate::random::shuffle;
use crate::recipe::Augment;

/// Images and labels that a model can take.
pub struct Batch {
    /// `[n, channels, height, width]`, each value a pixel divided by 255.
    pub images: Tensor<4>,
    /// `[n]`, class indices.
    pub labels: Tensor<1, Int>,
}

/// A split, resident where the model runs.
pub struct DeviceSplit {
    pixels: Pixels,
    labels: Vec<u8>,
    device_labels: Tensor<1, Int>,
    shape: ImageShape,
    device: Device,
    shaders: Option<Wgsl>,
}

/// The bytes of all images. On the CPU the host's memory is the device's. GPU shaders have no 8-bit type, so
/// there four pixels share a 32-bit word, the first in the lowest byte.
#[allow(clippy::large_enum_variant)] // there are two of them in a run
enum Pixels {
    Host(Bytes),
    Packed(Tensor<2, Int>),
}

/// The order in which a split is gone through, and what is done to the image at each position.
pub struct Order {
    indices: Vec<i32>,
    /// One a position, or none at all.
    changes: Vec<Change>,
    /// Indices and changes on the device, where the images are there.
    on_device: Option<OnDevice>,
}

#[derive(Clone)]
struct OnDevice {
    indices: Tensor<1, Int>,
    /// As [`shaders::encode`] writes them.
    changes: Tensor<1, Int>,
    /// Zero, to which the beginning of a batch is added.
    origin: Tensor<1, Int>,
}

impl Order {
    /// Puts another order of as many images where this one lies on the device. On the host this one stays.
    pub fn overwrite(&self, other: &Self) {
        let Some(old) = &self.on_device else { return };
        shaders::write(&old.indices, &other.indices);
        let unchanged = || vec![Change::default(); other.indices.len()];
        let changes = if other.changes.is_empty() { &unchanged() } else { &other.changes };
        shaders::write(&old.changes, &changes.iter().map(|change| change.encode()).collect::<Vec<_>>());
    }

    /// Which images of the split are at these positions.
    pub fn indices(&self, range: Range<usize>) -> &[i32] {
        &self.indices[range]
    }
}

impl DeviceSplit {
    /// Uploads a split. `device` may have autodiff on or off; batches do not track gradients.
    pub fn new(split: &Split, device: &Device) -> Self {
        let device = device.clone().inner();
        let labels: Vec<i32> = split.labels.iter().map(|&l| i32::from(l)).collect();
        let device_labels = Tensor::from_data(TensorData::new(labels, [split.len()]), &device);
        let pixels = if is_cpu(&device) {
            Pixels::Host(split.pixels.clone())
        } else {
            let words_per_image = split.shape.len().div_ceil(4);
            let words: Vec<i32> = split
                .pixels
                .chunks_exact(split.shape.len())
                .flat_map(|image| image.chunks(4))
                .map(|four| four.iter().rev().fold(0u32, |word, &byte| word << 8 | u32::from(byte)).cast_signed())
                .collect();
            Pixels::Packed(Tensor::from_data(TensorData::new(words, [split.len(), words_per_image]), &device))
        };
        let shaders = Wgsl::of(&device);
        Self { pixels, labels: split.labels.clone(), device_labels, shape: split.shape, device, shaders }
    }

    /// The split without shaders of our own, for comparison: batches are composed of burn's operations.
    pub fn without_shaders(self) -> Self {
        Self { shaders: None, ..self }
    }

    /// The shaders of our own by which batches are gathered, and may be measured; `None` where there are none.
    pub fn shaders(&self) -> Option<Wgsl> {
        self.shaders
    }

    /// The device of the split, with autodiff off.
    pub fn device(&self) -> Device {
        self.device.clone()
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The shape of every image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// The labels, on the host.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The images for drawing, if they are where wgpu can draw them.
    pub fn source(&self) -> Option<Source> {
        match &self.pixels {
            Pixels::Host(_) => None,
            Pixels::Packed(words) => Source::packed(words.clone(), self.shape),
        }
    }

    /// The images in the order of the files.
    pub fn in_order(&self) -> Order {
        self.order((0..self.len() as i32).collect())
    }

    /// The order of one epoch, a permutation, and the augmentation of its images. Both depend on the seed and the
    /// epoch alone.
    pub fn shuffled(&self, seed: u64, epoch: usize, augment: Augment) -> Order {
        let mut rng = epoch_rng(seed, epoch);
        let indices = permutation(self.len(), &mut rng);
        let changes = match augment {
            Augment::OFF => Vec::new(),
            augment => {
                let images = indices.iter().enumerate();
                images.map(|(position, &image)| change(augment, seed, epoch, position, image.cast_unsigned())).collect()
            }
        };
        self.changed_order(indices, changes)
    }

    /// These images, in this order; every index is below [`len`](Self::len).
    pub fn order(&self, indices: Vec<i32>) -> Order {
        self.changed_order(indices, Vec::new())
    }

    fn changed_order(&self, indices: Vec<i32>, changes: Vec<Change>) -> Order {
        let upload = |words: Vec<i32>| {
            let n = words.len();
            Tensor::from_data(TensorData::new(words, [n]), &self.device)
        };
        let on_device = matches!(self.pixels, Pixels::Packed(_)).then(|| {
            let unchanged = || Tensor::full([indices.len()], Change::default().encode(), &self.device);
            let encoded = || upload(changes.iter().map(|change| change.encode()).collect());
            let on_device = if changes.is_empty() { unchanged() } else { encoded() };
            OnDevice { indices: upload(indices.clone()), changes: on_device, origin: upload(vec![0]) }
        });
        Order { indices, changes, on_device }
    }

    /// Gathers the images at positions `range` of an order. The last range of an epoch may be shorter.
    pub fn batch(&self, order: &Order, range: Range<usize>) -> Batch {
        let n = range.len();
        let ImageShape { channels, height, width } = self.shape;
        let dims = [n, channels, height, width];
        match (&self.pixels, &order.on_device) {
            (Pixels::Packed(words), Some(on_device)) if let Some(wgsl) = self.shaders => {
                self.gather(wgsl, words, on_device, &on_device.origin, range)
            }
            (Pixels::Packed(words), Some(OnDevice { indices, .. })) => {
                let changes = order.changes.get(range.clone()).unwrap_or_default();
                let indices = indices.clone().slice([range]);
                let labels = self.device_labels.clone().select(0, indices.clone());
                let images = unpack(words.clone().select(0, indices), self.shape.len()).reshape(dims);
                Batch { images: if changes.is_empty() { images } else { apply(images, changes) }, labels }
            }
            (Pixels::Host(bytes), _) => {
                let indices = &order.indices[range.clone()];
                let labels: Vec<i32> = indices.iter().map(|&i| i32::from(self.labels[i as usize])).collect();
                let images = match order.changes.get(range) {
                    Some(changes) => {
                        let images = gather_changed(bytes, self.shape, indices, changes);
                        Tensor::from_data(TensorData::new(images, dims), &self.device)
                    }
                    None => cpu::gather(bytes, indices, SCALE, dims),
                };
                Batch { images, labels: Tensor::from_data(TensorData::new(labels, [n]), &self.device) }
            }
            (Pixels::Packed(_), None) => unreachable!("`order` uploads the indices of a packed split"),
        }
    }

    /// The next `n` images of an order, from the position that is the first number of `position`, on the device. `None` where
    /// batches are not gathered by a shader.
    pub fn batch_at(&self, order: &Order, position: &Tensor<1, Int>, n: usize) -> Option<Batch> {
        match (self.shaders, &self.pixels, &order.on_device) {
            (Some(wgsl), Pixels::Packed(words), Some(on_device)) => {
                Some(self.gather(wgsl, words, on_device, position, 0..n))
            }
            _ => None,
        }
    }

    fn gather(
        &self,
        wgsl: Wgsl,
        words: &Tensor<2, Int>,
        order: &OnDevice,
        position: &Tensor<1, Int>,
        range: Range<usize>,
    ) -> Batch {
        let OnDevice { indices, changes, .. } = order.clone();
        let (words, labels) = (words.clone(), self.device_labels.clone());
        let (images, labels) =
            wgsl.gather_batch(words, labels, [indices, changes], position.clone(), range, self.shape);
        Batch { images, labels }
    }
}

/// The random numbers of one epoch.
fn epoch_rng(seed: u64, epoch: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1 + epoch as u64); // stream 0 initialises the weights
    rng
}

/// The numbers below `n`, shuffled.
fn permutation(n: usize, rng: &mut ChaCha8Rng) -> Vec<i32> {
    let mut order: Vec<i32> = (0..n as i32).collect();
    shuffle(&mut order, rng);
    order
}

/// One image, `shape.len()` bytes, as a model sees it: `[1, channels, height, width]`, scaled as batches are.
pub fn one_image(pixels: &[u8], shape: ImageShape, device: &Device) -> Tensor<4> {
    let dims = [1, shape.channels, shape.height, shape.width];
    let scaled: Vec<f32> = pixels.iter().map(|&byte| f32::from(byte) * SCALE).collect();
    Tensor::from_data(TensorData::new(scaled, dims), device)
}

/// Scaled values of the images at `indices`, each image changed on the way.
fn gather_changed(bytes: &[u8], shape: ImageShape, indices: &[i32], changes: &[Change]) -> Vec<f32> {
    let mut out = Vec::with_capacity(indices.len() * shape.len());
    for (&index, change) in indices.iter().zip(changes) {
        let image = &bytes[index as usize * shape.len()..][..shape.len()];
        let columns: Vec<usize> = (0..shape.width).map(|x| change.column(x, shape.width)).collect();
        for plane in image.chunks_exact(shape.height * shape.width) {
            for y in 0..shape.height {
                let row = &plane[change.row(y, shape.height) * shape.width..][..shape.width];
                out.extend(columns.iter().map(|&x| f32::from(row[x]) * SCALE));
            }
        }
    }
    out
}

/// Pixels are divided by 255; as a factor, so that every device computes the same.
const SCALE: f32 = 1.0 / 255.0;

/// Packed words `[n, ceil(len / 4)]` -> scaled values `[n, len]`.
fn unpack(words: Tensor<2, Int>, len: usize) -> Tensor<2> {
    let [n, words_per_image] = words.dims();
    let shifts: Tensor<3, Int> = Tensor::from_data([[[0, 8, 16, 24]]], &words.device());
    let words = words.unsqueeze_dim::<3>(2).repeat_dim(2, 4);
    let bytes = words.bitwise_right_shift(shifts.expand([n, words_per_image, 4])).bitwise_and_scalar(255);
    let values = bytes.float().mul_scalar(SCALE).reshape([n, words_per_image * 4]);
    if words_per_image * 4 == len { values } else { values.narrow(1, 0, len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(n: usize, len: usize) -> Split {
        let shape = ImageShape { channels: 1, height: 1, width: len };
        let pixels = (0..n * len).map(|i| (i * 37 % 256) as u8).collect();
        Split { pixels, labels: (0..n).map(|i| (i % 10) as u8).collect(), shape }
    }

    #[test]
    fn a_permutation_holds_every_index_and_depends_on_seed_and_epoch() {
        let permutation = |n, seed, epoch| permutation(n, &mut epoch_rng(seed, epoch));
        let order = permutation(1000, 7, 3);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_eq!(order, permutation(1000, 7, 3));
        assert_ne!(order, permutation(1000, 7, 4));
        assert_ne!(order, permutation(1000, 8, 3));
        // Known answer: a saved run resumes with a later version of this program only if this stays.
        assert_eq!(permutation(8, 0, 0), KNOWN_PERMUTATION);
    }

    const KNOWN_PERMUTATION: [i32; 8] = [7, 0, 1, 4, 3, 2, 5, 6];

    #[test]
    fn positions_of_a_permutation_are_uniform() {
        // Where does image 0 end up? Over 4,000 epochs each of 8 places is expected 500 times, sigma 21.
        let mut places = [0; 8];
        for epoch in 0..4000 {
            let order = permutation(8, &mut epoch_rng(1, epoch));
            places[order.iter().position(|&i| i == 0).unwrap()] += 1;
        }
        assert!(places.iter().all(|&n| (n - 500i32).abs() < 105), "{places:?}");
    }

    #[test]
    fn a_batch_holds_the_images_of_its_positions() {
        let split = split(5, 3);
        let on_device = DeviceSplit::new(&split, &Device::flex());
        let order = on_device.order(vec![4, 0, 2]);
        let batch = on_device.batch(&order, 1..3);
        let expected: Vec<f32> = [0usize, 2]
            .iter()
            .flat_map(|&i| split.image(i).unwrap().iter().map(|&b| f32::from(b) / 255.0).collect::<Vec<_>>())
            .collect();
        let found: Vec<f32> = batch.images.into_data().try_to_vec().unwrap();
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-7), "{found:?} {expected:?}");
        assert_eq!(batch.labels.into_data().iter::<i64>().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn augmentation_shifts_reflects_and_flips_alike_on_host_and_device() {
        let shape = ImageShape { channels: 2, height: 3, width: 4 };
        let bytes: Vec<u8> = (0..24).collect();
        let value = |change: Change| -> Vec<u8> {
            let values = gather_changed(&bytes, shape, &[0], &[change]);
            let images = cpu::gather(&bytes, &[0], SCALE, [1, 2, 3, 4]);
            let on_device: Vec<f32> = apply(images, &[change]).into_data().try_to_vec().unwrap();
            assert_eq!(values, on_device, "{change:?}");
            values.iter().map(|v| (v * 255.0).round() as u8).collect()
        };
        let none = Change { down: 0, right: 0, flip: false };
        assert_eq!(value(none), bytes);
        assert_eq!(value(Change { flip: true, ..none })[..4], [3, 2, 1, 0]);
        assert_eq!(value(Change { down: 1, ..none })[..12], [4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(value(Change { right: -2, ..none })[..4], [2, 3, 2, 1]);
        assert_eq!(value(Change { right: 1, flip: true, ..none })[12..16], [14, 15, 14, 13]);
    }

    #[test]
    fn packed_words_unpack_to_the_same_values() {
        for len in [1, 3, 4, 5, 784] {
            let split = split(3, len);
            let words: Vec<i32> = split
                .pixels
                .chunks_exact(len)
                .flat_map(|image| image.chunks(4))
                .map(|four| four.iter().rev().fold(0u32, |word, &byte| word << 8 | u32::from(byte)).cast_signed())
                .collect();
            let words = Tensor::from_data(TensorData::new(words, [3, len.div_ceil(4)]), &Device::flex());
            let found: Vec<f32> = unpack(words, len).into_data().try_to_vec().unwrap();
            let expected = cpu::gather(&split.pixels, &[0, 1, 2], SCALE, [3, 1, 1, len]);
            assert_eq!(found, expected.into_data().try_to_vec::<f32>().unwrap(), "length {len}");
        }
    }
}
