#!/usr/bin/env python3
"""The recipe of `tinderbox train cifar10-fast` in PyTorch: the same network, data, augmentation, optimizer and schedule.

    pip install torch numpy
    python3 benches/peers/cifar10_fast.py DIR [--epochs 9.9] [--seed 0] [--fraction 1.0]

DIR holds data_batch_1.bin to data_batch_5.bin and test_batch.bin. Written from the description of airbench94 (Keller
Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024). Runs on CUDA or Metal where PyTorch finds it, else on the
CPU. The whole set is one tensor, an epoch one permutation, a batch one index operation. Prints a line an epoch, and the
accuracy with test-time augmentation at the end.
"""
import argparse
import math
import pathlib
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
BATCH, RATE, MOMENTUM, DECAY, NORM_RATE, SMOOTHING = 1024, 1.5, 0.85, 0.00133, 64.0, 0.2
WHITENING_EPOCHS, PULL_EVERY, PULL_KEEP, SHIFT = 3, 5, 0.95, 2
START, WARMUP, END = 0.2, 0.23, 0.07


def load(folder, names, fraction=1.0):
    """Images [n, 3, 32, 32] from 0 to 1 and labels [n]; of a fraction the first images of every class."""
    records = np.concatenate([np.fromfile(folder / name, np.uint8).reshape(-1, 3073) for name in names])
    if fraction < 1.0:
        first = [np.flatnonzero(records[:, 0] == c) for c in range(10)]
        records = records[np.sort(np.concatenate([rows[: round(fraction * len(rows))] for rows in first]))]
    images = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255)
    return images.to(DEVICE), torch.from_numpy(records[:, 0].astype(np.int64)).to(DEVICE)


class Normalize(nn.Module):
    def __init__(self, images):
        super().__init__()
        self.register_buffer("mean", images.mean((0, 2, 3)).view(1, 3, 1, 1))
        self.register_buffer("std", images.std((0, 2, 3), correction=0).view(1, 3, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.std


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def whitening(images):
    """A 2x2 convolution whose outputs are uncorrelated over these images, and their negatives."""
    patches = images.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12).cpu().double()
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / (values + 5e-4).sqrt()).T.reshape(12, 3, 2, 2).float()
    conv = nn.Conv2d(3, 24, 2)
    with torch.no_grad():
        conv.weight.copy_(torch.cat([filters, -filters]))
        conv.bias.zero_()
    conv.weight.requires_grad = False
    return conv


def block(inputs, outputs):
    def conv(inputs):
        conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        nn.init.dirac_(conv.weight.data[:inputs])
        return conv

    def norm():
        norm = nn.BatchNorm2d(outputs, eps=1e-12, momentum=0.4)
        norm.weight.requires_grad = False
        return norm

    return [conv(inputs), nn.MaxPool2d(2), norm(), nn.GELU(), conv(outputs), norm(), nn.GELU()]


def network(images):
    normalize = Normalize(images)
    whiten = whitening(normalize(images[:5000]))
    blocks = block(24, 64) + block(64, 256) + block(256, 256)
    head = [nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10, bias=False), Scale(1 / 9)]
    return nn.Sequential(normalize, whiten, nn.GELU(), *blocks, *head).to(DEVICE, memory_format=torch.channels_last)


def augmented(images, flips, seed):
    """Mirrored where `flips` says so, then shifted by up to two pixels each way, the border by reflection."""
    images = torch.where(flips.view(-1, 1, 1, 1), images.flip(3), images)
    padded = F.pad(images, [SHIFT] * 4, "reflect")
    n, out = len(images), torch.empty_like(images)
    shifts = torch.randint(0, 2 * SHIFT + 1, (2, n), generator=seed).to(DEVICE)
    for down in range(2 * SHIFT + 1):
        for right in range(2 * SHIFT + 1):
            of_these = (shifts[0] == down) & (shifts[1] == right)
            out[of_these] = padded[of_these, :, down : down + 32, right : right + 32]
    return out


def logits(model, images, tta=False):
    def mirrored(x):
        return 0.5 * model(x) + 0.5 * model(x.flip(3))

    def of(x):
        if not tta:
            return model(x)
        padded = F.pad(x, [1] * 4, "reflect")
        return 0.5 * mirrored(x) + 0.25 * mirrored(padded[:, :, :32, :32]) + 0.25 * mirrored(padded[:, :, 2:, 2:])

    with torch.no_grad():
        return torch.cat([of(part.contiguous(memory_format=torch.channels_last)) for part in images.split(1000)])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--epochs", type=float, default=9.9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fraction", type=float, default=1.0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    seed = torch.Generator().manual_seed(arguments.seed)
    images, labels = load(arguments.folder, [f"data_batch_{i}.bin" for i in range(1, 6)], arguments.fraction)
    test_images, test_labels = load(arguments.folder, ["test_batch.bin"])
    model = network(images)
    norms = [p for m in model if isinstance(m, nn.BatchNorm2d) for p in m.parameters() if p.requires_grad]
    others = [p for p in model.parameters() if p.requires_grad and all(p is not norm for norm in norms)]
    optimizer = torch.optim.SGD(
        [{"params": norms, "factor": NORM_RATE, "weight_decay": DECAY / NORM_RATE},
         {"params": others, "factor": 1.0, "weight_decay": DECAY}],
        lr=RATE, momentum=MOMENTUM, nesterov=True)
    n = len(images)
    steps = math.ceil(arguments.epochs * -(-n // BATCH) - 1e-6)
    epochs = math.ceil(arguments.epochs)
    peak = int(WARMUP * steps)
    slow = {name: value.clone() for name, value in model.state_dict().items() if value.is_floating_point()}
    first_flips = torch.rand(n, generator=seed).to(DEVICE) < 0.5
    step, spent = 0, 0.0
    for epoch in range(epochs):
        start = time.perf_counter()
        model.train()
        model[1].bias.requires_grad = epoch < WHITENING_EPOCHS
        order = torch.randperm(n, generator=seed).to(DEVICE)
        total, seen = 0.0, 0
        for batch in order.split(BATCH)[: steps - step]:
            rate = START + (1 - START) * step / peak if step < peak else 1 + (END - 1) * (step - peak) / (steps - peak)
            for group in optimizer.param_groups:
                group["lr"] = RATE * rate * group["factor"]
            x = augmented(images[batch], first_flips[batch] ^ (epoch % 2 == 1), seed)
            loss = F.cross_entropy(model(x.contiguous(memory_format=torch.channels_last)), labels[batch],
                                   label_smoothing=SMOOTHING)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            total += loss.item() * len(batch)
            seen += len(batch)
            if step % PULL_EVERY == 0 or step == steps:
                keep = PULL_KEEP**PULL_EVERY * (step / steps) ** 3 if step % PULL_EVERY == 0 else 1.0
                for name, value in model.state_dict().items():
                    if value.is_floating_point():
                        slow[name].lerp_(value, 1 - keep)
                        value.copy_(slow[name])
        trained = time.perf_counter() - start
        model.eval()
        accuracy = (logits(model, test_images).argmax(1) == test_labels).float().mean().item()
        seconds = time.perf_counter() - start
        spent += seconds
        print(f"epoch {epoch + 1}/{epochs}  train loss {total / seen:.5f}  accuracy {100 * accuracy:.2f} %  "
              f"{seconds:.2f} s  {seen / trained:.0f} images/s", flush=True)
    accuracy = (logits(model, test_images, True).argmax(1) == test_labels).float().mean().item()
    print(f"{spent / 60:.1f} minutes; with test-time augmentation {100 * accuracy:.2f} %")


if __name__ == "__main__":
    main()
