//! Shaders of our own (`shaders/*.wgsl`), as operations of burn.
//!
//! They are launched through burn's extension interface, so that burn orders, fuses around and frees as with its own
//! kernels. They are written in WGSL and so run wherever wgpu is handed WGSL; [`runs_shaders`] tells. Everywhere else
//! [`batches`](crate::batches) and [`metrics`](crate::metrics) compose the same of burn's operations, and the tests
//! hold one against the other.

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

mod evaluate;
mod gather;
mod tile_grid;

pub use evaluate::{VALUES_PER_IMAGE, evaluate};
pub use gather::{encode, gather_batch};
pub use tile_grid::{Gpu, Layout, Source, Tile, TileGrid, draw_on_cpu};

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, DispatchDevice, backend_extension};
use burn::tensor::Device;
use burn_wgpu::{CubeBackend, CubeDim, CubeTensor, KernelSource, SourceKernel, into_contiguous};
use cubecl::prelude::CubeCount;
use cubecl::server::KernelArguments;

use crate::dataset::ImageShape;
use crate::recipe::LossKind;

/// The operations that burn learns here. The functions of this module are what to call.
#[backend_extension(Cube, Fusion)]
pub trait Shaders: Backend {
    /// See [`gather_batch`].
    #[fusion(meta = gather::output)]
    fn gather(
        pixels: IntTensor<Self>,
        labels: IntTensor<Self>,
        order: IntTensor<Self>,
        changes: IntTensor<Self>,
        start: usize,
        images: usize,
        shape: ImageShape,
    ) -> (FloatTensor<Self>, IntTensor<Self>);

    /// See [`evaluate()`].
    #[fusion(dtype = results, shape = results)]
    fn evaluate(
        results: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        start: usize,
        loss: LossKind,
    ) -> FloatTensor<Self>;
}

impl Shaders for CubeBackend {
    fn gather(
        pixels: CubeTensor,
        labels: CubeTensor,
        order: CubeTensor,
        changes: CubeTensor,
        start: usize,
        images: usize,
        shape: ImageShape,
    ) -> (CubeTensor, CubeTensor) {
        gather::launch([pixels, labels, order, changes], start, images, shape)
    }

    fn evaluate(
        results: CubeTensor,
        logits: CubeTensor,
        labels: CubeTensor,
        start: usize,
        loss: LossKind,
    ) -> CubeTensor {
        evaluate::launch(results, [logits, labels], start, loss)
    }
}

/// Whether this device, with autodiff or without, is handed WGSL: wgpu without the features that compile to SPIR-V or
/// Metal's own language.
pub fn runs_shaders(device: &Device) -> bool {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device @ cubecl::Device::Wgpu(_)) => device.client().name().contains("wgsl"),
        _ => false,
    }
}

/// Runs a kernel of `groups` workgroups over these tensors, which it sees as bindings in this order, followed by one
/// with the `params`.
fn run<K: KernelSource>(kernel: K, threads: u32, groups: (u32, u32), tensors: &[&CubeTensor], params: &[u32]) {
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
