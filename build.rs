//! Tells the program which commit it is of, and which burn and wgpu it is built with, for benchmark reports.

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
}
