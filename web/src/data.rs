//! Data sets from the bytes of their files.

use tinderbox::data::cifar::{Parts, TEST_FILE, TRAIN_FILES};
use tinderbox::data::{Dataset, Split, parse_split};
use tinderbox::error::{Error, ErrorKind, Result};

/// The uncompressed files of a data set, which come piece by piece.
pub enum Files {
    /// CIFAR-10's become images as they come: all of them twice would be more than a tab should take.
    Cifar(Parts),
    /// Images of MNIST's train set and their labels, and those of the test set: the name of each, and what is there of it.
    Mnist([(String, Vec<u8>); 4]),
}

/// How the names of MNIST's files begin.
const MNIST: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

impl Files {
    /// Makes room for files of these names and lengths in bytes.
    pub fn new(files: Vec<(String, usize)>) -> Result<Self> {
        let find = |fits: &dyn Fn(&str) -> bool, wanted: &str| {
            files.iter().find(|(name, _)| fits(name)).cloned().ok_or_else(|| {
                let message = format!("there is no {wanted} among these files: drop all of a data set at once");
                Error::new(ErrorKind::MissingData, message)
            })
        };
        if files.iter().any(|(name, _)| name.ends_with(".bin")) {
            find(&|name| name == TEST_FILE, TEST_FILE)?;
            find(&|name| TRAIN_FILES.contains(&name), TRAIN_FILES[0])?;
            return Ok(Self::Cifar(Parts::new(files.into_iter().filter(|(name, _)| name.ends_with(".bin")))?));
        }
        let room = |start: &str| {
            find(&|name| name.starts_with(start), start).map(|(name, length)| (name, Vec::with_capacity(length)))
        };
        let [a, b, c, d] = MNIST.map(room);
        Ok(Self::Mnist([a?, b?, c?, d?]))
    }

    /// Takes the next bytes of a file; those of one that nobody asked for are left out.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Cifar(parts) if name.ends_with(".bin") => return parts.add(name, bytes),
            Self::Cifar(_) => {}
            Self::Mnist(files) => {
                if let Some((_, file)) = files.iter_mut().find(|(known, _)| known == name) {
                    if bytes.len() > file.capacity() - file.len() {
                        return Err(Error::invalid(format!("{name}: more bytes than were announced")));
                    }
                    file.extend_from_slice(bytes);
                }
            }
        }
        Ok(())
    }

    /// The data set that they are.
    pub fn parse(self) -> Result<Dataset> {
        let [images, labels, test_images, test_labels] = match self {
            Self::Cifar(parts) => return parts.finish(),
            Self::Mnist(files) => files,
        };
        let split = |images: (String, Vec<u8>), labels: (String, Vec<u8>)| -> Result<Split> {
            parse_split(&images.1, &labels.1)
                .map_err(|e| e.reword(|message| format!("{} and {}: {message}", images.0, labels.0)))
        };
        let (train, test) = (split(images, labels)?, split(test_images, test_labels)?);
        let highest = train.labels.iter().chain(&test.labels).copied().max().unwrap_or(0);
        Dataset::new(train, test, (0..=highest).map(|class| class.to_string()).collect())
    }
}
