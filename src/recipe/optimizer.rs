//! Which optimizer, and what it is set to. The rules themselves are in [`training`](crate::training).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The rule that turns gradients into new weights; each computes as PyTorch's of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Stochastic gradient descent, with PyTorch's momentum (no dampening).
    Sgd {
        /// The share of the last step that is taken again; 0 for none.
        momentum: f64,
        /// Whether the gradient is taken ahead by the momentum (Sutskever et al., 2013).
        #[serde(default)]
        nesterov: bool,
        /// Added to the gradient as a multiple of the weight; 0 for none.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam with beta 0.9 and 0.999, epsilon 1e-8 (Kingma and Ba, 2014).
    Adam {
        /// Added to the gradient as a multiple of the weight; 0 for none.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam with the weight decay kept out of the moments (Loshchilov and Hutter, 2017).
    AdamW {
        /// Taken off the weight directly, times the learning rate.
        weight_decay: f64,
    },
    /// Muon for the filters of convolutions (Keller Jordan, 2024), SGD for everything else.
    Muon {
        /// SGD's momentum.
        momentum: f64,
        /// Whether both gradients are taken ahead by their momentum.
        nesterov: bool,
        /// SGD's weight decay; the length of filters is fixed.
        #[serde(default)]
        weight_decay: f64,
        /// A factor on the learning rate of filters.
        filter_rate: f64,
        /// The share of the last step of filters that is taken again.
        filter_momentum: f64,
    },
}

impl OptimizerConfig {
    /// The rule of parameters that have none of their own.
    pub fn of_the_rest(self) -> Self {
        match self {
            Self::Muon { momentum, nesterov, weight_decay, .. } => Self::Sgd { momentum, nesterov, weight_decay },
            plain => plain,
        }
    }
}

/// What an optimizer is set to where nothing else is said.
struct Defaults {
    kind: &'static str,
    learning_rate: f64,
    /// With whether it is Nesterov's.
    momentum: Option<(f64, bool)>,
    weight_decay: f64,
    /// For filters: the factor on the learning rate, and the momentum.
    filters: Option<(f64, f64)>,
}

/// One row an optimizer. Momentum and Nesterov's momentum are for those that have one here.
const DEFAULTS: [Defaults; 4] = [
    Defaults { kind: "sgd", learning_rate: 0.1, momentum: Some((0.0, false)), weight_decay: 0.0, filters: None },
    Defaults { kind: "adam", learning_rate: 0.001, momentum: None, weight_decay: 0.0, filters: None },
    Defaults { kind: "adamw", learning_rate: 0.001, momentum: None, weight_decay: 0.01, filters: None },
    Defaults {
        kind: "muon",
        learning_rate: 0.1,
        momentum: Some((0.85, true)),
        weight_decay: 0.0,
        filters: Some((1.0, 0.6)),
    },
];

/// The names of all optimizers.
pub(super) fn names() -> Vec<&'static str> {
    DEFAULTS.iter().map(|row| row.kind).collect()
}

/// The names of those that have a momentum.
pub(super) fn with_momentum() -> Vec<&'static str> {
    DEFAULTS.iter().filter(|row| row.momentum.is_some()).map(|row| row.kind).collect()
}

/// The names of those that have a rule of their own for filters.
pub(super) fn with_filters() -> Vec<&'static str> {
    DEFAULTS.iter().filter(|row| row.filters.is_some()).map(|row| row.kind).collect()
}

/// The default of a setting of the optimizer `kind`; null where it has no such setting.
pub(super) fn default_of(setting: &str, kind: &str) -> Value {
    let Some(row) = DEFAULTS.iter().find(|row| row.kind == kind) else { return Value::Null };
    match setting {
        "learning_rate" => json!(row.learning_rate),
        "weight_decay" => json!(row.weight_decay),
        "momentum" => json!(row.momentum.map(|(momentum, _)| momentum)),
        "nesterov" => json!(row.momentum.map(|(_, nesterov)| nesterov)),
        "filter_rate" => json!(row.filters.map(|(rate, _)| rate)),
        "filter_momentum" => json!(row.filters.map(|(_, momentum)| momentum)),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_optimizer_has_its_defaults_and_no_others() {
        for kind in names() {
            let mut settings = serde_json::Map::from_iter([("kind".into(), json!(kind))]);
            for setting in ["momentum", "nesterov", "weight_decay", "filter_rate", "filter_momentum"] {
                match default_of(setting, kind) {
                    Value::Null => {}
                    value => drop(settings.insert(setting.into(), value)),
                }
            }
            let config: OptimizerConfig = serde_json::from_value(settings.clone().into()).unwrap();
            assert_eq!(serde_json::to_value(config).unwrap(), Value::from(settings));
        }
    }
}
