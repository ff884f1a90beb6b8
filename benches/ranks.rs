//! What an exchange between the ranks of a job costs, how long a step takes on them, and how it would scale on more.
//!
//!     cargo bench --features mpi --bench ranks --no-run           # says where the program is
//!     mpirun -n 2 PROGRAM [RANKS...]
//!
//! It times the sum that all get over vectors of several lengths, and fits the usual model to it: latency and bandwidth of a
//! message (Thakur et al., 2005). With the measured computation it predicts steps on other numbers of ranks, 2 to 256 unless
//! some are named, each with its own core, as if the sum came behind the computation: strong scaling shares the batch out,
//! weak scaling gives each rank a whole one.
//! `benches/ranks_network.py` puts ranks on machines with a network between them that is as slow as one likes.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use burn::tensor::Device;
use tinderbox::compute::cpu::take_part;
use tinderbox::compute::mpi::Job;
use tinderbox::compute::peers::Peers;
use tinderbox::compute::{Devices, cpu_info};
use tinderbox::data::{Dataset, ImageShape};
use tinderbox::network::Architecture;
use tinderbox::recipe::Recipe;
use tinderbox::training::{Observers, Plan, train};

/// Values of the vectors that are summed.
const LENGTHS: [usize; 7] = [1, 1_000, 10_000, 100_000, 1_000_000, 4_000_000, 16_000_000];
/// An exchange is repeated for about this long, and at least three times.
const SECONDS: f64 = 1.0;
/// Steps that are timed, behind the first.
const STEPS: usize = 6;
const GREY: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };
const COLOUR: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

/// A network with its batch.
struct Case {
    name: &'static str,
    recipe: Recipe,
    shape: ImageShape,
}

fn cases() -> Vec<Case> {
    let preset = |name| Recipe::preset(name).expect("the presets are known");
    let linear = preset("linear_v1-bn-ce");
    let large: Architecture =
        "flatten, linear 4800, relu, linear 4400, relu, linear classes".parse().expect("layers that fit");
    vec![
        Case { name: "linear_v1", recipe: linear.clone(), shape: GREY },
        Case { name: "vgg11", recipe: preset("cifar10-vgg11"), shape: COLOUR },
        Case { name: "25 million", recipe: Recipe { network: large, ..linear }, shape: GREY },
    ]
}

/// Seconds of a message's start, and for each of its bytes.
#[derive(Clone, Copy)]
struct Line {
    latency: f64,
    per_byte: f64,
}

impl Line {
    /// The line of least relative squares through times of vectors of so many bytes.
    fn fit(times: &[(f64, f64)]) -> Self {
        let sum = |f: &dyn Fn(f64, f64) -> f64| {
            times.iter().map(|&(bytes, time)| f(bytes, time) / (time * time)).sum::<f64>()
        };
        let (n, x, y) = (sum(&|_, _| 1.0), sum(&|bytes, _| bytes), sum(&|_, time| time));
        let (xx, xy) = (sum(&|bytes, _| bytes * bytes), sum(&|bytes, time| bytes * time));
        let per_byte = (n * xy - x * y) / (n * xx - x * x);
        Self { latency: ((y - per_byte * x) / n).max(0.0), per_byte }
    }

    /// The sum that all get, over so many ranks: by recursive doubling or around a ring, whichever is faster.
    fn all_reduce(self, ranks: usize, bytes: f64) -> f64 {
        let (p, rounds) = (ranks as f64, (ranks as f64).log2().ceil());
        let doubling = rounds * (self.latency + bytes * self.per_byte);
        let ring = 2.0 * (p - 1.0) * (self.latency + bytes / p * self.per_byte);
        if ranks == 1 { 0.0 } else { doubling.min(ring) }
    }
}

fn main() {
    take_part(1);
    let named: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let predicted = if named.is_empty() { (1..=8).map(|power| 1 << power).collect() } else { named };
    let job = Arc::new(Job::join().expect("a job that mpirun started"));
    let peers: Peers = job.clone();
    let speaks = peers.rank() == 0;
    let times: Vec<(f64, f64)> =
        LENGTHS.iter().map(|&length| (4.0 * length as f64, exchange(&peers, length))).collect();
    let line = Line::fit(&times);
    if speaks {
        println!("{} ranks, one thread each, on {}\n", peers.count(), cpu_info().name);
        println!("| values | sum that all get | as fitted |\n|--:|--:|--:|");
        for (length, &(bytes, time)) in LENGTHS.iter().zip(&times) {
            println!("| {length} | {} | {} |", shown(time), shown(line.all_reduce(peers.count(), bytes)));
        }
        let gigabits = 8e-9 / line.per_byte;
        println!("\nfitted: {} latency, {gigabits:.2} Gbit/s\n", shown(line.latency));
    }
    for case in cases() {
        let measured = step(&case, Some(&peers), 1);
        // The computation of a share, on every rank at the same time, as it is in a job.
        let shares: Vec<usize> = std::iter::once(1).chain(predicted.iter().copied()).collect();
        let alone: Vec<f64> = shares.iter().map(|&ranks| step(&case, None, ranks)).collect();
        if !speaks {
            continue;
        }
        let classes = 10;
        let network = case.recipe.network(case.shape, classes).expect("it fits");
        let bytes = 4.0 * network.summary().parameters() as f64;
        let whole = alone[0];
        println!(
            "{}: {} parameters, batch {}, a step on one rank takes {}",
            case.name,
            network.summary().parameters(),
            case.recipe.batch_size,
            shown(whole)
        );
        println!("measured on {} ranks: {}, {:.2} times as fast", peers.count(), shown(measured), whole / measured);
        println!("| ranks | strong: step | times as fast | weak: step | times the images |\n|--:|--:|--:|--:|--:|");
        for (&ranks, &share) in shares.iter().zip(&alone).skip(1) {
            let exchange = line.all_reduce(ranks, bytes);
            let (strong, weak) = (share + exchange, whole + exchange);
            let gain = whole / weak * ranks as f64;
            println!("| {ranks} | {} | {:.2} | {} | {gain:.1} |", shown(strong), whole / strong, shown(weak));
        }
        println!();
    }
    job.end();
}

/// Seconds of the sum over vectors of so many values: the mean of many in a row, since a rank that is ahead of the others has
/// sent its part before they begin.
fn exchange(peers: &Peers, length: usize) -> f64 {
    let repeat = |times: usize| {
        let start = Instant::now();
        for _ in 0..times {
            peers.sum(vec![1.0; length]).expect("all ranks are there");
        }
        start.elapsed().as_secs_f64() / times as f64
    };
    // All ranks have to repeat it as often.
    let mean = |seconds: f64| {
        let sum = peers.sum(vec![seconds as f32]).expect("all ranks are there");
        f64::from(sum[0]) / peers.count() as f64
    };
    let first = mean(repeat(3));
    mean(repeat(((SECONDS / first) as usize).clamp(3, 2000)))
}

/// Seconds of a training step: of a batch over `peers`, or of a rank's share of one by itself.
fn step(case: &Case, peers: Option<&Peers>, shares: usize) -> f64 {
    let batch_size = (case.recipe.batch_size / shares).max(2);
    let epochs = 3.0; // the first warms up
    let recipe = Recipe { batch_size, epochs, ..case.recipe.clone() };
    let data = Arc::new(Dataset::made_up(case.shape, batch_size * STEPS, 10));
    let plan = Plan::new(&recipe, &data).expect("it fits");
    let devices = Devices::one(Device::flex(), cpu_info());
    let devices = match peers {
        Some(peers) => devices.among(Arc::clone(peers), Vec::new()),
        None => devices,
    };
    let (never, mut nobody) = (AtomicUsize::new(0), Observers::default());
    let run = train(&plan, &devices, plan.start(devices.main()), &never, &mut nobody);
    let done = pollster::block_on(run).expect("it trains").progress.history;
    done[1..].iter().map(|epoch| batch_size as f64 / epoch.images_per_second).fold(f64::INFINITY, f64::min)
}

fn shown(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
