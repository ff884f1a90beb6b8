"""Weights and networks that tinderbox exported, in PyTorch and in ONNX Runtime: python roundtrip.py CASE_DIR SAMPLE_DIR

CASE_DIR holds network.py and model.safetensors, as `tinderbox export --to pytorch` writes them, model.onnx and logits.json
(images and logits, as tinderbox computed them). Loads the weights into the torch.nn.Sequential of network.py with
strict=True, checks the ONNX file, and compares both to the logits. Saves the state dict as model.pth, and prints JSON: the
largest differences, and PyTorch's accuracy on the sample where it fits.
"""
import gzip
import json
import pathlib
import runpy
import sys

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors import safe_open
from safetensors.torch import load_file

case, sample = map(pathlib.Path, sys.argv[1:3])

with safe_open(case / "model.safetensors", "pt") as file:
    about = json.loads(file.metadata()["tinderbox"])
shape, classes = about["shape"], len(about["classes"])
model = runpy.run_path(str(case / "network.py"))["network"]()
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
