//! Lists the adapters there are, and says what each of them is.

use std::fmt;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

#[cfg(all(feature = "gpu", not(target_family = "wasm")))]
use super::gpu;
#[cfg(not(target_family = "wasm"))]
use super::request::Request;
use super::shaders::Gpu;
use crate::error::Result;
#[cfg(all(feature = "gpu", not(target_family = "wasm")))]
use crate::error::{Error, ErrorKind};

/// What an adapter is, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the CPU's memory.
    Integrated,
    /// A GPU seen through a virtual machine.
    Virtual,
    /// burn's CPU backend, no adapter at all.
    Cpu,
    /// An adapter whose driver does not say what it is (OpenGL).
    Unknown,
    /// A GPU imitated by the CPU.
    Software,
    /// A device of another machine.
    Remote,
}

impl AdapterKind {
    /// Whether this is a GPU in hardware, as far as its driver says.
    pub fn is_gpu(self) -> bool {
        self < Self::Cpu
    }
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Cpu => "cpu",
            Self::Unknown => "unknown",
            Self::Software => "software",
            Self::Remote => "remote",
        })
    }
}

/// What a run ran on, as stored in `device.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// The adapter's name, or that of the CPU backend.
    pub name: String,
    /// Discrete, integrated, software and so on.
    pub kind: AdapterKind,
    /// Vulkan, Metal, Dx12, Gl or CUDA; `flex` for the CPU backend.
    pub api: String,
    /// Driver and version, as the driver reports it.
    pub driver: String,
    /// Whether shaders may compute in half precision.
    pub f16: bool,
    /// Threads that work in lock-step, smallest to largest; `None` without subgroup operations.
    pub subgroup_sizes: Option<(u32, u32)>,
    /// The largest buffer, in bytes; `None` where memory is the only limit.
    pub max_buffer_bytes: Option<u64>,
    /// Whether it was found to compute what the CPU computes, by this version of the program and with this driver. None for the
    /// CPU itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Why the adapter cannot train, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
    /// Those that took a share of every batch besides this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<DeviceInfo>,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.kind, self.api)?;
        self.others.iter().try_for_each(|other| write!(f, " and {other}"))
    }
}

impl DeviceInfo {
    /// This device and those beside it, each by itself.
    pub fn each(&self) -> Vec<Self> {
        let alone = Self { others: Vec::new(), ..self.clone() };
        std::iter::once(alone).chain(self.others.clone()).collect()
    }

    /// Whether both are the same devices, verified or not.
    pub fn is_same(&self, other: &Self) -> bool {
        let each = |info: &Self| -> Vec<Self> {
            info.each().into_iter().map(|device| Self { verified: None, ..device }).collect()
        };
        each(self) == each(other)
    }
}

/// One entry of the list that `tinderbox devices` prints.
#[derive(Clone)]
pub struct Candidate {
    /// What it is.
    pub info: DeviceInfo,
    pub(super) handle: Handle,
}

impl Candidate {
    /// Starts burn on this device.
    ///
    /// # Errors
    /// Device: the driver refuses.
    pub fn open(self) -> Result<Device> {
        Ok(self.open_shared()?.0)
    }

    /// Starts burn on this device; the wgpu device that burn computes on comes along, if it is one, to draw beside it.
    ///
    /// # Errors
    /// Device: the driver refuses.
    pub fn open_shared(self) -> Result<(Device, Option<Gpu>)> {
        #[cfg(feature = "native")]
        super::tuning::configure(self.info.kind);
        match self.handle {
            Handle::Cpu => Ok((Device::flex(), None)),
            #[cfg(feature = "cuda")]
            Handle::Cuda(index) => Ok((Device::cuda(index), None)),
            #[cfg(all(feature = "gpu", not(target_family = "wasm")))]
            Handle::Wgpu(handles) => {
                let (instance, adapter) = *handles;
                let refused = |e| Error::new(ErrorKind::Device, format!("{} does not start: {e}", self.info));
                let (device, gpu) = gpu::open(instance, adapter).map_err(refused)?;
                Ok((device, Some(gpu)))
            }
        }
    }
}

#[cfg_attr(target_family = "wasm", allow(dead_code))] // a page lists no adapters: the browser chooses
#[derive(Clone)]
pub(super) enum Handle {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda(usize),
    #[cfg(all(feature = "gpu", not(target_family = "wasm")))]
    Wgpu(Box<(wgpu::Instance, wgpu::Adapter)>),
}

/// What there is and [`choose`](super::choose) may need for `request`: the adapters of every API in the order of their drivers,
/// then the CPU backend, then what is only reached through OpenGL. An index means the same for every request.
#[cfg(not(target_family = "wasm"))]
pub fn list(request: &Request) -> Vec<Candidate> {
    if *request == Request::Cpu {
        return vec![Candidate { info: cpu_info(), handle: Handle::Cpu }]; // no driver need be woken
    }
    let mut candidates = Vec::new();
    #[cfg(feature = "cuda")]
    for index in 0..Device::enumerate(burn::tensor::DeviceType::Cuda).len() {
        let info = DeviceInfo {
            name: format!("CUDA device {index}"),
            kind: AdapterKind::Discrete,
            api: "CUDA".into(),
            driver: "cuda".into(),
            f16: true,
            subgroup_sizes: Some((32, 32)),
            max_buffer_bytes: None,
            verified: Some(false),
            unusable: None,
            others: Vec::new(),
        };
        candidates.push(Candidate { info, handle: Handle::Cuda(index) });
    }
    #[cfg(feature = "gpu")]
    for api in [wgpu::Backends::VULKAN, wgpu::Backends::METAL, wgpu::Backends::DX12] {
        candidates.extend(gpu::adapters(api));
    }
    candidates.push(Candidate { info: cpu_info(), handle: Handle::Cpu });
    // OpenGL drivers are slow to start, some print to the terminal, and a GPU worth having has a better API.
    #[cfg(feature = "gpu")]
    if !matches!(request, Request::Best | Request::Gpu) {
        candidates.extend(gpu::adapters(wgpu::Backends::GL));
    }
    candidates
}

/// One candidate made up of nothing, for the tests of what chooses among them.
#[cfg(test)]
pub(super) fn made_up(name: &str, kind: AdapterKind, api: &str) -> Candidate {
    let info = DeviceInfo { name: name.into(), kind, api: api.into(), driver: "d".into(), ..cpu_info() };
    Candidate { info, handle: Handle::Cpu }
}

/// Whether this is burn's CPU backend, with autodiff or without.
pub fn is_cpu(device: &Device) -> bool {
    device == &Device::flex()
}

/// The CPU backend.
pub fn cpu_info() -> DeviceInfo {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    DeviceInfo {
        name: format!("{}, {threads} thread{}", cpu_model(), if threads == 1 { "" } else { "s" }),
        kind: AdapterKind::Cpu,
        api: "flex".into(),
        driver: format!("burn-flex, {}", std::env::consts::ARCH),
        f16: false,
        subgroup_sizes: None,
        max_buffer_bytes: None,
        verified: None,
        unusable: None,
        others: Vec::new(),
    }
}

/// The processor's name where the system tells it, so that runs of several machines can be told apart.
pub fn cpu_model() -> String {
    let name = if cfg!(windows) {
        std::env::var("PROCESSOR_IDENTIFIER").ok()
    } else if cfg!(target_os = "macos") {
        let output = std::process::Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]).output();
        output.ok().and_then(|output| String::from_utf8(output.stdout).ok())
    } else {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        text.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.to_string()))
    };
    name.map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).unwrap_or("CPU".into())
}
