//! Which devices were found to compute what the CPU computes: remembered for adapter, driver and version of the program.

use std::path::PathBuf;
use std::time::Instant;

use etcetera::{BaseStrategy, choose_base_strategy};
use serde::{Deserialize, Serialize};

use crate::compute::{DeviceInfo, Devices};
use crate::error::Result;
use crate::files::{make_folder, read, to_json, write_atomically};
use crate::notice::{Notice, Notices};
use crate::training::verify;

/// What has to be the same for a device to be trusted.
#[derive(PartialEq, Serialize, Deserialize)]
struct Entry {
    name: String,
    api: String,
    driver: String,
    program: String,
}

impl Entry {
    fn of(device: &DeviceInfo) -> Self {
        let DeviceInfo { name, api, driver, .. } = device.clone();
        Self { name, api, driver, program: env!("CARGO_PKG_VERSION").into() }
    }
}

/// Compares every device but the CPU with it, unless that was done before.
///
/// # Errors
/// Device: one computes wrongly, or failed.
pub fn verify_once(devices: &mut Devices, notices: Notices<'_>) -> Result<()> {
    for (index, (device, info)) in devices.all().iter().zip(devices.info().each()).enumerate() {
        if info.verified.is_none() {
            continue;
        }
        if !is_remembered(&info) {
            notices(Notice::Verifying(info.to_string()));
            let start = Instant::now();
            pollster::block_on(verify(device))?.refuse(&info.to_string())?;
            notices(Notice::Verified(start.elapsed().as_secs_f64()));
            remember(&info, true);
        }
        devices.set_verified(index);
    }
    Ok(())
}

/// Whether a device was verified by this version of the program, with the driver that it has.
pub fn is_remembered(device: &DeviceInfo) -> bool {
    entries().contains(&Entry::of(device))
}

/// Remembers whether a device was found to compute rightly. Where that cannot be written, it is verified again at the next
/// start.
pub fn remember(device: &DeviceInfo, right: bool) {
    let (mut entries, entry) = (entries(), Entry::of(device));
    entries.retain(|other| *other != entry);
    entries.extend(right.then_some(entry));
    if let Some(path) = path()
        && let Some(folder) = path.parent()
        && make_folder(folder).is_ok()
        && let Ok(text) = to_json(&entries)
    {
        let _ = write_atomically(&path, &text); // see above
    }
}

/// What is remembered; nothing where there is no such file, or one of another make.
fn entries() -> Vec<Entry> {
    let text = path().and_then(|path| read(&path).ok()).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// A file in the user's cache folder.
fn path() -> Option<PathBuf> {
    Some(choose_base_strategy().ok()?.cache_dir().join("tinderbox").join("verified.json"))
}
