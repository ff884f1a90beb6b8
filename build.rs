//! Tells the program which commit it is of, and which burn and wgpu it is built with, for benchmark reports. Asks the
//! linker to keep one of functions with equal code.

use std::path::Path;
use std::process::Command;

fn main() {
    for path in ["Cargo.lock", "src", "shaders"] {
        println!("cargo:rerun-if-changed={path}"); // a change makes the commit dirty
    }
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/refs/heads");
    let git = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let commit =
        git.ok().filter(|out| out.status.success()).map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    println!("cargo:rustc-env=TINDERBOX_COMMIT={}", commit.unwrap_or_default().trim());
    let lock = std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    for package in ["burn", "wgpu"] {
        let entry = format!("name = \"{package}\"\nversion = \"");
        let version = lock.split(&entry).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        println!("cargo:rustc-env=TINDERBOX_{}={version}", package.to_uppercase());
    }
    if folds_equal_code() {
        println!("cargo:rustc-link-arg-bins={FOLD}");
    }
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if (target("OS"), target("ENV")) == ("windows".into(), "gnu".into()) {
        // GNU's linker for Windows drops what cubecl's types register of themselves, since no code refers to it.
        println!("cargo:rustc-link-arg-bins=-Wl,--no-gc-sections");
    }
}

/// Keeps one of functions with equal code, a tenth of the program: kernels are described by generic code. Microsoft's linker
/// does it by itself.
const FOLD: &str = "-Wl,--icf=all";

/// Whether the linker knows it, found by linking a program that does nothing. LLVM's does, which is the default on
/// x86-64 Linux; GNU's does not.
fn folds_equal_code() -> bool {
    let (Some(rustc), Some(out)) = (std::env::var_os("RUSTC"), std::env::var_os("OUT_DIR")) else { return false };
    let out = Path::new(&out);
    let source = out.join("nothing.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    let mut command = Command::new(rustc);
    command.args(["--target", &target, "-C", &format!("link-arg={FOLD}"), "--out-dir"]).args([out, &source]);
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    command.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        command.args(["-C", &format!("linker={linker}")]);
    }
    let mut linked = || command.output().is_ok_and(|output| output.status.success());
    std::fs::write(&source, "fn main() {}").is_ok() && linked()
}
