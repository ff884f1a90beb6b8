//! What a device is, and what the CPU is.

use std::fmt;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

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

    /// Whether an adapter of this name is a GPU imitated by a CPU: drivers say so in their names more often than in their types.
    #[cfg(feature = "gpu")]
    pub(super) fn is_imitated(adapter: &str) -> bool {
        let adapter = adapter.to_lowercase();
        ["llvmpipe", "swiftshader", "softpipe", "lavapipe", "basic render"].iter().any(|name| adapter.contains(name))
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
    /// `NAME (KIND, API)`; of several devices, `4 x` before those that are alike and follow each other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<&Self> = std::iter::once(self).chain(&self.others).collect();
        let alike = |a: &&Self, b: &&Self| (&a.name, a.kind, &a.api) == (&b.name, b.kind, &b.api);
        all.chunk_by(alike).enumerate().try_for_each(|(i, devices)| {
            f.write_str(if i > 0 { " and " } else { "" })?;
            if devices.len() > 1 {
                write!(f, "{} x ", devices.len())?;
            }
            let Self { name, kind, api, .. } = devices[0];
            write!(f, "{name} ({kind}, {api})")
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_are_alike_are_counted() {
        let named = |name: &str| DeviceInfo { name: name.into(), ..cpu_info() };
        assert_eq!(named("A").to_string(), "A (cpu, flex)");
        let several = DeviceInfo { others: vec![named("A"), named("A"), named("B")], ..named("A") };
        assert_eq!(several.to_string(), "3 x A (cpu, flex) and B (cpu, flex)");
    }
}
