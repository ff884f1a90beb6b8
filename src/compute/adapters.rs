//! Lists the devices there are, and opens them.

use burn::tensor::Device;

#[cfg(all(feature = "gpu", not(target_family = "wasm")))]
use super::gpu;
#[cfg(any(test, feature = "cuda"))]
use super::info::AdapterKind;
use super::info::DeviceInfo;
#[cfg(any(test, not(target_family = "wasm")))]
use super::info::cpu_info;
#[cfg(not(target_family = "wasm"))]
use super::request::Request;
use super::shaders::Gpu;
use crate::error::Result;
#[cfg(all(feature = "gpu", not(target_family = "wasm")))]
use crate::error::{Error, ErrorKind};

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
        candidates.extend(gpu_candidates(api));
    }
    candidates.push(Candidate { info: cpu_info(), handle: Handle::Cpu });
    // OpenGL drivers are slow to start, some print to the terminal, and a GPU worth having has a better API.
    #[cfg(feature = "gpu")]
    if !matches!(request, Request::Best | Request::Gpu) {
        candidates.extend(gpu_candidates(wgpu::Backends::GL));
    }
    candidates
}

#[cfg(all(feature = "gpu", not(target_family = "wasm")))]
fn gpu_candidates(api: wgpu::Backends) -> impl Iterator<Item = Candidate> {
    let candidate = |(info, instance, adapter)| Candidate { info, handle: Handle::Wgpu(Box::new((instance, adapter))) };
    gpu::adapters(api).into_iter().map(candidate)
}

/// One candidate made up of nothing, for the tests of what chooses among them.
#[cfg(test)]
pub(super) fn made_up(name: &str, kind: AdapterKind, api: &str) -> Candidate {
    let info = DeviceInfo { name: name.into(), kind, api: api.into(), driver: "d".into(), ..cpu_info() };
    Candidate { info, handle: Handle::Cpu }
}
