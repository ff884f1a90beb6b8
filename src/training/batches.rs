//! A split on the device: uploaded once as bytes, shuffled by one permutation an epoch, gathered and scaled a batch at a time
//! where the model runs. A split that does not fit is streamed to it, batch by batch.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use bytes::Bytes;

use super::ahead::{Ahead, Rows};
use super::augmentation::{Change, apply, change, gather_changed};
use super::order::{OnDevice, epoch_rng, permutation};
use super::photo::Photo;
use crate::compute::shaders::{Source, Wgsl};
use crate::compute::{DeviceInfo, cpu, is_cpu};
use crate::data::{ImageShape, Label, Split};
use crate::recipe::Augment;

pub use super::order::Order;

/// Images of so many bytes are left where they are on the CPU.
const MOST_ON_CPU: u64 = 1 << 30;

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
    labels: Vec<Label>,
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
    /// They do not stay on the device.
    Streamed(Rows),
}

impl DeviceSplit {
    /// Uploads a split. `device` may have autodiff on or off; batches do not track gradients.
    pub fn new(split: &Split, device: &Device) -> Self {
        let device = device.clone().inner();
        let device_labels = on_device(&split.labels, &device);
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

    /// A split where a device of this kind computes: whole, or, where its images have more bytes than `most`, or than the device's
    /// largest buffer, to be streamed.
    pub fn placed(split: &Split, device: &Device, info: &DeviceInfo, most: Option<u64>) -> Self {
        // The CPU has the images in its memory, or mapped from a file: then they are better brought there ahead.
        let most = most.or(info.max_buffer_bytes).unwrap_or(MOST_ON_CPU);
        let bytes = split.len() as u64 * split.shape.len().next_multiple_of(4) as u64;
        if bytes > most { Self::streamed(split, device) } else { Self::new(split, device) }
    }

    /// A split whose images stay where they are, and go to the device batch by batch.
    pub fn streamed(split: &Split, device: &Device) -> Self {
        let device = device.clone().inner();
        let (shape, len) = (split.shape, split.shape.len());
        let padded = if is_cpu(&device) { len } else { len.next_multiple_of(4) };
        let pixels = Pixels::Streamed(Rows { pixels: split.pixels.clone(), shape, padded });
        Self {
            pixels,
            device_labels: on_device(&split.labels, &device),
            labels: split.labels.clone(),
            shape,
            shaders: Wgsl::of(&device),
            device,
        }
    }

    /// Whether the images go to the device batch by batch.
    pub fn is_streamed(&self) -> bool {
        matches!(self.pixels, Pixels::Streamed(_))
    }

    /// Begins to make ready what [`batch`](Self::batch) will be asked for: these ranges of an order, where the split is streamed.
    pub fn make_ready(&self, order: &mut Order, ranges: &[Range<usize>]) {
        if let Pixels::Streamed(rows) = &self.pixels {
            order.ahead = Ahead::start(rows, &order.indices, &order.photos, ranges);
        }
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
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The images for drawing, if they are where wgpu can draw them.
    pub fn source(&self) -> Option<Source> {
        match &self.pixels {
            Pixels::Host(_) | Pixels::Streamed(_) => None,
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
        if augment.is_of_photographs() && self.is_streamed() {
            let images = indices.iter().enumerate();
            let photo = |(position, &image): (usize, &i32)| {
                Photo::new(augment, self.shape, seed, epoch, position, image.cast_unsigned())
            };
            let photos = Arc::new(images.map(photo).collect());
            return Order { photos, ..self.changed_order(indices, Vec::new()) };
        }
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
        Order { indices, changes, on_device, photos: Arc::default(), ahead: None }
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
                        let images = gather_changed(bytes, self.shape, indices, changes, SCALE);
                        Tensor::from_data(TensorData::new(images, dims), &self.device)
                    }
                    None => cpu::gather(bytes, indices, SCALE, dims),
                };
                Batch { images, labels: Tensor::from_data(TensorData::new(labels, [n]), &self.device) }
            }
            (Pixels::Streamed(rows), _) => {
                let ready = order.ahead.as_ref().and_then(|ahead| ahead.take(&range));
                let photos = order.photos.get(range.clone()).unwrap_or_default();
                let ready = ready.unwrap_or_else(|| rows.gather(&order.indices[range.clone()], photos));
                let part = self.holding(order.indices(range.clone()), ready, rows.padded);
                let changes = order.changes.get(range).unwrap_or_default().to_vec();
                let order = part.changed_order((0..n as i32).collect(), changes);
                part.batch(&order, 0..n)
            }
            (Pixels::Packed(_), None) => unreachable!("`order` uploads the indices of a packed split"),
        }
    }

    /// A small split of some images of this one, whose bytes are `rows`, so many each.
    fn holding(&self, images: &[i32], rows: Vec<u8>, padded: usize) -> Self {
        let n = images.len();
        let labels: Vec<Label> = images.iter().map(|&image| self.labels[image as usize]).collect();
        let device_labels = on_device(&labels, &self.device);
        let pixels = if is_cpu(&self.device) {
            Pixels::Host(rows.into())
        } else {
            // Four bytes are a word, the first the lowest, on every processor that this runs on.
            let words = TensorData::from_bytes_vec(rows, [n, padded / 4], DType::I32);
            Pixels::Packed(Tensor::from_data(words, &self.device))
        };
        Self { pixels, labels, device_labels, shape: self.shape, device: self.device.clone(), shaders: self.shaders }
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

/// Labels as numbers on a device, `[n]`.
fn on_device(labels: &[Label], device: &Device) -> Tensor<1, Int> {
    let numbers: Vec<i32> = labels.iter().map(|&label| i32::from(label)).collect();
    Tensor::from_data(TensorData::new(numbers, [labels.len()]), device)
}

/// One image, `shape.len()` bytes, as a model sees it: `[1, channels, height, width]`, scaled as batches are.
pub fn one_image(pixels: &[u8], shape: ImageShape, device: &Device) -> Tensor<4> {
    let dims = [1, shape.channels, shape.height, shape.width];
    let scaled: Vec<f32> = pixels.iter().map(|&byte| f32::from(byte) * SCALE).collect();
    Tensor::from_data(TensorData::new(scaled, dims), device)
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
        Split { pixels, labels: (0..n).map(|i| (i % 10) as Label).collect(), shape }
    }

    #[test]
    fn a_streamed_split_gives_the_batches_of_one_that_stays() {
        let (split, device) = (split(23, 5), Device::flex());
        for augment in [Augment::OFF, Augment { crop: 1, flip: crate::recipe::Flip::Random, ..Augment::OFF }] {
            let (here, there) = (DeviceSplit::new(&split, &device), DeviceSplit::streamed(&split, &device));
            let (order, mut ahead) = (here.shuffled(3, 1, augment), there.shuffled(3, 1, augment));
            there.make_ready(&mut ahead, &[0..8, 8..16]);
            // The last is not made ready.
            for range in [0..8, 8..16, 16..23] {
                let [one, other] = [here.batch(&order, range.clone()), there.batch(&ahead, range)];
                assert_eq!(one.images.into_data(), other.images.into_data());
                assert_eq!(one.labels.into_data(), other.labels.into_data());
            }
        }
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
            let values = gather_changed(&bytes, shape, &[0], &[change], SCALE);
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
