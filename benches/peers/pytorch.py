#!/usr/bin/env python3
"""The training of `tinderbox bench` in PyTorch, written as the same JSON.

    pip install torch numpy
    python3 benches/peers/pytorch.py > pytorch.json
    tinderbox bench --compare mine.json pytorch.json

Runs on CUDA or Metal where PyTorch finds it, else on the CPU. Data is the sample in data/mnist-sample, one tensor on the
device, an epoch one permutation and a batch one index operation: no DataLoader, no PIL, no transforms. Each number is
the median of nine after two rounds of warming up; what is measured is described in src/bench/.
"""
import datetime
import gzip
import json
import os
import pathlib
import platform
import statistics
import sys
import time

import numpy as np
import torch
from torch import nn

REPEATS = 9
SAMPLE = pathlib.Path(__file__).resolve().parents[2] / "data" / "mnist-sample"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
measurements, warmup = [], 0.0


def wait():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    elif DEVICE.type == "mps":
        torch.mps.synchronize()


def record(name, unit, values, higher_is_better, note):
    measurements.append({
        "name": name, "unit": unit, "median": statistics.median(values), "low": min(values), "high": max(values),
        "repeats": len(values), "higher_is_better": higher_is_better, "note": note})
    print(f"  {name} {measurements[-1]['median']:.4g} {unit}", file=sys.stderr)


def seconds(work):
    """Of one call of `work`: each repeat is of as many as fill 20 ms."""
    global warmup
    times = []
    for _ in range(2):
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    warmup += max(0.0, times[0] - times[1])
    rounds = int(min(1000, max(1, 0.02 / max(times[1], 1e-7))))
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(rounds):
            work()
        wait()
        times.append((time.perf_counter() - start) / rounds)
    return times


def rate(name, unit, amount, times, note=None):
    record(name, unit, [amount / t for t in times], True, note)


def split(prefix):
    images = np.frombuffer(gzip.open(SAMPLE / f"{prefix}-images-idx3-ubyte.gz").read(), np.uint8, offset=16)
    labels = np.frombuffer(gzip.open(SAMPLE / f"{prefix}-labels-idx1-ubyte.gz").read(), np.uint8, offset=8)
    return (torch.from_numpy(images.reshape(-1, 784).astype(np.float32) / 255).to(DEVICE),
            torch.from_numpy(labels.astype(np.int64)).to(DEVICE))


def linear_v1():
    return nn.Sequential(
        nn.Linear(784, 128), nn.BatchNorm1d(128), nn.ReLU(),
        nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10)).to(DEVICE)


def vgg11():
    layers, inputs = [], 3
    for outputs in [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]:
        if outputs == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10)).to(DEVICE)


def epoch(model, optimizer, data, batch):
    images, labels = data
    loss_of = nn.CrossEntropyLoss()
    model.train()
    for indices in torch.randperm(len(images), device=DEVICE).split(batch):
        loss = loss_of(model(images[indices]), labels[indices])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    wait()


def accuracy(model, data):
    images, labels = data
    model.eval()
    with torch.no_grad():
        return 100 * (model(images).argmax(1) == labels).float().mean().item()


def infer(name, model, shape):
    model.eval()
    with torch.no_grad():
        for batch in [1, 256]:
            x = torch.rand(batch, *shape, device=DEVICE)
            times = seconds(lambda: model(x))
            if batch == 1:
                record(f"infer_{name}_1", "ms", [1000 * t for t in times], False, "batch 1")
            else:
                rate(f"infer_{name}_256", "images/s", 256, times, "batch 256")


def main():
    global warmup
    torch.manual_seed(0)
    big = torch.ones(16 << 20, device=DEVICE)
    rate("memory", "GB/s", 8e-9 * len(big), seconds(lambda: big * 2), "64 MB, times 2")
    n = 2048
    matrix = torch.ones(n, n, device=DEVICE)
    rate("matmul_f32", "GFLOP/s", 2e-9 * n**3, seconds(lambda: matrix @ matrix), f"{n}x{n}")
    x, w = torch.ones(64, 64, 32, 32, device=DEVICE), torch.ones(64, 64, 3, 3, device=DEVICE)
    work = 2e-9 * 64 * 32 * 32 * 64 * 64 * 9
    rate("conv_f32", "GFLOP/s", work, seconds(lambda: nn.functional.conv2d(x, w, padding=1)),
         "3x3, 64 to 64 channels, 32x32, batch 64")

    train, test = split("train"), split("t10k")
    model = linear_v1()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        epoch(model, optimizer, train, 500)
        times.append(time.perf_counter() - start)
    warmup += max(0.0, times[0] - times[1])
    rate("train_linear_v1", "images/s", len(train[0]), times[1:], "batch 500")
    infer("linear_v1", linear_v1(), (784,))

    times = []
    for _ in range(REPEATS):
        torch.manual_seed(0)
        model = linear_v1()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        start = time.perf_counter()
        for _ in range(40):
            epoch(model, optimizer, train, 100)
            if accuracy(model, test) >= 95:
                times.append(time.perf_counter() - start)
                break
    if times:
        record("time_to_95_percent", "s", times, False, "linear_v1 on 4000 digits, batch 100, seed 0")

    model, loss_of = vgg11(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    x, y = torch.rand(128, 3, 32, 32, device=DEVICE), torch.randint(0, 10, (128,), device=DEVICE)

    def step():
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    rate("train_vgg11", "images/s", 128, seconds(step), "batch 128")
    infer("vgg11", model, (3, 32, 32))

    threads = torch.get_num_threads()
    cpu = platform.processor() or platform.machine()
    if pathlib.Path("/proc/cpuinfo").exists():
        cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), cpu)
    kind, name = ("discrete", torch.cuda.get_device_name()) if DEVICE.type == "cuda" else \
        ("integrated", "Apple GPU") if DEVICE.type == "mps" else ("cpu", f"{cpu}, {threads} threads")
    device = {"name": name, "kind": kind, "api": f"PyTorch {DEVICE.type}", "driver": f"torch {torch.__version__}",
              "f16": DEVICE.type != "cpu", "subgroup_sizes": None, "max_buffer_bytes": None}
    row = {"name": f"PyTorch {torch.__version__.split('+')[0]}", "device": device, "warmup_seconds": warmup, "tuned": 0,
           "measurements": measurements}
    report = {
        "schema": "tinderbox-bench/1", "tool": {"name": "PyTorch", "version": torch.__version__},
        "machine": {"os": f"{platform.system().lower()} {platform.machine()}", "cpu": cpu, "threads": os.cpu_count()},
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "quick": False,
        "rows": [row]}
    json.dump(report, sys.stdout, indent=1)
    print()


main()
