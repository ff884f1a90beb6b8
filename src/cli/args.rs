//! Arguments that several commands share.

use std::path::PathBuf;
use std::str::FromStr;

use burn::tensor::Device;
use clap::Args;

use super::{ranks, terminal, words};
use crate::compute::shaders::Gpu;
use crate::compute::{DeviceInfo, Devices, Request, choose, choose_all, list, tuning};
use crate::data::{Identity, Loaded, load};
use crate::error::{Error, ErrorKind, Result};
use crate::names::unknown;

/// Where to compute; shared by all commands that do.
#[derive(Args, Clone, Default)]
pub struct DeviceArgs {
    /// cpu, gpu, an index of `tinderbox devices`, part of a name, or remote:HOST[:PORT][/INDEX] for a worker's; to train,
    /// also several with commas between, or all [default: the best hardware GPU, else the CPU]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
}

impl DeviceArgs {
    /// Finds and starts the device.
    pub fn open(&self) -> Result<(Device, DeviceInfo)> {
        let (device, info, _) = self.open_shared()?;
        Ok((device, info))
    }

    /// Finds and starts the device, with the wgpu device that burn computes on, if it does, to draw beside it.
    fn open_shared(&self) -> Result<(Device, DeviceInfo, Option<Gpu>)> {
        if let Some(address) = self.device.as_deref().and_then(|name| name.strip_prefix(REMOTE)) {
            let (device, info) = connect(address)?;
            return Ok((device, info, None));
        }
        if let Some(list) = self.device.as_deref().filter(|name| name.contains(',') || *name == "all") {
            return Err(Error::usage(format!("--device {list} names several devices: this takes one")));
        }
        let request = self.device.as_deref().map(Request::from).unwrap_or_default();
        let mut candidates = list(&request);
        let chosen = candidates.swap_remove(choose(&candidates, &request)?);
        let info = chosen.info.clone();
        let (device, gpu) = chosen.open_shared()?;
        Ok((device, info, gpu))
    }

    /// One device, or one for every rank of a job.
    pub fn open_ranks(&self) -> Result<Devices> {
        if let Some(devices) = ranks::open(self.device.as_deref())? {
            return Ok(devices);
        }
        let (device, info) = self.open()?;
        Ok(Devices::one(device, info))
    }

    /// All devices of a list, the main one first, and what it takes to draw on the main one; in a job one for every rank.
    pub fn open_all(&self) -> Result<(Devices, Option<Gpu>)> {
        if let Some(devices) = ranks::open(self.device.as_deref())? {
            return Ok((devices, None));
        }
        let Some(list) = self.device.as_deref().filter(|list| list.contains(',') || *list == "all") else {
            let (device, info, gpu) = self.open_shared()?;
            return Ok((Devices::one(device, info), gpu));
        };
        let (remote, local): (Vec<_>, Vec<_>) = list.split(',').map(str::trim).partition(|n| n.starts_with(REMOTE));
        if let Some(twice) = (1..remote.len()).find(|&i| remote[..i].contains(&remote[i])) {
            return Err(Error::usage(format!("{} is named twice", remote[twice])));
        }
        // A worker's device is never the main one where there is another: what it computes is lost with it.
        let mut opened = open_local(&local)?;
        for name in remote {
            let (device, info) = connect(name.trim_start_matches(REMOTE))?;
            opened.push((device, info, None));
        }
        let mut opened = opened.into_iter();
        let Some((main, info, gpu)) = opened.next() else { return Err(Error::usage("--device names no device")) };
        let devices = opened.fold(Devices::one(main, info), |all, (device, info, _)| all.and(device, info));
        Ok((devices, gpu))
    }
}

/// Finds and starts the device of a rank, by its place among those of its machine: the one at that place of a list, and from
/// the beginning again where the list is shorter; without a list of all GPUs, and where there is none the CPU.
#[cfg(feature = "mpi")]
pub fn open_for_rank(names: Option<&str>, local_rank: usize) -> Result<(Device, DeviceInfo)> {
    let all_gpus = || choose_all(&list(&Request::Gpu), &["all"]).is_ok();
    let names = names.unwrap_or(if all_gpus() { "all" } else { "best" });
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    let one = names[local_rank % names.len()];
    if one != "all" {
        return DeviceArgs { device: Some(one.into()) }.open();
    }
    let candidates = list(&Request::Gpu);
    let gpus = choose_all(&candidates, &["all"])?;
    let chosen = candidates[gpus[local_rank % gpus.len()]].clone();
    let info = chosen.info.clone();
    let (device, _) = chosen.open_shared()?;
    Ok((device, info))
}

/// Finds and starts devices of this machine.
fn open_local(names: &[&str]) -> Result<Vec<(Device, DeviceInfo, Option<Gpu>)>> {
    let only_cpu = names.iter().all(|name| Request::from(*name) == Request::Cpu);
    let candidates = list(if only_cpu { &Request::Cpu } else { &Request::Index(0) });
    let chosen = choose_all(&candidates, names)?;
    // One setting for all of them: what a GPU in hardware needs does no harm elsewhere.
    if let Some(best) = chosen.iter().map(|&index| candidates[index].info.kind).min() {
        tuning::configure(best);
    }
    let open = |index: usize| {
        let info = candidates[index].info.clone();
        let (device, gpu) = candidates[index].clone().open_shared()?;
        Ok((device, info, gpu))
    };
    chosen.into_iter().map(open).collect()
}

/// The error of a command that needs the feature `remote`.
#[cfg(not(feature = "remote"))]
pub fn without_remote(what: &str) -> Error {
    Error::usage(format!("{what} needs a program built with the feature remote: cargo run --release --features remote"))
}

/// What stands before the address of a worker.
const REMOTE: &str = "remote:";

#[cfg(feature = "remote")]
use crate::compute::remote::connect;

#[cfg(not(feature = "remote"))]
fn connect(address: &str) -> Result<(Device, DeviceInfo)> {
    Err(without_remote(&format!("{REMOTE}{address}")))
}

/// Where data sets are; shared by all commands that read one.
#[derive(Args, Clone, Default)]
pub struct DataArgs {
    /// Folder with MNIST's or CIFAR-10's files, looked in first; then $TINDERBOX_DATA, then data/mnist or data; downloaded
    /// if they are in none
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl DataArgs {
    /// Loads a data set that nobody named: where MNIST is not to be had, the sample takes its place. `command` is what is run.
    pub fn load_or_sample(&self, identity: &mut Identity, command: &str) -> Result<Loaded> {
        match load(identity, self.data_dir.as_deref(), &mut terminal::tell) {
            Err(e) if *identity == Identity::Mnist && self.data_dir.is_none() && e.kind() == ErrorKind::MissingData => {
                let why = words::command(&format!("{command} --dataset mnist"));
                eprintln!(
                    "notice: MNIST is not here and could not be downloaded: training on the bundled sample of 5,000 digits"
                );
                eprintln!("        why, and where files may be put: {why}");
                *identity = Identity::MnistSample;
                load(identity, None, &mut terminal::tell)
            }
            other => other,
        }
    }
}

/// Which weights of a run: `best`, `last` or `epoch-N`.
#[derive(Clone)]
pub struct Checkpoint(String);

impl Checkpoint {
    /// The name of the checkpoint's folder.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl FromStr for Checkpoint {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let numbered = name.strip_prefix("epoch-").is_some_and(|n| n.parse::<usize>().is_ok());
        if numbered || ["best", "last"].contains(&name) {
            return Ok(Self(name.into()));
        }
        Err(unknown("checkpoint", name, ["best", "last", "epoch-N"].into_iter()))
    }
}
