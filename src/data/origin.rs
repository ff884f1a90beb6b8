//! Where a data set came from.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where the files of a data set were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// In the program itself.
    CompiledIn,
    /// In a folder.
    Folder(PathBuf),
    /// In an archive, which is read as it is.
    Archive(PathBuf),
    /// Made or given at run time, by a page or by another program.
    Memory,
}

impl Origin {
    /// The folder to look in for the same files: an archive's is the one that it lies in.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(dir) => Some(dir),
            Self::Archive(file) => file.parent(),
            Self::CompiledIn | Self::Memory => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CompiledIn => f.write_str("compiled in"),
            Self::Folder(path) | Self::Archive(path) => write!(f, "{}", path.display()),
            Self::Memory => f.write_str("in memory"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_an_archive_is_the_one_that_it_lies_in() {
        assert_eq!(Origin::Archive("data/c.tar.gz".into()).folder(), Some(Path::new("data")));
        assert_eq!(Origin::Folder("data/mnist".into()).folder(), Some(Path::new("data/mnist")));
        assert_eq!(Origin::CompiledIn.folder(), None);
    }
}
