//! How a shader of ours is launched.

use burn::tensor::{DType, Shape};
use burn_wgpu::{CubeDim, CubeTensor, KernelSource, SourceKernel};
use cubecl::prelude::CubeCount;
use cubecl::server::{KernelArguments, MetadataBindingInfo};

/// A kernel of ours: `wgsl!(Name, "file", ...)` makes a type that burn can launch; further files hold what several share.
macro_rules! wgsl {
    ($name:ident, $($file:literal),+) => {
        struct $name;

        impl burn_wgpu::KernelSource for $name {
            fn source(&self) -> burn_wgpu::SourceTemplate {
                burn_wgpu::SourceTemplate::new(concat!($(include_str!($file)),+))
            }

            fn id(&self) -> cubecl::prelude::KernelId {
                cubecl::prelude::KernelId::new::<Self>()
            }

            fn lang(&self) -> &'static str {
                "wgsl"
            }
        }
    };
}
pub(super) use wgsl;

/// A tensor in single precision beside another.
pub(super) fn empty(like: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    burn_cubecl::ops::numeric::empty_device_contiguous_dtype(client, device, shape.into(), DType::F32)
}

/// Workgroups in one row of a dispatch, which every adapter allows.
const GROUPS_IN_ROW: u32 = 65_535;

/// So many workgroups in rows, of which a dispatch may have more than one: their number, and the rows.
pub(super) fn in_rows(groups: usize) -> (u32, u32) {
    let groups = groups as u32;
    (groups.min(GROUPS_IN_ROW), groups.div_ceil(GROUPS_IN_ROW))
}

/// Runs a kernel of `groups` workgroups over these tensors, which it sees as bindings in this order, followed by a uniform
/// with the `params`. The same parameters are uploaded once, so that a launch can be recorded and replayed.
pub(super) fn run<K: KernelSource>(
    kernel: K,
    threads: u32,
    groups: (u32, u32),
    tensors: &[&CubeTensor],
    params: &[u32],
) {
    // A uniform is a multiple of 16 bytes.
    let mut params = params.to_vec();
    params.resize(params.len().next_multiple_of(4), 0);
    let pairs = params.chunks_exact(2).map(|pair| {
        let [a, b] = [pair[0], pair[1]].map(u32::to_ne_bytes);
        u64::from_ne_bytes([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]])
    });
    let info = MetadataBindingInfo::custom(pairs.collect());
    let arguments = tensors
        .iter()
        .map(|tensor| tensor.handle.clone().binding())
        .fold(KernelArguments::new(), KernelArguments::with_buffer)
        .with_info(info);
    let kernel = SourceKernel::new(kernel, CubeDim::new_1d(threads));
    tensors[0].client.launch(Box::new(kernel), CubeCount::Static(groups.0, groups.1, 1), arguments);
}
