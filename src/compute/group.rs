//! What a parameter is to an optimizer.

/// Parameters that an optimizer may step in a way of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Group {
    /// All that have no group of their own.
    #[default]
    Other,
    /// Scales and offsets of batch normalization.
    Normalization,
    /// The bias of a whitening layer.
    Whitening,
    /// What stays as it is from the first step on.
    Fixed,
}
