//! CIFAR-10 in its published binary layout: files of 3,073-byte records, a label and 32x32 pixels of red, of green and
//! of blue. Source: <https://www.cs.toronto.edu/~kriz/cifar.html>.

#[cfg(feature = "native")]
mod archive;
#[cfg(feature = "native")]
mod files;
mod records;

#[cfg(feature = "native")]
pub use archive::from_archive;
#[cfg(feature = "native")]
pub(super) use files::{load, sample};
pub use records::{Parts, TEST_FILE, TRAIN_FILES, from_files};
