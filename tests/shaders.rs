//! Every shader of ours in the languages of all drivers: SPIR-V for Vulkan, MSL for Metal, HLSL for DX12.
//!
//! wgpu translates with naga when it compiles a shader. Here the program `naga` (`cargo install naga-cli`) does the same
//! for drivers that are not at hand; `TINDERBOX_TEST_NAGA` names it where it is not on the path.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Need, skip};

/// Every shader as it is compiled: by the names of its files, their texts one after the other.
fn shaders(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root.join("src/compute/shaders")).unwrap() {
        let code = fs::read_to_string(entry.unwrap().path()).unwrap();
        // wgsl!(Name, "file", ...); include_wgsl!("file"); include_str!("file")
        for call in code.split("wgsl!(").skip(1).chain(code.split("include_str!(").skip(1)) {
            let arguments = call.split(')').next().unwrap();
            let files: Vec<&str> =
                arguments.split('"').filter_map(|part| part.strip_prefix("../../../shaders/")).collect();
            let text = |file: &&str| fs::read_to_string(root.join("shaders").join(file)).unwrap();
            if !files.is_empty() {
                found.insert(files.join("+").replace(".wgsl", ""), files.iter().map(text).collect());
            }
        }
    }
    found
}

/// `update.wgsl` is a template; this is what it becomes for two tensors.
fn filled(text: &str) -> String {
    let source = |i| format!("@group(0) @binding({}) var<storage, read_write> source_{i}: array<f32>;\n", 20 + i);
    text.replace("{{ sources }}", &[source(0), source(1)].concat())
        .replace(
            "{{ pick }}",
            "if i < 7u { at = i; value = source_0[i]; trained = true; } else { value = source_1[i - 7u]; }",
        )
        .replace("{{ binding }}", "22")
}

fn naga(test: &str) -> Option<PathBuf> {
    let program = std::env::var_os("TINDERBOX_TEST_NAGA").map_or("naga".into(), PathBuf::from);
    if Command::new(&program).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Some(program);
    }
    skip(Need::Naga, test, "there is no program `naga` (cargo install naga-cli; TINDERBOX_TEST_NAGA names it)");
    None
}

#[test]
fn every_shader_is_valid_for_vulkan_metal_and_dx12() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shaders = shaders(root);
    // Nothing that lies in the folder is left out.
    let of_kernels: BTreeSet<String> = shaders.keys().flat_map(|name| name.split('+').map(String::from)).collect();
    let files = fs::read_dir(root.join("shaders")).unwrap();
    let files: BTreeSet<String> =
        files.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_string()).collect();
    assert_eq!(of_kernels, files);

    let Some(naga) = naga("every_shader_is_valid_for_vulkan_metal_and_dx12") else { return };
    let dir = tempfile::tempdir().unwrap();
    let spirv_val = Command::new("spirv-val").arg("--version").output().is_ok();
    for (name, text) in shaders {
        let path = |ending: &str| dir.path().join(format!("{name}.{ending}"));
        let text = filled(&text);
        assert!(!text.contains("{{"), "{name} has a place that this test does not fill");
        fs::write(path("wgsl"), text).unwrap();
        for ending in ["spv", "metal", "hlsl"] {
            let output = Command::new(&naga).arg(path("wgsl")).arg(path(ending)).output().unwrap();
            assert!(output.status.success(), "{name} to {ending}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(fs::metadata(path(ending)).unwrap().len() > 100, "{name}.{ending} is empty");
        }
        if spirv_val {
            let output = Command::new("spirv-val").arg(path("spv")).output().unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
}
