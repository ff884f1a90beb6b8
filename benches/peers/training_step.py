#!/usr/bin/env python3
"""The training step of `cargo bench --bench training_step` in PyTorch: vgg11 or resnet9 at 32x32, batch 128.

    pip install torch numpy
    python3 benches/peers/training_step.py [vgg11|resnet9 [STEPS]]

Prints images/s of the median step, and the peak memory of the process.
"""
import resource
import statistics
import sys
import time

import torch
from torch import nn

BATCH = 128


def block(inputs, outputs):
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Scale(nn.Module):
    def forward(self, x):
        return 0.125 * x


def vgg11():
    layers, channels = [], 3
    for stage in [[64], [128], [256, 256], [512, 512], [512, 512]]:
        for outputs in stage:
            layers += block(channels, outputs)
            channels = outputs
        layers.append(nn.MaxPool2d(2))
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))
    return model, torch.optim.Adam(model.parameters(), lr=0.001)


def resnet9():
    model = nn.Sequential(
        *block(3, 64), *block(64, 128), nn.MaxPool2d(2), Residual(*block(128, 128), *block(128, 128)),
        *block(128, 256), nn.MaxPool2d(2), *block(256, 512), nn.MaxPool2d(2), Residual(*block(512, 512), *block(512, 512)),
        nn.MaxPool2d(4), nn.Flatten(), nn.Linear(512, 10), Scale())
    return model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)


def main():
    name, steps = (sys.argv[1:] + ["vgg11", "8"][len(sys.argv) - 1:])[:2]
    torch.manual_seed(0)
    model, optimizer = {"vgg11": vgg11, "resnet9": resnet9}[name]()
    images, labels = torch.rand(BATCH, 3, 32, 32), torch.arange(BATCH) % 10
    seconds = []
    for _ in range(int(steps)):
        start = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    step = statistics.median(seconds[min(2, len(seconds) - 1):])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{name}, PyTorch {torch.__version__}, {torch.get_num_threads()} threads: {1000 * step:.0f} ms a step, "
          f"{BATCH / step:.0f} images/s; peak memory {peak} MB")


if __name__ == "__main__":
    main()
