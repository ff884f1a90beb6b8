//! Chooses among the adapters there are.
//!
//! A run never falls to a software adapter silently: the order is discrete, integrated, virtual GPU, then the
//! CPU backend. Software adapters (lavapipe, SwiftShader, WARP) are used only when they are named.

use super::adapters::Candidate;
use super::info::AdapterKind;
#[cfg(not(target_family = "wasm"))]
use super::info::DeviceInfo;
use super::request::Request;
use crate::error::{Error, ErrorKind, Result};

/// The position in `candidates` that `request` means.
///
/// # Errors
/// Device: nothing matches, or several different adapters do; says what there is.
pub fn choose(candidates: &[Candidate], request: &Request) -> Result<usize> {
    let usable = |index: &usize| candidates[*index].info.unusable.is_none();
    let best_gpu = || {
        let gpus = (0..candidates.len()).filter(|&i| candidates[i].info.kind.is_gpu()).filter(usable);
        gpus.min_by_key(|&i| candidates[i].info.kind)
    };
    let cpu = || candidates.iter().position(|c| c.info.kind == AdapterKind::Cpu);
    let refuse = |what: String| {
        let rows: Vec<String> = candidates.iter().enumerate().map(|(i, c)| format!("  {i}: {}", c.info)).collect();
        Err(Error::new(ErrorKind::Device, format!("{what}. There is:\n{}", rows.join("\n"))))
    };
    let chosen = match request {
        Request::Best => best_gpu().or_else(cpu),
        Request::Cpu => cpu(),
        Request::Gpu => match best_gpu() {
            None => return refuse("no GPU found; one that the CPU imitates is only taken by its name or index".into()),
            found => found,
        },
        Request::Index(index) if *index < candidates.len() => Some(*index),
        Request::Index(index) => return refuse(format!("no device has index {index}")),
        Request::Name(part) => {
            let part = part.to_lowercase();
            let text = |i: usize| {
                let info = &candidates[i].info;
                format!("{} {} {} {}", info.name, info.driver, info.api, info.kind).to_lowercase()
            };
            let matches: Vec<usize> = (0..candidates.len()).filter(|&i| text(i).contains(&part)).collect();
            let usable_matches: Vec<usize> = matches.iter().copied().filter(usable).collect();
            // One card under two APIs is no ambiguity: the list has the better API first.
            let names: std::collections::BTreeSet<&str> =
                usable_matches.iter().map(|&i| candidates[i].info.name.as_str()).collect();
            match (names.len(), matches.first()) {
                (1, _) => usable_matches.first().copied(),
                (0, Some(&unusable)) => Some(unusable), // its reason is given below
                (0, None) => return refuse(format!("no device matches '{part}'")),
                _ => return refuse(format!("'{part}' matches several devices: give an index or more of the name")),
            }
        }
    };
    match chosen {
        Some(index) => match &candidates[index].info.unusable {
            Some(reason) => refuse(format!("{} cannot train: {reason}", candidates[index].info)),
            None => Ok(index),
        },
        None => refuse("no device".into()),
    }
}

/// The positions in `candidates` of several devices; `all` is every GPU in hardware.
///
/// # Errors
/// Device: one matches nothing; there is no GPU. Usage: one is named twice, or has no name.
#[cfg(not(target_family = "wasm"))]
pub fn choose_all(candidates: &[Candidate], names: &[&str]) -> Result<Vec<usize>> {
    let mut chosen = Vec::new();
    for name in names {
        if name.is_empty() {
            return Err(Error::usage("the list of devices has a comma with no device beside it"));
        }
        let meant = match *name {
            "all" => {
                let api = &candidates[choose(candidates, &Request::Gpu)?].info.api;
                // One card may be there under several APIs.
                let fits = |info: &DeviceInfo| info.kind.is_gpu() && info.unusable.is_none() && info.api == *api;
                (0..candidates.len()).filter(|&i| fits(&candidates[i].info)).collect()
            }
            name => vec![choose(candidates, &Request::from(name))?],
        };
        for index in meant {
            // Two replicas on the CPU do no harm, and show how the shares work.
            if chosen.contains(&index) && candidates[index].info.kind != AdapterKind::Cpu {
                return Err(Error::usage(format!("{} is named twice", candidates[index].info)));
            }
            chosen.push(index);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::super::adapters::made_up;
    use super::*;

    fn pick(candidates: &[Candidate], request: &str) -> Result<usize> {
        choose(candidates, &Request::from(request))
    }

    #[test]
    fn software_is_only_used_when_named() {
        let list = [made_up("llvmpipe", AdapterKind::Software, "Vulkan"), made_up("CPU", AdapterKind::Cpu, "flex")];
        assert_eq!(choose(&list, &Request::Best).unwrap(), 1);
        assert_eq!(pick(&list, "llvm").unwrap(), 0);
        assert_eq!(pick(&list, "0").unwrap(), 0);
        let error = pick(&list, "gpu").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Device);
        assert!(error.to_string().contains("0: llvmpipe (software, Vulkan)"), "{error}");
    }

    #[test]
    fn the_best_kind_and_the_first_api_win() {
        let list = [
            made_up("UHD", AdapterKind::Integrated, "Vulkan"),
            made_up("RTX", AdapterKind::Discrete, "Vulkan"),
            made_up("RTX", AdapterKind::Discrete, "Gl"),
            made_up("CPU", AdapterKind::Cpu, "flex"),
        ];
        assert_eq!(choose(&list, &Request::Best).unwrap(), 1);
        assert_eq!(pick(&list, "gpu").unwrap(), 1);
        assert_eq!(pick(&list, "rtx").unwrap(), 1);
        assert_eq!(pick(&list, "cpu").unwrap(), 3);
        assert!(pick(&list, "vulkan").unwrap_err().to_string().contains("several"));
        assert!(pick(&list, "9").is_err());
        assert!(pick(&list, "radeon").is_err());
    }

    #[test]
    fn several_are_chosen_once_each() {
        let list = [
            made_up("RTX", AdapterKind::Discrete, "Vulkan"),
            made_up("UHD", AdapterKind::Integrated, "Vulkan"),
            made_up("RTX", AdapterKind::Discrete, "Dx12"),
            made_up("llvmpipe", AdapterKind::Software, "Vulkan"),
            made_up("CPU", AdapterKind::Cpu, "flex"),
        ];
        assert_eq!(choose_all(&list, &["all"]).unwrap(), [0, 1]);
        assert_eq!(choose_all(&list, &["all", "cpu", "llvm"]).unwrap(), [0, 1, 4, 3]);
        assert_eq!(choose_all(&list, &["cpu", "cpu"]).unwrap(), [4, 4]);
        for (names, words) in [(["1", "uhd"], "named twice"), (["cpu", ""], "comma"), (["all", "rtx"], "named twice")] {
            let error = choose_all(&list, &names).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(words), "{error}");
        }
        assert!(choose_all(&list[3..], &["all"]).unwrap_err().to_string().contains("no GPU"));
    }

    #[test]
    fn an_unusable_adapter_is_passed_over_and_says_why() {
        let mut old = made_up("Old", AdapterKind::Discrete, "Gl");
        old.info.unusable = Some("it is too old".into());
        let list = [old, made_up("CPU", AdapterKind::Cpu, "flex")];
        assert_eq!(choose(&list, &Request::Best).unwrap(), 1);
        assert!(pick(&list, "old").unwrap_err().to_string().contains("too old"));
        assert!(pick(&list, "0").is_err());
    }
}
