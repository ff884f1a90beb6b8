//! Tells the program which commit it is of, and which burn and wgpu it is built with, for benchmark reports. Asks the
//! linker for a smaller program.

use std::path::PathBuf;
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
    if links(FOLD).is_some() {
        println!("cargo:rustc-link-arg-bins={FOLD}");
    }
    // The loader of an old C library does not know them: only a program that ran here shows that this one does.
    let here = std::env::var("TARGET") == std::env::var("HOST");
    if here && links(PACK).is_some_and(|program| Command::new(program).status().is_ok_and(|status| status.success())) {
        println!("cargo:rustc-link-arg-bins={PACK}");
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
/// Packs the list of addresses that the loader fills in, another tenth.
const PACK: &str = "-Wl,-z,pack-relative-relocs";

/// A program that does nothing, linked with this option, if the linker knows it. LLVM's knows both, which is the default on
/// x86-64 Linux; GNU's does not fold.
fn links(option: &str) -> Option<PathBuf> {
    let (rustc, out) = (std::env::var_os("RUSTC")?, PathBuf::from(std::env::var_os("OUT_DIR")?));
    let (source, program) = (out.join("nothing.rs"), out.join("nothing"));
    std::fs::write(&source, "fn main() {}").ok()?;
    let mut command = Command::new(rustc);
    command.args(["--target", &std::env::var("TARGET").ok()?, "-C", &format!("link-arg={option}"), "-o"]);
    command.args([&program, &source]);
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    command.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        command.args(["-C", &format!("linker={linker}")]);
    }
    command.output().ok().filter(|output| output.status.success()).map(|_| program)
}
