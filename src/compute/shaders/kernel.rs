//! How a shader of ours is launched.

use burn_wgpu::{CubeDim, CubeTensor, KernelSource, SourceKernel};
use cubecl::prelude::CubeCount;
use cubecl::server::KernelArguments;

/// A kernel of ours: `wgsl!(Name, "file")` makes a type that burn can launch.
macro_rules! wgsl {
    ($name:ident, $file:literal) => {
        struct $name;

        impl burn_wgpu::KernelSource for $name {
            fn source(&self) -> burn_wgpu::SourceTemplate {
                burn_wgpu::SourceTemplate::new(include_str!($file))
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

/// Runs a kernel of `groups` workgroups over these tensors, which it sees as bindings in this order, followed by one
/// with the `params`.
pub(super) fn run<K: KernelSource>(
    kernel: K,
    threads: u32,
    groups: (u32, u32),
    tensors: &[&CubeTensor],
    params: &[u32],
) {
    let client = &tensors[0].client;
    let bytes: Vec<u8> = params.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let params = client.create_from_slice(&bytes);
    let arguments = tensors
        .iter()
        .map(|tensor| tensor.handle.clone().binding())
        .chain([params.binding()])
        .fold(KernelArguments::new(), KernelArguments::with_buffer);
    let kernel = SourceKernel::new(kernel, CubeDim::new_1d(threads));
    client.launch(Box::new(kernel), CubeCount::Static(groups.0, groups.1, 1), arguments);
}
