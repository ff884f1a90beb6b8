#!/usr/bin/env python3
"""A lean PyTorch loop of the same training: linear_v1 with batch normalization, cross-entropy, SGD 0.1, batch 500.

    pip install torch numpy
    python3 benches/peers/pytorch_mnist.py DIR [EPOCHS]

DIR holds the four MNIST files. The whole set is one tensor, an epoch is one permutation, and a batch is one index
operation: no DataLoader, no PIL, no transforms. Prints seconds for each epoch (train and test) and their median.
"""
import gzip
import pathlib
import statistics
import sys
import time

import numpy as np
import torch
from torch import nn


def idx(path, offset):
    data = gzip.open(path).read() if path.exists() else path.with_suffix("").read_bytes()
    return np.frombuffer(data, np.uint8, offset=offset)


def load(folder, prefix):
    images = idx(folder / f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 784)
    labels = idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 8)
    return torch.from_numpy(images.astype(np.float32) / 255), torch.from_numpy(labels.astype(np.int64))


def main():
    torch.manual_seed(0)
    folder, epochs = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10
    (x, y), (tx, ty) = load(folder, "train"), load(folder, "t10k")
    model = nn.Sequential(
        nn.Linear(784, 128), nn.BatchNorm1d(128), nn.ReLU(),
        nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss_of = nn.CrossEntropyLoss()
    seconds = []
    for epoch in range(epochs):
        start = time.perf_counter()
        model.train()
        for batch in torch.randperm(len(x)).split(500):
            loss = loss_of(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            correct = sum((model(a).argmax(1) == b).sum().item() for a, b in zip(tx.split(500), ty.split(500)))
        seconds.append(time.perf_counter() - start)
        print(f"epoch {epoch + 1}: {seconds[-1]:.3f} s, accuracy {100 * correct / len(tx):.2f} %")
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads: median {statistics.median(seconds):.3f} s an epoch")


main()
