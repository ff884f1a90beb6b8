//! Where work is computed: the adapters there are, the one that is chosen and opened, kernels of our own for each kind,
//! and what it means when one fails.

mod adapters;
pub mod cpu;
mod devices;
pub mod failure;
#[cfg(feature = "gpu")]
mod gpu;
mod group;
mod info;
pub mod launches;
mod loss_kind;
#[cfg(feature = "mpi")]
pub mod mpi;
pub mod peers;
mod read;
#[cfg(feature = "remote")]
pub mod remote;
pub mod replay;
mod request;
mod select;
pub mod shaders;
mod shared_norm;
#[cfg(feature = "native")]
pub mod tuning;

pub use adapters::Candidate;
#[cfg(not(target_family = "wasm"))]
pub use adapters::list;
pub use devices::Devices;
#[cfg(all(feature = "gpu", target_family = "wasm"))]
pub use gpu::open_browser;
pub use group::Group;
pub use info::{AdapterKind, DeviceInfo, cpu_info, cpu_model, is_cpu};
pub use loss_kind::LossKind;
pub use read::{read, write};
pub use request::Request;
pub use select::choose;
#[cfg(not(target_family = "wasm"))]
pub use select::choose_all;
pub use shared_norm::{SharedNorm, shared_norm};
