//! What a GPU computes, against the CPU: batches with and without augmentation, and two adapters side by side.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, Tolerance};
use common::{Need, gpus, ok, required, skip, tinderbox};
use serde_json::Value;
use tinderbox::compute::shaders::{self, Gpu, Layout, Source, Tile, TileGrid, Way, Wgsl, draw_on_cpu};
use tinderbox::compute::{AdapterKind, Devices, LossKind, Request, choose, list};
use tinderbox::data::{Identity, ImageShape, Split, load};
use tinderbox::network::{Architecture, Model, Noise, Precision, flat};
use tinderbox::notice::silent;
use tinderbox::recipe::{Augment, Flip, Recipe, Views};
use tinderbox::training::batches::DeviceSplit;
use tinderbox::training::metrics::{self, Measure};
use tinderbox::training::{Event, Observer, Observers, Plan, train, verify};

#[test]
fn batches_are_the_same_on_every_device() {
    for device in gpus("batches_are_the_same_on_every_device") {
        batches_are_the_same_on(&device);
    }
}

fn batches_are_the_same_on(device: &Device) {
    // Sides that are no multiple of four, so that the last word of an image is partly filled.
    let shape = ImageShape { channels: 3, height: 7, width: 5 };
    let split = Split {
        pixels: (0..23 * shape.len()).map(|i| (i * 89 % 256) as u8).collect(),
        labels: (0..23).map(|i| i % 10).collect(),
        shape,
    };
    let (cpu, gpu) = (DeviceSplit::new(&split, &Device::flex()), DeviceSplit::new(&split, device));
    let streamed = DeviceSplit::streamed(&split, device);
    for augment in [
        Augment { crop: 0, flip: Flip::Never, ..Augment::OFF },
        Augment { crop: 2, flip: Flip::Random, ..Augment::OFF },
    ] {
        let ranges = [0..8, 8..16, 16..23];
        let mut orders = [&cpu, &gpu, &streamed].map(|split| split.shuffled(5, 1, augment));
        streamed.make_ready(&mut orders[2], &ranges);
        for range in ranges {
            let [a, b, c] =
                [(&cpu, 0), (&gpu, 1), (&streamed, 2)].map(|(split, i)| split.batch(&orders[i], range.clone()));
            let values = |images: burn::tensor::Tensor<4>| images.into_data().try_to_vec::<f32>().unwrap();
            let expected = values(a.images);
            assert_eq!(expected, values(b.images), "{augment:?}");
            assert_eq!(expected, values(c.images), "streamed, {augment:?}");
            let labels =
                |t: burn::tensor::Tensor<1, burn::tensor::Int>| t.into_data().iter::<i64>().collect::<Vec<_>>();
            let expected = labels(a.labels);
            assert_eq!((&expected, &expected), (&labels(b.labels), &labels(c.labels)));
        }
    }
}

/// A device split without shaders composes its batches, and the measurements of a test set, of burn's operations.
#[test]
fn shaders_agree_with_burns_operations() {
    for device in gpus("shaders_agree_with_burns_operations") {
        shaders_agree_on(&device);
    }
}

fn shaders_agree_on(device: &Device) {
    let shape = ImageShape { channels: 3, height: 7, width: 5 };
    let split = Split {
        pixels: (0..1037 * shape.len()).map(|i| (i * 89 % 256) as u8).collect(),
        labels: (0..1037).map(|i| (i % 10) as u16).collect(),
        shape,
    };
    let with = DeviceSplit::new(&split, device);
    assert!(with.shaders().is_some(), "wgpu is handed WGSL");
    let without = DeviceSplit::new(&split, device).without_shaders();
    let on_cpu = DeviceSplit::new(&split, &Device::flex());
    let augment = Augment { crop: 2, flip: Flip::Random, ..Augment::OFF };
    let order = with.shuffled(1, 1, augment);
    let values = |images: burn::tensor::Tensor<4>| images.into_data().try_to_vec::<f32>().unwrap();
    for range in [0..1, 1..1030, 1030..1037] {
        let [a, b] = [&with, &without].map(|split| values(split.batch(&order, range.clone()).images));
        assert_eq!(a, b);
    }

    // Every loss, with batches that do not divide the set, against both.
    for loss in [LossKind::Ce, LossKind::CeOnProbabilities, LossKind::Mse] {
        let recipe = Recipe { seed: 3, ..Recipe::preset("linear_v0-mse").unwrap() };
        let measure = |split: &DeviceSplit, batch| {
            let model = recipe.model(shape, 10, &split.device()).unwrap();
            let never = AtomicUsize::new(0);
            let how = Measure { loss, classes: 10, batch_size: batch, views: Views::Plain, ranks: None };
            pollster::block_on(metrics::evaluate(&model, split, how, &never)).unwrap()
        };
        let expected = measure(&on_cpu, 1037);
        for (split, batch) in [(&with, 1037), (&with, 100), (&without, 500)] {
            let found = measure(split, batch);
            assert_eq!(found.predictions, expected.predictions, "{loss}");
            assert_eq!(found.confusion, expected.confusion, "{loss}");
            assert!((found.loss - expected.loss).abs() < 1e-5, "{loss}: {} {}", found.loss, expected.loss);
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
            assert!(found.confidences.iter().zip(&expected.confidences).all(close), "{loss}");
        }
    }
}

#[test]
fn every_adapter_is_verified() {
    for device in gpus("every_adapter_is_verified") {
        let found = pollster::block_on(verify(&device)).unwrap();
        found.refuse("the adapter").unwrap();
        assert!(found.largest() > 0.0 && found.replayed, "{found:?}");
    }
}

/// Bytes, values and weights, grey and coloured, drawn from the device's memory as from the host's.
#[test]
fn grids_are_drawn_alike_on_every_device() {
    let mut candidates = list(&Request::Gpu);
    let software = required(Need::Gpu);
    candidates.retain(|c| c.info.kind != AdapterKind::Cpu && (software || c.info.kind != AdapterKind::Software));
    if candidates.is_empty() {
        return skip(Need::Gpu, "grids_are_drawn_alike_on_every_device", "there is no GPU in hardware");
    }
    for candidate in candidates {
        let (device, gpu) = candidate.open_shared().unwrap();
        let grid = TileGrid::new(&gpu.unwrap(), wgpu::TextureFormat::Rgba8Unorm);
        let layout = Layout { columns: 3, tile: 40, gap: 12, background: 0x112233 };
        let tiles: Vec<Tile> = [4, 0, 6, 1].into_iter().map(|image| Tile { image, frame: 0xff0080 + image }).collect();
        for (channels, side) in [(1, 28), (3, 9), (1, 5)] {
            let shape = ImageShape { channels, height: side, width: side };
            let pixels: Vec<u8> = (0..7 * shape.len()).map(|i| (i * 89 % 256) as u8).collect();
            let split = Split { pixels: pixels.clone().into(), labels: vec![0; 7], shape };
            let expected = draw_on_cpu(&split, &layout, &tiles);
            let source = DeviceSplit::new(&split, &device).source().unwrap();
            assert_eq!(grid.picture(&source, &layout, &tiles).unwrap(), expected, "bytes {shape:?}");
            assert!(grid.picture(&source, &layout, &[]).unwrap().is_empty());
            let huge = Layout { columns: 10_000, ..layout };
            assert!(grid.picture(&source, &huge, &tiles).is_none(), "no adapter has textures this wide");

            let values: Vec<f32> = pixels.iter().map(|&p| f32::from(p) - 100.0).collect();
            let values = Tensor::<2>::from_data(TensorData::new(values, [7, shape.len()]), &device);
            for source in [
                Source::values(values.clone(), shape, [-100.0, 155.0]).unwrap(),
                Source::weights(values.transpose(), shape, [-100.0, 155.0]).unwrap(),
            ] {
                assert_eq!(grid.picture(&source, &layout, &tiles).unwrap(), expected, "values {shape:?}");
            }
        }
    }
}

/// Products in half precision stay near those in single, forward and backward.
#[test]
fn half_precision_stays_near_single() {
    for device in gpus("half_precision_stays_near_single") {
        if !device.supports_dtype(burn::tensor::DType::F16) {
            continue; // SwiftShader has none
        }
        let device = device.autodiff();
        let shape = ImageShape { channels: 1, height: 28, width: 28 };
        let pixels: Vec<f32> = (0..20 * shape.len()).map(|i| (i * 89 % 256) as f32 / 255.0).collect();
        let images = Tensor::<4>::from_data(TensorData::new(pixels, [20, 1, 28, 28]), &device);
        let labels = Tensor::from_data(TensorData::new((0..20).map(|i| i % 10).collect(), [20]), &device);
        let run = |precision: Precision| {
            let recipe = Recipe { precision, ..Recipe::preset("linear_v1-bn-ce").unwrap() };
            let model = recipe.model(shape, 10, &device).unwrap();
            let logits = model.forward(images.clone());
            let loss = recipe.loss.compute(logits.clone(), labels.clone(), 0.0) * precision.loss_scale();
            let gradients = flat::gradients(&model, loss.backward()) / precision.loss_scale();
            let logits = logits.inner().into_data().try_to_vec::<f32>().unwrap();
            [logits, gradients.into_data().try_to_vec().unwrap()]
        };
        for (half, single) in run(Precision::F16).into_iter().zip(run(Precision::F32)) {
            let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
            let difference: Vec<f32> = half.iter().zip(&single).map(|(a, b)| a - b).collect();
            let relative = norm(&difference) / norm(&single);
            assert!(relative > 0.0 && relative < 0.02, "{relative}");
        }
    }
}

/// lavapipe and SwiftShader are both there, and each run computes on the one it named.
#[test]
fn two_adapters_of_a_kind_are_not_mixed_up() {
    let drivers = ["/usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "/usr/lib/chromium/vk_swiftshader_icd.json"];
    if !required(Need::Browser) || drivers.iter().any(|driver| !Path::new(driver).is_file()) {
        return skip(
            Need::Browser,
            "two_adapters_of_a_kind_are_not_mixed_up",
            "needs lavapipe and SwiftShader (Debian: chromium), and minutes",
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, device: &str| -> (String, String) {
        let args = ["train", "linear_v0-mse", "--dataset", "mnist-sample", "--fraction", "0.1", "--batch", "100"];
        let rest = ["--epochs", "1", "--name", name, "--device", device];
        let mut command = tinderbox(dir.path(), &[&args[..], &rest].concat());
        command.env("VK_DRIVER_FILES", drivers.join(":")).env("CUBECL_AUTOTUNE_LEVEL", "minimal");
        let (code, stdout, stderr) = common::text(command.output().unwrap());
        assert_eq!(code, 0, "{device}: {stdout}\n{stderr}");
        assert!(!stderr.contains("panicked"), "{device}: {stderr}");
        let folder = dir.path().join("runs/mnist-sample").join(name);
        let about: Value = serde_json::from_slice(&std::fs::read(folder.join("device.json")).unwrap()).unwrap();
        (about["name"].as_str().unwrap().to_string(), std::fs::read_to_string(folder.join("steps.csv")).unwrap())
    };
    ok(dir.path(), &["devices"]);
    let losses = |csv: &str| -> Vec<f64> {
        csv.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
    };
    let expected = losses(&run("cpu", "cpu").1);
    for (name, device) in [("a", "llvmpipe"), ("b", "swiftshader")] {
        let (adapter, csv) = run(name, device);
        assert!(adapter.to_lowercase().contains(device), "{device}: {adapter}");
        let found = losses(&csv);
        assert_eq!(found.len(), 4);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{device}: {found:?} {expected:?}");
    }
}

#[test]
fn weights_are_the_same_on_another_device() {
    for device in gpus("weights_are_the_same_on_another_device") {
        let shape = ImageShape { channels: 3, height: 32, width: 32 };
        for name in ["vgg11", "linear_v1"] {
            let network = Architecture::named(name).unwrap().with(|settings| settings.width = 0.1);
            let recipe = |seed| Recipe { seed, network: network.clone(), ..Recipe::preset("linear_v1-bn-ce").unwrap() };
            let on_gpu = recipe(1).model(shape, 10, &device).unwrap();
            let skeleton = recipe(2).model(shape, 10, &Device::flex()).unwrap();
            let bytes = |model: &Model| tinderbox::weights::to_bytes(model, "").unwrap();
            assert_ne!(bytes(&skeleton), bytes(&on_gpu), "another seed");
            let copied = pollster::block_on(flat::copy(&on_gpu, skeleton)).unwrap();
            assert_eq!(bytes(&copied), bytes(&on_gpu));
        }
    }
}

/// A device that is taken away in the middle of a run is an error, not a panic and not a hang.
#[test]
fn a_lost_device_is_an_error() {
    let Some(request) = common::gpu_request("a_lost_device_is_an_error") else { return };
    struct Lose(Gpu);
    impl Observer for Lose {
        fn notify(&mut self, event: &Event<'_>) -> tinderbox::error::Result<()> {
            if let Event::Epoch { history, .. } = event
                && history.len() == 2
            {
                self.0.device.destroy();
            }
            Ok(())
        }
    }
    let request = Request::from(request.as_str());
    let mut candidates = list(&request);
    let index = choose(&candidates, &request).unwrap();
    let info = candidates[index].info.clone();
    let (device, gpu) = candidates.swap_remove(index).open_shared().unwrap();
    let recipe = Recipe { epochs: 5.0, batch_size: 100, fraction: 0.1, ..Recipe::preset("linear_v0-mse").unwrap() };
    let dataset = load(&Identity::MnistSample, None, &mut silent).unwrap().dataset;
    let plan = Plan::new(&recipe, &Arc::new(dataset)).unwrap();
    let devices = Devices::one(device, info);
    let mut observers = Observers::default().with(Lose(gpu.unwrap()));
    let never = AtomicUsize::new(0);
    let run = train(&plan, &devices, plan.start(devices.main()), &never, &mut observers);
    let error = pollster::block_on(run).err().expect("the device is gone");
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("the device"), "{error}");
    println!("{error}");
}

#[test]
fn a_device_drops_what_the_cpu_drops() {
    for device in gpus("a_device_drops_what_the_cpu_drops") {
        for (dims, first_image, share) in [([6, 5, 3, 7], 0, 0.3), ([5, 1, 1, 7], 3, 0.5), ([1, 1, 1, 1], 0, 0.0)] {
            let values: Vec<f32> = (1..=dims.iter().product()).map(|i: usize| i as f32).collect();
            let drop = |mut noise: Noise, device: &Device| -> Vec<f32> {
                let x = Tensor::<4>::from_data(TensorData::new(values.clone(), dims), device);
                noise.drop_out(x, share).into_data().try_to_vec().unwrap()
            };
            let seed = 0x0123_4567_89ab_cdef;
            let expected = drop(Noise::new(seed, 4, 9, first_image), &Device::flex());
            assert_eq!(drop(Noise::new(seed, 4, 9, first_image), &device), expected);
            if first_image == 0 {
                let wgsl = Wgsl::of(&device).expect("wgpu is handed WGSL");
                let noise = || Noise::on_device(wgsl, seed, Tensor::from_data([12, 9, 4, 0], &device));
                assert_eq!(drop(noise(), &device), expected, "{device:?}");
                assert_eq!(drop(noise(), &device.clone().autodiff()), expected);
            }
        }
    }
}

/// Images and kernels of many sides, whole tiles and parts of them, one slice of pixels and several.
#[test]
fn convolutions_and_their_gradients_are_those_of_burn() {
    for device in gpus("convolutions_and_their_gradients_are_those_of_burn") {
        for (x, outputs, kernel, padding) in [
            ([3, 5, 7, 4], 7, 3, 1),
            ([2, 70, 8, 8], 65, 3, 1),
            ([40, 3, 9, 9], 4, 5, 2),
            ([2, 3, 6, 5], 4, 3, 0),
            ([1, 1, 1, 1], 1, 1, 0),
            ([4, 8, 2, 2], 9, 4, 3),
        ] {
            let values = |n: usize| -> Vec<f32> { (0..n).map(|i| (i * 7919 % 257) as f32 / 257.0 - 0.5).collect() };
            let run = |device: &Device| {
                let device = &device.clone().autodiff();
                let tensor = |dims: [usize; 4]| {
                    let data = TensorData::new(values(dims.iter().product()), dims);
                    Tensor::<4>::from_data(data, device).require_grad()
                };
                let (x, weights) = (tensor(x), tensor([outputs, x[1], kernel, kernel]));
                let y = match shaders::convolve(&x, &weights, padding, Way::Ours) {
                    Some(y) => y,
                    None => conv2d(x.clone(), weights.clone(), None, ConvOptions::new([1; 2], [padding; 2], [1; 2], 1)),
                };
                let pick = tensor(y.dims());
                let gradients = (y.clone() * pick.detach()).sum().backward();
                [y.inner(), x.grad(&gradients).unwrap(), weights.grad(&gradients).unwrap()]
            };
            for (found, expected) in run(&device).into_iter().zip(run(&Device::flex())) {
                assert_eq!(found.dims(), expected.dims());
                let values = |t: Tensor<4>| t.into_data().try_to_vec::<f32>().unwrap();
                let (found, expected) = (values(found), values(expected));
                let length = |v: &mut dyn Iterator<Item = f32>| v.map(|v| v * v).sum::<f32>().sqrt();
                let difference = length(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
                let whole = length(&mut expected.iter().copied());
                assert!(difference <= 1e-5 * whole, "{x:?} {outputs} {kernel} {padding}: {difference} of {whole}");
            }
        }
    }
}

/// The products of linear layers in a page, which natively are burn's.
#[test]
fn products_and_their_gradients_are_those_of_burn() {
    for device in gpus("products_and_their_gradients_are_those_of_burn") {
        for [n, inputs, outputs] in [[5, 7, 3], [1, 784, 10], [70, 65, 130], [1, 1, 1]] {
            let values = |n: usize| -> Vec<f32> { (0..n).map(|i| (i * 7919 % 257) as f32 / 257.0 - 0.5).collect() };
            let run = |device: &Device, tracked: bool| {
                let device = &device.clone().autodiff();
                let tensor = |dims: [usize; 2]| {
                    Tensor::<2>::from_data(TensorData::new(values(dims[0] * dims[1]), dims), device).require_grad()
                };
                let (x, weights) = (tensor([n, inputs]), tensor([inputs, outputs]));
                // An image of the data set has no gradient.
                let given = if tracked { x.clone() } else { x.clone().inner() };
                let y = match shaders::product(&given, &weights) {
                    Some(y) => y,
                    None => x.clone().matmul(weights.clone()),
                };
                let plain = shaders::product(&x.clone().inner(), &weights.clone().inner());
                let gradients = (y.clone() * tensor(y.dims()).detach()).sum().backward();
                let of_x = if tracked { x.grad(&gradients) } else { None };
                [Some(plain.unwrap_or(y.clone().inner())), Some(y.inner()), of_x, weights.grad(&gradients)]
            };
            for tracked in [true, false] {
                let expected = run(&Device::flex(), true);
                for (i, (found, expected)) in run(&device, tracked).into_iter().zip(expected).enumerate() {
                    if i == 2 && !tracked {
                        continue;
                    }
                    let (found, expected) = (found.unwrap(), expected.unwrap());
                    found.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::rel_abs(1e-4, 1e-4));
                }
            }
        }
    }
}

/// Sides that windows divide and sides that they do not, and equal values, of which the first counts.
#[test]
fn maxima_and_their_gradients_are_those_of_burn() {
    for device in gpus("maxima_and_their_gradients_are_those_of_burn") {
        for (dims, size) in [([3, 5, 6, 4], 2), ([2, 3, 7, 5], 2), ([2, 3, 9, 10], 3), ([1, 1, 1, 1], 1)] {
            let run = |device: &Device| {
                let device = &device.clone().autodiff();
                let tensor = |dims: [usize; 4], factor: usize| {
                    let values: Vec<f32> =
                        (0..dims.iter().product()).map(|i: usize| (i * factor % 5) as f32 - 2.0).collect();
                    Tensor::<4>::from_data(TensorData::new(values, dims), device).require_grad()
                };
                let x = tensor(dims, 7919);
                let y = shaders::max_pool(&x, size)
                    .unwrap_or_else(|| max_pool2d(x.clone(), MaxPoolOptions::new([size; 2]).with_stride([size; 2])));
                let gradients = (y.clone() * tensor(y.dims(), 3).detach()).sum().backward();
                [y.inner(), x.grad(&gradients).unwrap()].map(|t| t.into_data().try_to_vec::<f32>().unwrap())
            };
            assert_eq!(run(&device), run(&Device::flex()), "{dims:?} {size}");
        }
    }
}
