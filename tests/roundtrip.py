"""Weights and networks that tinderbox exported, in PyTorch and in ONNX Runtime: python roundtrip.py CASE_DIR SAMPLE_DIR

CASE_DIR holds model.safetensors, model.onnx and logits.json (images and logits, as tinderbox computed them). Loads the
weights into PyTorch's own modules with strict=True, checks the ONNX file, and compares both to the logits. Saves the state
dict as model.pth, and prints JSON: the largest differences, and PyTorch's accuracy on the sample where it fits.
"""
import gzip
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

case, sample = map(pathlib.Path, sys.argv[1:3])


class Linear(nn.Module):
    def __init__(self, features, classes, model, batch_norm):
        super().__init__()
        if model == "linear_v0":
            self.fc1 = nn.Linear(features, classes)
        else:
            self.fc1, self.fc2, self.fc3 = nn.Linear(features, 128), nn.Linear(128, 64), nn.Linear(64, classes)
            if batch_norm:
                self.bn1, self.bn2 = nn.BatchNorm1d(128), nn.BatchNorm1d(64)

    def forward(self, x):
        x = self.fc1(x.flatten(1))
        if not hasattr(self, "fc2"):
            return x
        norm = lambda name, x: getattr(self, name)(x) if hasattr(self, name) else x
        x = torch.relu(norm("bn1", x))
        return self.fc3(torch.relu(norm("bn2", self.fc2(x))))


class Block(nn.Module):
    def __init__(self, inputs, outputs, batch_norm):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=not batch_norm)
        if batch_norm:
            self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = self.conv(x)
        return torch.relu(self.norm(x) if hasattr(self, "norm") else x)


class Vgg(nn.Module):
    PLANS = {"vgg11": [[64], [128], [256] * 2, [512] * 2, [512] * 2], "vgg16": [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]}

    def __init__(self, inputs, classes, recipe, scaled):
        super().__init__()
        self.stages = nn.ModuleList()
        for plan in self.PLANS[recipe["model"]]:
            stage = nn.ModuleList()
            for base in plan:
                stage.append(Block(inputs, scaled(base), recipe["batch_norm"]))
                inputs = scaled(base)
            self.stages.append(stage)
        self.head = nn.Linear(inputs, classes)
        self.pool = nn.MaxPool2d(2) if recipe["pool"] == "max" else nn.AvgPool2d(2)

    def forward(self, x):
        for stage in self.stages:
            for block in stage:
                x = block(x)
            x = self.pool(x)
        return self.head(x.flatten(1))


class Resnet9(nn.Module):
    def __init__(self, inputs, classes, recipe, scaled):
        super().__init__()
        norm = recipe["batch_norm"]
        a, b, c, d = map(scaled, (64, 128, 256, 512))
        self.prep, self.layer1, self.layer2, self.layer3 = Block(inputs, a, norm), Block(a, b, norm), Block(b, c, norm), Block(c, d, norm)
        self.residual1 = nn.ModuleList([Block(b, b, norm), Block(b, b, norm)])
        self.residual3 = nn.ModuleList([Block(d, d, norm), Block(d, d, norm)])
        self.head = nn.Linear(d, classes)

    def forward(self, x):
        residual = lambda x, pair: x + pair[1](pair[0](x))
        pool = nn.functional.max_pool2d
        x = residual(pool(self.layer1(self.prep(x)), 2), self.residual1)
        x = residual(pool(self.layer3(pool(self.layer2(x), 2)), 2), self.residual3)
        return self.head(pool(x, 4).flatten(1)) * 0.125


with safe_open(case / "model.safetensors", "pt") as file:
    about = json.loads(file.metadata()["tinderbox"])
recipe, shape, classes = about["recipe"], about["shape"], len(about["classes"])
scaled = lambda base: max(1, int(base * recipe["width"] + 0.5))
if recipe["model"].startswith("linear"):
    model = Linear(shape["channels"] * shape["height"] * shape["width"], classes, recipe["model"], recipe["batch_norm"])
else:
    model = (Vgg if recipe["model"].startswith("vgg") else Resnet9)(shape["channels"], classes, recipe, scaled)
model.load_state_dict(load_file(case / "model.safetensors"), strict=True)
model.eval()
torch.save(model.state_dict(), case / "model.pth")
torch.save({key: value.double() for key, value in model.state_dict().items()}, case / "double.pth")
torch.save({"epoch": 3, "state_dict": model.state_dict()}, case / "nested.pth")

expected = json.loads((case / "logits.json").read_text())
images = np.array(expected["images"], np.float32).reshape(-1, shape["channels"], shape["height"], shape["width"])
logits = np.array(expected["logits"], np.float32).reshape(len(images), classes)
with torch.no_grad():
    by_torch = model(torch.from_numpy(images)).numpy()

network = onnx.load(case / "model.onnx")
onnx.checker.check_model(network, full_check=True)
assert json.loads({p.key: p.value for p in network.metadata_props}["tinderbox"]) == about
session = onnxruntime.InferenceSession(case / "model.onnx", providers=["CPUExecutionProvider"])
(by_onnx,) = session.run(None, {"images": images})

said = {"torch": float(abs(by_torch - logits).max()), "onnx": float(abs(by_onnx - logits).max()), "largest": float(abs(logits).max())}
if (shape["channels"], shape["height"]) == (1, 28):
    read = lambda name, skip: np.frombuffer(gzip.decompress((sample / name).read_bytes()), np.uint8, offset=skip)
    pixels = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28).astype(np.float32) * np.float32(about["pixel_scale"])
    labels = read("t10k-labels-idx1-ubyte.gz", 8)
    with torch.no_grad():
        said["accuracy"] = 100 * float((model(torch.from_numpy(pixels)).argmax(1).numpy() == labels).mean())
print(json.dumps(said))
