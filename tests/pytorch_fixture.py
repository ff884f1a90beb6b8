#!/usr/bin/env python3
"""Makes tests/fixtures/pytorch.json: what PyTorch computes for the models, losses and optimizers of this program.

    pip install torch numpy
    python3 tests/pytorch_fixture.py > tests/fixtures/pytorch.json

Weights and images follow from a formula that tests/pytorch.rs repeats, so the fixture holds results alone: for every
case the gradients of the first step, the losses of ten steps, the weights after them, and logits in evaluation mode.
A tensor is kept as its sum, its sum of absolute values, and eight of its values.
"""
import json

import torch
from torch import nn

N, SHAPE, CLASSES, STEPS = 12, (1, 4, 5), 10, 10
FEATURES = SHAPE[0] * SHAPE[1] * SHAPE[2]


def noise(n, salt):
    """Values in [-0.5, 0.5) that any language computes alike: exact in double precision, then rounded to float."""
    return torch.tensor([((i * 7919 + salt * 104729) % 1009) / 1009 - 0.5 for i in range(n)], dtype=torch.float64).float()


class LinearV0(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.fc1(x.flatten(1))


class LinearV1(nn.Module):
    def __init__(self, batch_norm):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(FEATURES, 128), nn.Linear(128, 64), nn.Linear(64, CLASSES)
        if batch_norm:
            self.bn1, self.bn2 = nn.BatchNorm1d(128), nn.BatchNorm1d(64)
        else:
            self.bn1, self.bn2 = nn.Identity(), nn.Identity()

    def forward(self, x):
        x = torch.relu(self.bn1(self.fc1(x.flatten(1))))
        return self.fc3(torch.relu(self.bn2(self.fc2(x))))


LOSSES = {
    "mse": lambda logits, y: nn.functional.mse_loss(logits.softmax(1), nn.functional.one_hot(y, CLASSES).float()),
    "ce": nn.functional.cross_entropy,
    "ce-on-probabilities": lambda logits, y: nn.functional.cross_entropy(logits.softmax(1), y),
}
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd-momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.001),
}
CASES = [
    ("linear_v0", False, "mse", "sgd"),
    ("linear_v1", False, "mse", "sgd"),
    ("linear_v1", True, "mse", "sgd"),
    ("linear_v1", True, "ce-on-probabilities", "sgd"),
    ("linear_v1", True, "ce", "sgd"),
    ("linear_v1", True, "ce", "sgd-momentum"),
    ("linear_v1", False, "ce", "adam"),
]


def digest(tensor):
    flat = tensor.detach().double().flatten()
    some = [flat[(k * flat.numel()) // 8].item() for k in range(8)]
    return {"sum": flat.sum().item(), "abs": flat.abs().sum().item(), "some": some}


def run(model_name, batch_norm, loss_name, optimizer_name):
    model = LinearV0() if model_name == "linear_v0" else LinearV1(batch_norm)
    with torch.no_grad():
        for salt, (name, p) in enumerate(sorted(model.named_parameters())):
            values = noise(p.numel(), salt).reshape(p.shape)
            p.copy_(1 + values if name.startswith("bn") and name.endswith("weight") else 0.5 * values)
    images = ((torch.arange(N * FEATURES) * 73 + 11) % 256).float().reshape(N, *SHAPE) / 255
    labels = (torch.arange(N) * 7 + 3) % CLASSES
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    losses, gradients = [], None
    for _ in range(STEPS):
        loss = LOSSES[loss_name](model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        gradients = gradients or {name: digest(p.grad) for name, p in model.named_parameters()}
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    state = {name: digest(t) for name, t in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    return {
        "model": model_name, "batch_norm": batch_norm, "loss": loss_name, "optimizer": optimizer_name,
        "gradients": gradients, "losses": losses, "weights": state, "logits": digest(model(images)),
    }


print(json.dumps({"torch": torch.__version__.split("+")[0], "cases": [run(*case) for case in CASES]}, indent=1))
