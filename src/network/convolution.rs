//! By which algorithm 3x3 convolutions are computed.

use serde::{Deserialize, Serialize};

use super::Precision;
use crate::names::named;

/// By which algorithm the CPU computes 3x3 convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Convolution {
    /// By Winograd's schemes: with down to a quarter of the products, and rounding that is a few times larger.
    #[default]
    Fast,
    /// As it is defined.
    Exact,
}

named!(Convolution, "convolution", Convolution::Fast => "fast", Convolution::Exact => "exact");

/// How a network multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Products {
    /// In which numbers.
    pub precision: Precision,
    /// By which algorithm its convolutions.
    pub convolution: Convolution,
}

impl From<Precision> for Products {
    fn from(precision: Precision) -> Self {
        Self { precision, ..Self::default() }
    }
}
