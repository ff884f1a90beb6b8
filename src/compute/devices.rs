//! The devices of a run: one that has the state and measures, and those that take a share of every batch.

use burn::tensor::Device;

use super::info::{DeviceInfo, cpu_info, is_cpu};
use super::peers::Peers;

/// One or more devices, the main one first, with what they are.
#[derive(Clone)]
pub struct Devices {
    main: Device,
    others: Vec<Device>,
    info: DeviceInfo,
    /// The processes that share the work, each with a device of its own.
    ranks: Option<Peers>,
}

impl Devices {
    /// A single device.
    pub fn one(device: Device, info: DeviceInfo) -> Self {
        Self { main: device, others: Vec::new(), info: DeviceInfo { others: Vec::new(), ..info }, ranks: None }
    }

    /// Burn's CPU backend.
    pub fn cpu() -> Self {
        Self::one(Device::flex(), cpu_info())
    }

    /// These devices and one more, which takes a share of every batch.
    #[must_use]
    pub fn and(mut self, device: Device, info: DeviceInfo) -> Self {
        self.others.push(device);
        self.info.others.push(info);
        self
    }

    /// The device of this process, one of several that train together, and what those of the others are.
    #[must_use]
    pub fn among(self, ranks: Peers, others: Vec<DeviceInfo>) -> Self {
        Self { info: DeviceInfo { others, ..self.info }, ranks: Some(ranks), ..self }
    }

    /// The processes that share the work, where there are several.
    pub fn ranks(&self) -> Option<&Peers> {
        self.ranks.as_ref()
    }

    /// Among how many devices a batch is shared, and which of them is the main one of this process.
    pub fn sharers(&self) -> (usize, usize) {
        match &self.ranks {
            Some(ranks) => (ranks.count(), ranks.rank()),
            None => (self.count(), 0),
        }
    }

    /// Whether all processes have the same kind of device, so that they compute the same to the last bit.
    pub fn are_alike(&self) -> bool {
        let kind = |info: &DeviceInfo| (info.kind, info.name.clone(), info.api.clone(), info.driver.clone());
        self.info.others.iter().all(|other| kind(other) == kind(&self.info))
    }

    /// The device that has the state.
    pub fn main(&self) -> &Device {
        &self.main
    }

    /// The devices beside it.
    pub fn others(&self) -> &[Device] {
        &self.others
    }

    /// All devices, the main one first.
    pub fn all(&self) -> Vec<Device> {
        std::iter::once(&self.main).chain(&self.others).cloned().collect()
    }

    /// What they are: the main one, with the others inside.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Notes that one of them, counted from the main one, was found to compute what the CPU computes.
    pub fn set_verified(&mut self, index: usize) {
        let info = match index.checked_sub(1) {
            None => Some(&mut self.info),
            Some(other) => self.info.others.get_mut(other),
        };
        if let Some(info) = info {
            info.verified = Some(true);
        }
    }

    /// How many they are in this process.
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Whether every one of them is burn's CPU backend.
    pub fn are_cpu(&self) -> bool {
        is_cpu(&self.main) && self.others.iter().all(is_cpu)
    }
}
