//! The layers of vgg11 on the CPU one by one: how long they take, and how far they are from double precision.
//!
//!     cargo bench --bench convolutions [-- BATCH]
//!
//! Every 3x3 convolution by Winograd's scheme (`fast`), as it is defined (`exact`), and as burn computes it; then what
//! follows it, normalization, ReLU and pooling. Then some with a stride. Times are medians, forward and backward, in turn; errors are the root of the
//! mean square against double precision, relative to the values, of sixteen images.

use std::time::Instant;

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use tinderbox::compute::cpu::{Activation, After, Prepared, convolve, norm_train, take_part};

/// Inputs, outputs, pixels a side, and the side of the pool after it.
const LAYERS: [[usize; 4]; 8] = [
    [3, 64, 32, 2],
    [64, 128, 16, 2],
    [128, 256, 8, 1],
    [256, 256, 8, 2],
    [256, 512, 4, 1],
    [512, 512, 4, 2],
    [512, 512, 2, 1],
    [512, 512, 2, 2],
];
/// Inputs, outputs, pixels a side, the side of the kernel, and its stride.
const STRIDED: [[usize; 5]; 4] = [[3, 64, 64, 7, 2], [64, 128, 32, 3, 2], [64, 128, 32, 1, 2], [16, 64, 32, 4, 4]];
const WAYS: [&str; 3] = ["fast", "exact", "burn"];
const ROUNDS: usize = 5;
/// Images that errors are measured with.
const FEW: usize = 16;

fn main() {
    take_part(0);
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let batch: usize = args.first().map_or(128, |text| text.parse().expect("BATCH is a number"));
    println!("batch {batch}, {} threads; forward + backward in ms\n", std::thread::available_parallelism().unwrap());
    println!("| layer | fast | exact | burn | norm, relu, pool |\n|---|---|---|---|---|");
    for layer in LAYERS {
        let cells = times(layer, batch);
        println!("| {} | {} |", name(layer), cells.join(" | "));
    }
    println!("\n| with a stride | ours | burn |\n|---|---|---|");
    for layer in STRIDED {
        let [inputs, outputs, side, kernel, stride] = layer;
        let cells = strided_times(layer, batch);
        println!("| {inputs} to {outputs}, {side}x{side}, kernel {kernel}, stride {stride} | {} |", cells.join(" | "));
    }
    println!(
        "\n| error | forward fast | exact | burn | images' gradient fast | exact | burn | weights' fast | exact | burn |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for layer in LAYERS {
        let cells: Vec<String> = errors(layer).iter().map(|error| format!("{error:.1e}")).collect();
        println!("| {} | {} |", name(layer), cells.join(" | "));
    }
}

fn name([inputs, outputs, side, _]: [usize; 4]) -> String {
    format!("{inputs} to {outputs}, {side}x{side}")
}

fn random(shape: [usize; 4], bound: f64) -> Tensor<4> {
    Tensor::random(shape, Distribution::Uniform(-bound, bound), &Device::flex().autodiff()).require_grad()
}

fn by(way: &str, x: &Tensor<4>, weights: &Tensor<4>) -> Tensor<4> {
    match way {
        "burn" => conv2d(x.clone(), weights.clone(), None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1)),
        way => convolve(x, weights, None, (1, 1), way == "exact", &Prepared::default()).expect("the CPU"),
    }
}

/// Images with their channels last, as our operations leave them.
fn images(batch: usize, channels: usize, side: usize) -> Tensor<4> {
    let last = random([batch, side, side, channels], 1.0).inner().permute([0, 3, 1, 2]);
    Tensor::from_inner(last).require_grad()
}

/// Median times of our convolution with a stride, and of burn's, as forward + backward.
fn strided_times([inputs, outputs, side, kernel, stride]: [usize; 5], batch: usize) -> Vec<String> {
    let (x, weights) = (images(batch, inputs, side), random([outputs, inputs, kernel, kernel], 0.1));
    let padding = (kernel - 1) / 2;
    let ours = || convolve(&x, &weights, None, (stride, padding), false, &Prepared::default()).expect("the CPU");
    let burn = || conv2d(x.clone(), weights.clone(), None, ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1));
    in_turns(&[&ours, &burn])
}

/// Median times of every way, and of what follows the convolution, as forward + backward.
fn times([inputs, outputs, side, pool]: [usize; 4], batch: usize) -> Vec<String> {
    let images = |channels| images(batch, channels, side);
    let (x, y, weights) = (images(inputs), images(outputs), random([outputs, inputs, 3, 3], 0.1));
    let [gamma, beta] = [1.0, 0.0].map(|v| Tensor::<1>::full([outputs], v, &Device::flex().autodiff()).require_grad());
    let [fast, exact, burn] = WAYS.map(|way| {
        let (x, weights) = (&x, &weights);
        move || by(way, x, weights)
    });
    let after = After { activation: Activation::Relu, side: pool };
    let follows = || norm_train(&y, [&gamma, &beta], 1e-5, after).expect("the CPU").output;
    in_turns(&[&fast, &exact, &burn, &follows])
}

/// Median times of some operations, in turn, as forward + backward.
fn in_turns(operations: &[&dyn Fn() -> Tensor<4>]) -> Vec<String> {
    let mut seconds = vec![[Vec::new(), Vec::new()]; operations.len()];
    for _ in 0..ROUNDS {
        for (operation, [forward, backward]) in operations.iter().zip(&mut seconds) {
            let start = Instant::now();
            let out = operation();
            forward.push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            let gradients = out.backward(); // from a gradient of ones
            backward.push(start.elapsed().as_secs_f64());
            drop(gradients);
        }
    }
    let median = |mut seconds: Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        1000.0 * seconds[seconds.len() / 2]
    };
    seconds.into_iter().map(|both| both.map(median)).map(|[f, b]| format!("{f:.1} + {b:.1}")).collect()
}

/// Errors of every way: of the output, of the images' gradient, of the weights'.
fn errors([inputs, outputs, side, _]: [usize; 4]) -> Vec<f64> {
    let (x, weights) = (random([FEW, inputs, side, side], 1.0), random([outputs, inputs, 3, 3], 0.1));
    let pick = random([FEW, outputs, side, side], 1.0);
    let expected = defined(&x, &weights, &pick);
    let found = WAYS.map(|way| {
        let out = by(way, &x, &weights);
        let gradients = (out.clone() * pick.clone()).sum().backward();
        [out.inner(), x.grad(&gradients).unwrap(), weights.grad(&gradients).unwrap()].map(|t| values(&t))
    });
    (0..3).flat_map(|which| found.each_ref().map(|found| distance(&found[which], &expected[which]))).collect()
}

fn values(tensor: &Tensor<4>) -> Vec<f64> {
    let plain = if tensor.device().is_autodiff() { tensor.clone().inner() } else { tensor.clone() };
    plain.into_data().iter::<f64>().collect()
}

fn distance(found: &[f64], expected: &[f64]) -> f64 {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let error = squares(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    (error / squares(&mut expected.iter().copied())).sqrt()
}

/// The convolution and its gradients in double precision, by the definition: columns of neighbourhoods times weights.
fn defined(x: &Tensor<4>, weights: &Tensor<4>, pick: &Tensor<4>) -> [Vec<f64>; 3] {
    let ([n, c, h, w], [o, ..]) = (x.dims(), weights.dims());
    let [xs, ws, picks] = [x, weights, pick].map(values);
    let (mut y, mut dx, mut dw) = (vec![0.0; picks.len()], vec![0.0; xs.len()], vec![0.0; ws.len()]);
    for (image, out) in (0..n).flat_map(|image| (0..o).map(move |out| (image, out))) {
        for (channel, tap) in (0..c).flat_map(|channel| (0..9).map(move |tap| (channel, tap))) {
            let at = (out * c + channel) * 9 + tap;
            let (from, to) = ((image * c + channel) * h * w, (image * o + out) * h * w);
            for row in (0..h).filter(|row| (1..=h).contains(&(row + tap / 3))) {
                for column in (0..w).filter(|column| (1..=w).contains(&(column + tap % 3))) {
                    let x = from + (row + tap / 3 - 1) * w + column + tap % 3 - 1;
                    let place = to + row * w + column;
                    y[place] += ws[at] * xs[x];
                    dx[x] += ws[at] * picks[place];
                    dw[at] += xs[x] * picks[place];
                }
            }
        }
    }
    [y, dx, dw]
}
