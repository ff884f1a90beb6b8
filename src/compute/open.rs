//! Hands burn the very adapter that was chosen.

use std::fmt;

use burn::tensor::Device;
use burn_wgpu::WgpuSetup;

#[cfg(target_family = "wasm")]
use super::adapters::DeviceInfo;
use super::adapters::{AdapterKind, Candidate, Handle, SOFTWARE_BUFFER_BYTES, describe};
#[cfg(feature = "vulkan")]
use super::failure;
use super::shaders::Gpu;
use crate::error::{Error, ErrorKind, Result};

/// A submission costs the host as much as a few dispatches. More than these, and a slow GPU might be at one for so long that its
/// driver takes it for dead.
const DISPATCHES_IN_SUBMISSION: usize = 128;

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
            Handle::Wgpu(handles) => {
                let (instance, adapter) = *handles;
                let refused =
                    |e: &dyn fmt::Display| Error::new(ErrorKind::Device, format!("{} does not start: {e}", self.info));
                let (device, queue) = pollster::block_on(request_device(&adapter)).map_err(|e| refused(&e))?;
                let backend = adapter.get_info().backend;
                let gpu = Gpu { device: device.clone(), queue: queue.clone() };
                let setup = WgpuSetup { instance, adapter, device, queue, backend };
                let options = Device::wgpu_options().setup(setup).tasks_max(DISPATCHES_IN_SUBMISSION);
                Ok((options.init().map_err(|e| refused(&format!("{e:?}")))?, Some(gpu)))
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
    let options = Device::wgpu_options().setup(setup.clone()).tasks_max(DISPATCHES_IN_SUBMISSION);
    let device = options.init().map_err(|e| refused(&format!("{e:?}")))?;
    Ok((device, info, setup))
}

/// With SPIR-V the device needs extensions that only burn's runtime knows.
#[cfg(feature = "vulkan")]
async fn request_device(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue)> {
    if adapter.get_info().backend == wgpu::Backend::Vulkan
        && let Some(device) =
            cubecl_wgpu::vulkan::try_request_vulkan_device(adapter).await.map_err(|e| failure::device(&e))?
    {
        return Ok(device);
    }
    request_plain_device(adapter).await
}

#[cfg(not(feature = "vulkan"))]
async fn request_device(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue)> {
    request_plain_device(adapter).await
}

/// All that the adapter can do, as burn's own runtime asks for it, but nothing experimental.
async fn request_plain_device(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue)> {
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
    adapter.request_device(&descriptor).await.map_err(|e| Error::new(ErrorKind::Device, e.to_string()).caused_by(e))
}
