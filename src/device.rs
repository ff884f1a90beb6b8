//! Lists the adapters there are, chooses one, and hands burn that very adapter.
//!
//! A run never falls to a software adapter silently: the order is discrete, integrated, virtual GPU, then the
//! CPU backend. Software adapters (lavapipe, SwiftShader, WARP) are used only when they are named.

use std::fmt;

use burn::tensor::Device;
use burn_wgpu::WgpuSetup;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::recipe::Precision;

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
    /// Whatever a worker offers.
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

    /// Checks that the device computes in this precision.
    ///
    /// # Errors
    /// Usage: it does not; says what to do.
    pub fn check_precision(&self, precision: Precision) -> Result<()> {
        if precision == Precision::F32 || self.f16 {
            return Ok(());
        }
        let message = format!("{self} has no half precision: leave --precision out, or choose a device with f16");
        Err(Error::usage(format!("{message} (see `tinderbox devices`)")))
    }
}

/// One entry of the list that `tinderbox devices` prints.
#[derive(Clone)]
pub struct Candidate {
    /// What it is.
    pub info: DeviceInfo,
    handle: Handle,
}

#[cfg_attr(target_family = "wasm", allow(dead_code))] // a page lists no adapters: the browser chooses
#[derive(Clone)]
enum Handle {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda(usize),
    Wgpu(Box<(wgpu::Instance, wgpu::Adapter)>),
}

/// The device a run takes, as the user asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Request {
    /// The best hardware GPU, else the CPU backend.
    #[default]
    Best,
    /// burn's CPU backend.
    Cpu,
    /// The best hardware GPU, or an error.
    Gpu,
    /// A position in the list.
    Index(usize),
    /// Part of a name, driver or API.
    Name(String),
}

impl From<&str> for Request {
    fn from(text: &str) -> Self {
        match (text, text.parse()) {
            ("best" | "auto", _) => Self::Best,
            ("cpu", _) => Self::Cpu,
            ("gpu", _) => Self::Gpu,
            (_, Ok(index)) => Self::Index(index),
            _ => Self::Name(text.to_string()),
        }
    }
}

/// What there is and [`choose`] may need for `request`: the adapters of every API in the order of their drivers,
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
            unusable: None,
            others: Vec::new(),
        };
        candidates.push(Candidate { info, handle: Handle::Cuda(index) });
    }
    for api in [wgpu::Backends::VULKAN, wgpu::Backends::METAL, wgpu::Backends::DX12] {
        candidates.extend(adapters(api));
    }
    candidates.push(Candidate { info: cpu_info(), handle: Handle::Cpu });
    // OpenGL drivers are slow to start, some print to the terminal, and a GPU worth having has a better API.
    if !matches!(request, Request::Best | Request::Gpu) {
        candidates.extend(adapters(wgpu::Backends::GL));
    }
    candidates
}

/// The adapters of one API, through an instance of its own: burn's runtime refuses an instance that spans several.
#[cfg(not(target_family = "wasm"))]
fn adapters(api: wgpu::Backends) -> Vec<Candidate> {
    if !wgpu::Instance::enabled_backend_features().contains(api) {
        return Vec::new();
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: api,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = pollster::block_on(instance.enumerate_adapters(api));
    let candidate = |adapter: wgpu::Adapter| Candidate {
        info: describe(&adapter),
        handle: Handle::Wgpu(Box::new((instance.clone(), adapter))),
    };
    adapters.into_iter().map(candidate).collect()
}

/// The position in `candidates` that `request` means.
///
/// # Errors
/// Device: nothing matches, or several different adapters do; says what there is.
pub fn choose(candidates: &[Candidate], request: &Request) -> Result<usize> {
    let usable = |index: &usize| candidates[*index].info.unusable.is_none();
    let best_gpu = || {
        let gpus = (0..candidates.len()).filter(|&i| candidates[i].info.kind.is_gpu()).filter(usable);
        gpus.min_by_key(|&i| candidates[i].info.kind)
    };
    let cpu = || candidates.iter().position(|c| c.info.kind == AdapterKind::Cpu);
    let refuse = |what: String| {
        let rows: Vec<String> = candidates.iter().enumerate().map(|(i, c)| format!("  {i}: {}", c.info)).collect();
        Err(Error::new(ErrorKind::Device, format!("{what}. There is:\n{}", rows.join("\n"))))
    };
    let chosen = match request {
        Request::Best => best_gpu().or_else(cpu),
        Request::Cpu => cpu(),
        Request::Gpu => match best_gpu() {
            None => return refuse("no GPU found; a software adapter must be named".into()),
            found => found,
        },
        Request::Index(index) if *index < candidates.len() => Some(*index),
        Request::Index(index) => return refuse(format!("no device has index {index}")),
        Request::Name(part) => {
            let part = part.to_lowercase();
            let text = |i: usize| {
                let info = &candidates[i].info;
                format!("{} {} {} {}", info.name, info.driver, info.api, info.kind).to_lowercase()
            };
            let matches: Vec<usize> = (0..candidates.len()).filter(|&i| text(i).contains(&part)).collect();
            let usable_matches: Vec<usize> = matches.iter().copied().filter(usable).collect();
            // One card under two APIs is no ambiguity: the list has the better API first.
            let names: std::collections::BTreeSet<&str> =
                usable_matches.iter().map(|&i| candidates[i].info.name.as_str()).collect();
            match (names.len(), matches.first()) {
                (1, _) => usable_matches.first().copied(),
                (0, Some(&unusable)) => Some(unusable), // its reason is given below
                (0, None) => return refuse(format!("no device matches '{part}'")),
                _ => return refuse(format!("'{part}' matches several devices: give an index or more of the name")),
            }
        }
    };
    match chosen {
        Some(index) => match &candidates[index].info.unusable {
            Some(reason) => refuse(format!("{} cannot train: {reason}", candidates[index].info)),
            None => Ok(index),
        },
        None => refuse("no device".into()),
    }
}

/// The positions in `candidates` of several devices; `all` is every GPU in hardware.
///
/// # Errors
/// Device: one matches nothing; there is no GPU. Usage: one is named twice, or has no name.
#[cfg(not(target_family = "wasm"))]
pub fn choose_all(candidates: &[Candidate], names: &[&str]) -> Result<Vec<usize>> {
    let mut chosen = Vec::new();
    for name in names {
        if name.is_empty() {
            return Err(Error::usage("--device has a comma with no device beside it"));
        }
        let meant = match *name {
            "all" => {
                let api = &candidates[choose(candidates, &Request::Gpu)?].info.api;
                // One card may be there under several APIs.
                let fits = |info: &DeviceInfo| info.kind.is_gpu() && info.unusable.is_none() && info.api == *api;
                (0..candidates.len()).filter(|&i| fits(&candidates[i].info)).collect()
            }
            name => vec![choose(candidates, &Request::from(name))?],
        };
        for index in meant {
            // Two replicas on the CPU do no harm, and show how the shares work.
            if chosen.contains(&index) && candidates[index].info.kind != AdapterKind::Cpu {
                return Err(Error::usage(format!("{} is named twice", candidates[index].info)));
            }
            chosen.push(index);
        }
    }
    Ok(chosen)
}

impl Candidate {
    /// Starts burn on this device.
    ///
    /// # Errors
    /// Device: the driver refuses.
    pub fn open(self) -> Result<Device> {
        Ok(self.open_shared()?.0)
    }

    /// The same, with the wgpu device that burn computes on, if it does, to draw beside it.
    ///
    /// # Errors
    /// Device: the driver refuses.
    pub fn open_shared(self) -> Result<(Device, Option<Gpu>)> {
        #[cfg(feature = "native")]
        crate::tuning::configure(self.info.kind);
        match self.handle {
            Handle::Cpu => Ok((Device::flex(), None)),
            #[cfg(feature = "cuda")]
            Handle::Cuda(index) => Ok((Device::cuda(index), None)),
            Handle::Wgpu(handles) => {
                let (instance, adapter) = *handles;
                let refused =
                    |e: &dyn fmt::Display| Error::new(ErrorKind::Device, format!("{} does not start: {e}", self.info));
                let (device, queue) = pollster::block_on(request_device(&adapter)).map_err(|e| refused(&e))?;
                let backend = adapter.get_info().backend;
                let gpu = Gpu { device: device.clone(), queue: queue.clone() };
                let setup = WgpuSetup { instance, adapter, device, queue, backend };
                let device = Device::wgpu_options().setup(setup).init().map_err(|e| refused(&format!("{e:?}")))?;
                Ok((device, Some(gpu)))
            }
        }
    }
}

/// The adapter that the browser chooses: burn's device on it, what it is, and the handles to draw beside it.
///
/// # Errors
/// Device: there is no WebGPU, no adapter, or it does not start.
#[cfg(target_family = "wasm")]
pub async fn open_browser() -> Result<(Device, DeviceInfo, WgpuSetup)> {
    let refused = |e: &dyn fmt::Display| Error::new(ErrorKind::Device, format!("WebGPU does not start: {e}"));
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::BROWSER_WEBGPU,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let options =
        wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
    let adapter = instance.request_adapter(&options).await.map_err(|e| refused(&e))?;
    let (device, queue) = request_device(&adapter).await.map_err(|e| refused(&e))?;
    let (info, backend) = (describe(&adapter), adapter.get_info().backend);
    let setup = WgpuSetup { instance, adapter, device, queue, backend };
    let device = Device::wgpu_options().setup(setup.clone()).init().map_err(|e| refused(&format!("{e:?}")))?;
    Ok((device, info, setup))
}

/// With SPIR-V the device needs extensions that only burn's runtime knows.
#[cfg(feature = "vulkan")]
async fn request_device(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue), String> {
    if adapter.get_info().backend == wgpu::Backend::Vulkan
        && let Some(device) =
            cubecl_wgpu::vulkan::try_request_vulkan_device(adapter).await.map_err(|e| format!("{e:?}"))?
    {
        return Ok(device);
    }
    request_plain_device(adapter).await
}

#[cfg(not(feature = "vulkan"))]
async fn request_device(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue), String> {
    request_plain_device(adapter).await
}

/// The largest buffer that is asked of a software adapter; lavapipe, which works, has the same.
const SOFTWARE_BUFFER_BYTES: u64 = 128 << 20;

/// All that the adapter can do, as burn's own runtime asks for it, but nothing experimental.
async fn request_plain_device(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue), String> {
    let mut unwanted = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS | wgpu::Features::all_experimental_mask();
    if cfg!(target_family = "wasm") {
        // burn's kernels use subgroups without the directive that a browser wants, which makes them invalid there.
        unwanted |= wgpu::Features::SUBGROUP | wgpu::Features::SUBGROUP_BARRIER;
    }
    let mut required_limits = adapter.limits();
    if describe(adapter).kind == AdapterKind::Software {
        // Burn's runtime measures memory throughput with a few buffers of the largest size, and SwiftShader claims
        // more than it has: without this bound, out-of-memory panics of the device thread fill the terminal.
        required_limits.max_buffer_size = required_limits.max_buffer_size.min(SOFTWARE_BUFFER_BYTES);
        required_limits.max_storage_buffer_binding_size =
            required_limits.max_storage_buffer_binding_size.min(SOFTWARE_BUFFER_BYTES);
    }
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("tinderbox"),
        required_features: adapter.features().difference(unwanted),
        required_limits,
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..Default::default()
    };
    adapter.request_device(&descriptor).await.map_err(|e| e.to_string())
}

/// What an adapter is.
pub fn describe(adapter: &wgpu::Adapter) -> DeviceInfo {
    let (info, features, limits) = (adapter.get_info(), adapter.features(), adapter.limits());
    let driver = format!("{} {}", info.driver, info.driver_info);
    let software = ["llvmpipe", "swiftshader", "softpipe", "lavapipe", "basic render"];
    let looks_like_software = software.iter().any(|s| info.name.to_lowercase().contains(s));
    let kind = match info.device_type {
        _ if looks_like_software => AdapterKind::Software,
        wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
        wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
        wgpu::DeviceType::Cpu => AdapterKind::Software,
        wgpu::DeviceType::Other => AdapterKind::Unknown,
    };
    // burn's kernels bind up to eight storage buffers; OpenGL drivers often allow fewer, or no compute at all.
    let unusable = (limits.max_compute_invocations_per_workgroup == 0
        || limits.max_storage_buffers_per_shader_stage < 8)
        .then(|| {
            format!("it allows {} storage buffers a shader, 8 are needed", limits.max_storage_buffers_per_shader_stage)
        });
    let largest_buffer = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
    let largest_buffer =
        if kind == AdapterKind::Software { largest_buffer.min(SOFTWARE_BUFFER_BYTES) } else { largest_buffer };
    DeviceInfo {
        name: info.name,
        kind,
        api: format!("{:?}", info.backend),
        driver: driver.trim().to_string(),
        f16: features.contains(wgpu::Features::SHADER_F16),
        subgroup_sizes: features
            .contains(wgpu::Features::SUBGROUP)
            .then_some((info.subgroup_min_size, info.subgroup_max_size)),
        max_buffer_bytes: Some(largest_buffer),
        unusable,
        others: Vec::new(),
    }
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
        unusable: None,
        others: Vec::new(),
    }
}

/// The processor's name where a file tells it (Linux), so that runs of several machines can be told apart.
pub fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or("CPU".into(), |(_, name)| name.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, kind: AdapterKind, api: &str) -> Candidate {
        let info = DeviceInfo { name: name.into(), kind, api: api.into(), driver: "d".into(), ..cpu_info() };
        Candidate { info, handle: Handle::Cpu }
    }

    fn pick(candidates: &[Candidate], request: &str) -> Result<usize> {
        choose(candidates, &Request::from(request))
    }

    #[test]
    fn software_is_only_used_when_named() {
        let list = [candidate("llvmpipe", AdapterKind::Software, "Vulkan"), candidate("CPU", AdapterKind::Cpu, "flex")];
        assert_eq!(choose(&list, &Request::Best).unwrap(), 1);
        assert_eq!(pick(&list, "llvm").unwrap(), 0);
        assert_eq!(pick(&list, "0").unwrap(), 0);
        let error = pick(&list, "gpu").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Device);
        assert!(error.to_string().contains("0: llvmpipe (software, Vulkan)"), "{error}");
    }

    #[test]
    fn the_best_kind_and_the_first_api_win() {
        let list = [
            candidate("UHD", AdapterKind::Integrated, "Vulkan"),
            candidate("RTX", AdapterKind::Discrete, "Vulkan"),
            candidate("RTX", AdapterKind::Discrete, "Gl"),
            candidate("CPU", AdapterKind::Cpu, "flex"),
        ];
        assert_eq!(choose(&list, &Request::Best).unwrap(), 1);
        assert_eq!(pick(&list, "gpu").unwrap(), 1);
        assert_eq!(pick(&list, "rtx").unwrap(), 1);
        assert_eq!(pick(&list, "cpu").unwrap(), 3);
        assert!(pick(&list, "vulkan").unwrap_err().to_string().contains("several"));
        assert!(pick(&list, "9").is_err());
        assert!(pick(&list, "radeon").is_err());
    }

    #[test]
    fn several_are_chosen_once_each() {
        let list = [
            candidate("RTX", AdapterKind::Discrete, "Vulkan"),
            candidate("UHD", AdapterKind::Integrated, "Vulkan"),
            candidate("RTX", AdapterKind::Discrete, "Dx12"),
            candidate("llvmpipe", AdapterKind::Software, "Vulkan"),
            candidate("CPU", AdapterKind::Cpu, "flex"),
        ];
        assert_eq!(choose_all(&list, &["all"]).unwrap(), [0, 1]);
        assert_eq!(choose_all(&list, &["all", "cpu", "llvm"]).unwrap(), [0, 1, 4, 3]);
        assert_eq!(choose_all(&list, &["cpu", "cpu"]).unwrap(), [4, 4]);
        for (names, words) in [(["1", "uhd"], "named twice"), (["cpu", ""], "comma"), (["all", "rtx"], "named twice")] {
            let error = choose_all(&list, &names).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(words), "{error}");
        }
        assert!(choose_all(&list[3..], &["all"]).unwrap_err().to_string().contains("no GPU"));
    }

    #[test]
    fn an_unusable_adapter_is_passed_over_and_says_why() {
        let mut old = candidate("Old", AdapterKind::Discrete, "Gl");
        old.info.unusable = Some("it is too old".into());
        let list = [old, candidate("CPU", AdapterKind::Cpu, "flex")];
        assert_eq!(choose(&list, &Request::Best).unwrap(), 1);
        assert!(pick(&list, "old").unwrap_err().to_string().contains("too old"));
        assert!(pick(&list, "0").is_err());
    }
}
