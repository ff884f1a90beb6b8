//! Tests that need what a machine may not have: skipped, counted at the end, or a failure where it is required.
//!
//! `TINDERBOX_TEST_REQUIRE` names what must be there: a test that is skipped for want of it fails. Software adapters, and
//! tests that take minutes, are used only where `gpu` and `long` are named.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// What a test may need.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A GPU; where it is required, also one that the CPU imitates.
    Gpu,
    /// The real data sets.
    Data,
    /// A Python with the packages that the test names.
    Python,
    /// Chromium, whose SwiftShader is a second adapter.
    Browser,
    /// The program `naga`, which translates shaders.
    Naga,
    /// The launcher `mpirun` of Open MPI.
    Mpi,
    /// Minutes.
    Long,
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
            Self::Naga => "naga",
            Self::Mpi => "mpi",
            Self::Long => "long",
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

/// Whether `TINDERBOX_TEST_REQUIRE` names this.
pub fn required(need: Need) -> bool {
    let required = std::env::var("TINDERBOX_TEST_REQUIRE").unwrap_or_default();
    required.split(',').any(|name| name.trim() == need.name())
}

/// Whether a test may take minutes; notes that it is skipped if not.
pub fn may_be_long(test: &str) -> bool {
    let may = required(Need::Long);
    if !may {
        skip(Need::Long, test, "it takes minutes");
    }
    may
}

/// Notes that a test is skipped, and why.
///
/// # Panics
/// What it needs is required.
pub fn skip(need: Need, test: &str, why: &str) {
    let name = need.name();
    assert!(!required(need), "{test} cannot run, but TINDERBOX_TEST_REQUIRE has '{name}': {why}");
    let file = OpenOptions::new().create(true).append(true).open(list());
    file.and_then(|mut file| writeln!(file, "{name}: {test}: {why}")).unwrap();
}
