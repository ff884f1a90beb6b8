//! GPUs through wgpu: which adapters there are, what each is, and burn on the very one that was chosen.

#[cfg(target_family = "wasm")]
use std::fmt;

use burn::tensor::Device;
use burn_wgpu::WgpuSetup;

#[cfg(feature = "vulkan")]
use super::failure;
use super::info::{AdapterKind, DeviceInfo};
#[cfg(not(target_family = "wasm"))]
use super::shaders::Gpu;
use crate::error::{Error, ErrorKind, Result};

/// A submission costs the host as much as a few dispatches. More than these, and a slow GPU might be at one for so long that its
/// driver takes it for dead.
const DISPATCHES_IN_SUBMISSION: usize = 128;
/// The largest buffer that is asked of a software adapter; lavapipe, which works, has the same.
const SOFTWARE_BUFFER_BYTES: u64 = 128 << 20;

/// The adapters of one API, through an instance of its own: burn's runtime refuses an instance that spans several.
#[cfg(not(target_family = "wasm"))]
pub(super) fn adapters(api: wgpu::Backends) -> Vec<(DeviceInfo, wgpu::Instance, wgpu::Adapter)> {
    if !wgpu::Instance::enabled_backend_features().contains(api) {
        return Vec::new();
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: api,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = pollster::block_on(instance.enumerate_adapters(api));
    adapters.into_iter().map(|adapter| (describe(&adapter), instance.clone(), adapter)).collect()
}

/// What an adapter is.
fn describe(adapter: &wgpu::Adapter) -> DeviceInfo {
    let (info, features, limits) = (adapter.get_info(), adapter.features(), adapter.limits());
    let driver = format!("{} {}", info.driver, info.driver_info);
    let kind = match info.device_type {
        _ if AdapterKind::is_imitated(&info.name) => AdapterKind::Software,
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
        verified: Some(false),
        unusable,
        others: Vec::new(),
    }
}

/// Starts burn on an adapter; the wgpu device that it computes on comes along.
#[cfg(not(target_family = "wasm"))]
pub(super) fn open(instance: wgpu::Instance, adapter: wgpu::Adapter) -> Result<(Device, Gpu)> {
    let (device, queue) = pollster::block_on(request_device(&adapter))?;
    let gpu = Gpu { device: device.clone(), queue: queue.clone() };
    let backend = adapter.get_info().backend;
    Ok((start(WgpuSetup { instance, adapter, device, queue, backend })?, gpu))
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
    Ok((start(setup.clone()).map_err(|e| refused(&e))?, info, setup))
}

fn start(setup: WgpuSetup) -> Result<Device> {
    let options = Device::wgpu_options().setup(setup).tasks_max(DISPATCHES_IN_SUBMISSION);
    options.init().map_err(|e| Error::new(ErrorKind::Device, format!("{e:?}")))
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
