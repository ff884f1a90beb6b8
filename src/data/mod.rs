//! Data sets: what they are called, where they come from, and their checked images and labels on the host.

pub mod cifar;
#[cfg(feature = "native")]
mod csv;
mod dataset;
#[cfg(feature = "native")]
mod decode;
#[cfg(feature = "picture")]
mod digit;
#[cfg(feature = "native")]
pub mod download;
#[cfg(feature = "native")]
mod folder;
mod identity;
mod idx;
#[cfg(feature = "native")]
mod listing;
mod origin;
#[cfg(feature = "native")]
pub mod packed;
#[cfg(feature = "picture")]
pub mod picture;
#[cfg(feature = "picture")]
pub mod pictures;
#[cfg(feature = "native")]
mod source;
#[cfg(feature = "native")]
mod tree;

pub use dataset::{Dataset, DatasetInfo, ImageShape, Label, Loaded, MAX_CLASSES, MAX_IMAGE_SIDE, Split, fnv_1a};
pub(crate) use identity::EXAMPLES;
pub use identity::{Identity, Preprocessing};
pub use idx::{parse_images, parse_labels, parse_split};
pub use origin::Origin;
#[cfg(feature = "native")]
pub use source::SAMPLE_FILES;

#[cfg(feature = "native")]
use {
    crate::error::{Advice, Error, ErrorKind, Result},
    crate::notice::Notices,
    std::path::{Path, PathBuf},
};

/// Loads a data set as [`load_sized`] does, pictures of somebody's own in the size of CIFAR-10's.
///
/// # Errors
/// As [`load_sized`].
#[cfg(feature = "native")]
pub fn load(identity: &Identity, data_dir: Option<&Path>, notices: Notices<'_>) -> Result<Loaded> {
    load_sized(identity, pictures::PICTURE_SIDE, data_dir, notices)
}

/// Loads a data set, pictures of somebody's own with so many pixels a `side`, telling `notices` what else happens. MNIST and CIFAR-10 are looked for in `data_dir`, in the folder
/// that `TINDERBOX_DATA` names, and in `data/mnist` or `data`; where they are in none of these they are downloaded into the
/// first that is named.
///
/// # Errors
/// Missing data, naming the files and where to put them; invalid data, naming file, offset, expected and found.
#[cfg(feature = "native")]
pub fn load_sized(identity: &Identity, side: usize, data_dir: Option<&Path>, notices: Notices<'_>) -> Result<Loaded> {
    match identity {
        Identity::MnistSample => source::sample(),
        Identity::Idx(dir) => source::idx_folder(dir, None),
        Identity::Folder(dir) => folder::load(dir, side, notices),
        Identity::Csv(file) => csv::load(file, side, notices),
        Identity::Cifar10 => cifar::load(&places_of_cifar10(data_dir), notices),
        Identity::Mnist => source::mnist(data_dir, notices),
        Identity::Own(name) => {
            let message = format!("the pictures of '{name}' are in the page that they were given to");
            Err(Error::new(ErrorKind::MissingData, message).advise(Advice::OtherDataset))
        }
    }
}

#[cfg(feature = "native")]
fn places_of_cifar10(data_dir: Option<&Path>) -> Vec<PathBuf> {
    source::named_folders(data_dir).chain(["data".into()]).collect()
}

/// A few images of CIFAR-10 for a page to fetch, as two files of its layout with their names. `None` where CIFAR-10 is not
/// unpacked on this machine, in the folder that `TINDERBOX_DATA` names or in `data`; nothing is downloaded.
#[cfg(feature = "native")]
pub fn cifar10_sample() -> Option<Vec<(&'static str, Vec<u8>)>> {
    cifar::sample(&places_of_cifar10(None))
}
