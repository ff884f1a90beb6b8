//! Tests that need what a machine may not have: skipped, told once at the end, or a failure where it is required.
//!
//! `TINDERBOX_TEST_REQUIRE=gpu,data,python,browser` makes a failure of every skip for want of these.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// What a test may need.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A GPU, or a software adapter.
    Gpu,
    /// The real data sets.
    Data,
    /// A Python with the packages that the test names.
    Python,
    /// Chromium, whose SwiftShader is a second adapter.
    Browser,
    /// Something of the operating system, such as permission to mount; never required.
    System,
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Data => "data",
            Self::Python => "python",
            Self::Browser => "browser",
            Self::System => "system",
        }
    }
}

/// Where the skips of this run of `cargo test` are written down for `tests/zz_skipped.rs`.
pub fn list() -> PathBuf {
    // The test binaries of one run have one parent.
    #[cfg(unix)]
    let run = std::os::unix::process::parent_id();
    #[cfg(not(unix))]
    let run = 0;
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("skipped-{run}.txt"))
}

/// Notes that a test is skipped, and why.
///
/// # Panics
/// What it needs is required.
pub fn skip(need: Need, test: &str, why: &str) {
    let required = std::env::var("TINDERBOX_TEST_REQUIRE").unwrap_or_default();
    let required = required.split(',').any(|name| name.trim() == need.name());
    assert!(!required, "{test} cannot run, but TINDERBOX_TEST_REQUIRE has '{}': {why}", need.name());
    let file = OpenOptions::new().create(true).append(true).open(list());
    file.and_then(|mut file| writeln!(file, "{test} ({}): {why}", need.name())).unwrap();
}
