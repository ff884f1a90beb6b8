//! A network as Python: the `torch.nn.Sequential` whose state dict has the names of this program's weights.

use super::Network;
use super::layers::{AnyLayer, Layer};

/// What PyTorch has no module for, by the word that uses it.
const HELPERS: [(&str, &str); 3] = [
    (
        "Normalize(",
        "class Normalize(nn.Module):\n    \"\"\"Every channel less its mean, divided by its standard deviation.\"\"\"\n\n    \
         def __init__(self, channels):\n        super().__init__()\n        \
         self.register_buffer(\"mean\", torch.zeros(channels, 1, 1))\n        \
         self.register_buffer(\"std\", torch.ones(channels, 1, 1))\n\n    \
         def forward(self, x):\n        return (x - self.mean) / self.std\n",
    ),
    (
        "Residual(",
        "class Residual(nn.Sequential):\n    \"\"\"The input, added to what the layers inside make of it.\"\"\"\n\n    \
         def forward(self, x):\n        return x + super().forward(x)\n",
    ),
    (
        "Scale(",
        "class Scale(nn.Module):\n    \"\"\"Every value times a number.\"\"\"\n\n    def __init__(self, factor):\n        \
         super().__init__()\n        self.factor = factor\n\n    def forward(self, x):\n        return x * self.factor\n",
    ),
];

/// A Python file that defines `network()`. `load_state_dict(strict=True)` takes the weights that this program exports.
pub fn source(network: &Network, title: &str) -> String {
    let layer = |(layer, input, _): (&Layer, _, _)| format!("        {},\n", layer.pytorch(input));
    let layers: String = network.placed().map(layer).collect();
    let helpers: String =
        HELPERS.iter().filter(|(word, _)| layers.contains(word)).map(|(_, text)| format!("{text}\n\n")).collect();
    let torch = if helpers.contains("torch.") { "import torch\n" } else { "" };
    let (input, classes) = (network.input(), network.classes());
    format!(
        "\"\"\"{title}: images [n, {}, {}, {}] from 0 to 1 in, logits [n, {classes}] out.\n\n\
         Written by tinderbox {}. The weights beside it load with\n\n    \
         from safetensors.torch import load_file\n    \
         model = network()\n    model.load_state_dict(load_file(\"model.safetensors\"))\n    model.eval()\n\"\"\"\n\
         {torch}from torch import nn\n\n\n{helpers}def network():\n    return nn.Sequential(\n{layers}    )\n",
        input.channels,
        input.height,
        input.width,
        env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::network::Architecture;

    #[test]
    fn helpers_stand_above_what_uses_them_and_only_there() {
        let source = |layers: &str| {
            let architecture: Architecture = layers.parse().unwrap();
            let network = Network::new(&architecture, ImageShape { channels: 1, height: 8, width: 8 }, 3).unwrap();
            source(&network, "a test")
        };
        let plain = source("conv 4 stride 2, norm, relu, global_pool avg, flatten, linear classes bias off");
        assert!(plain.contains(
            "    return nn.Sequential(\n        nn.Conv2d(1, 4, 3, stride=2, padding=1),\n        nn.BatchNorm2d(4),\n        \
             nn.ReLU(),\n        nn.AdaptiveAvgPool2d(1),\n        nn.Flatten(),\n        nn.Linear(4, 3, bias=False),\n    )\n"
        ), "{plain}");
        assert!(!plain.contains("class") && !plain.contains("import torch"), "{plain}");
        let fitted = source("normalize, whiten, norm scale off momentum 0.4 epsilon 1e-12, flatten, linear 3");
        assert!(fitted.contains("import torch\nfrom torch import nn\n\n\nclass Normalize("), "{fitted}");
        assert!(fitted.contains("nn.Conv2d(1, 8, 2, padding=0),"), "{fitted}");
        assert!(fitted.contains("nn.BatchNorm2d(8, eps=1e-12, momentum=0.4),"), "{fitted}");
        let with = source("residual [conv 1], flatten, linear 3, scale 0.5");
        assert!(with.contains("class Residual(") && with.contains("class Scale("), "{with}");
        assert!(with.contains("Residual(nn.Conv2d(1, 1, 3, padding=1)),"), "{with}");
    }
}
