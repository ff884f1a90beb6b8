#!/usr/bin/env python3
"""What a training step costs the host in PyTorch: eager mode, one thread, batch 4, so that next to nothing is computed.

    python3 benches/peers/host_step.py [NETWORK ...]

The same networks, losses and optimizers as benches/host_step.rs. Prints the median milliseconds of a step.
"""
import statistics
import sys
import time

import torch
from torch import nn

torch.set_num_threads(1)
BATCH = 4


def linear_v1():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 128), nn.BatchNorm1d(128), nn.ReLU(),
        nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))


def vgg11_narrow():
    """vgg11 with a 64th of its channels: as many operations, next to no arithmetic."""
    layers, channels = [], 3
    for width in [1, "pool", 2, "pool", 4, 4, "pool", 8, 8, "pool", 8, 8, "pool"]:
        if width == "pool":
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, 10))


def measure(name, model, shape, optimizer):
    x, y = torch.rand(BATCH, *shape), torch.arange(BATCH) % 10
    loss_of, times = nn.CrossEntropyLoss(), []
    for step in range(300):
        start = time.perf_counter()
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= 100:
            times.append(1e3 * (time.perf_counter() - start))
    print(f"PyTorch {torch.__version__}, {name}, batch {BATCH}: {statistics.median(times):.3f} ms a step "
          f"(from {min(times):.3f} to {max(times):.3f})")


def main():
    torch.manual_seed(0)
    wanted = sys.argv[1:]
    if not wanted or "linear_v1" in wanted:
        model = linear_v1()
        measure("linear_v1", model, (1, 28, 28), torch.optim.SGD(model.parameters(), lr=0.1))
    if not wanted or "vgg11" in wanted:
        model = vgg11_narrow()
        measure("vgg11 with few channels", model, (3, 32, 32), torch.optim.Adam(model.parameters()))


main()
