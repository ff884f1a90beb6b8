//! Test-time augmentation: which views of an image a network is asked about.

use crate::names::{named, text_in_files};

/// Which views of an image a network is asked about. Their logits are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Views {
    /// The image.
    #[default]
    Plain,
    /// The image and its mirror image.
    Mirror,
    /// Both, and both shifted by a pixel along the diagonal, each way, with half of the weight; as in airbench (Keller Jordan,
    /// 2024).
    MirrorAndShift,
}

named!(
    Views, "test-time augmentation",
    Views::Plain => "off", Views::Mirror => "mirror", Views::MirrorAndShift => "mirror+shift",
);
text_in_files!(Views);
