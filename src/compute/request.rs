//! Which device a user asks for.

/// The device a run takes, as the user asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Request {
    /// The best hardware GPU, else the CPU backend.
    #[default]
    Best,
    /// burn's CPU backend.
    Cpu,
    /// The best hardware GPU, or an error.
    Gpu,
    /// A position in the list.
    Index(usize),
    /// Part of a name, driver or API.
    Name(String),
}

impl From<&str> for Request {
    fn from(text: &str) -> Self {
        match (text, text.parse()) {
            ("best" | "auto", _) => Self::Best,
            ("cpu", _) => Self::Cpu,
            ("gpu", _) => Self::Gpu,
            (_, Ok(index)) => Self::Index(index),
            _ => Self::Name(text.to_string()),
        }
    }
}
