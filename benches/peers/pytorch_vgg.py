#!/usr/bin/env python3
"""VGG-11 with batch normalization at 32x32, batch 128: a training step with Adam, PyTorch on the CPU.

    pip install torch
    python3 benches/peers/pytorch_vgg.py [STEPS]

Prints milliseconds a step (forward, backward, Adam), forward alone, and images a second; medians.
"""
import statistics
import sys
import time

import torch
from torch import nn


def vgg11():
    layers, inputs = [], 3
    for outputs in [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]:
        if outputs == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def main():
    torch.manual_seed(0)
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    model, loss_of = vgg11(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    x, y = torch.rand(128, 3, 32, 32), torch.randint(0, 10, (128,))
    whole, forward = [], []
    for _ in range(steps):
        start = time.perf_counter()
        loss = loss_of(model(x), y)
        forward.append(time.perf_counter() - start)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        whole.append(time.perf_counter() - start)
    whole, forward = statistics.median(whole[2:]), statistics.median(forward[2:])
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads: step {1000 * whole:.0f} ms, "
          f"forward {1000 * forward:.0f} ms, {128 / whole:.0f} images/s")


main()
