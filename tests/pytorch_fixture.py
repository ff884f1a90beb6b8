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

N, CLASSES, STEPS = 12, 10, 10
GREY, COLOUR = (1, 4, 5), (3, 32, 32)
FEATURES = GREY[0] * GREY[1] * GREY[2]
WIDTH = 1 / 16  # of the convolutional networks, so that they compute in no time


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


class ConvBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


class Vgg(nn.Module):
    def __init__(self, plan, pool):
        super().__init__()
        inputs, stages = 3, []
        for stage in plan:
            blocks = []
            for base in stage:
                blocks.append(ConvBlock(inputs, round(base * WIDTH)))
                inputs = round(base * WIDTH)
            stages.append(nn.Sequential(*blocks))
        self.stages, self.head = nn.ModuleList(stages), nn.Linear(inputs, CLASSES)
        self.pool = {"max": nn.functional.max_pool2d, "avg": nn.functional.avg_pool2d}[pool]

    def forward(self, x):
        for stage in self.stages:
            x = self.pool(stage(x), 2)
        return self.head(x.flatten(1))


class Resnet9(nn.Module):
    def __init__(self):
        super().__init__()
        a, b, c, d = (round(base * WIDTH) for base in (64, 128, 256, 512))
        self.prep, self.layer1, self.layer2, self.layer3 = ConvBlock(3, a), ConvBlock(a, b), ConvBlock(b, c), ConvBlock(c, d)
        self.residual1 = nn.Sequential(ConvBlock(b, b), ConvBlock(b, b))
        self.residual3 = nn.Sequential(ConvBlock(d, d), ConvBlock(d, d))
        self.head = nn.Linear(d, CLASSES)

    def forward(self, x):
        pool = nn.functional.max_pool2d
        x = pool(self.layer1(self.prep(x)), 2)
        x = pool(self.layer2(x + self.residual1(x)), 2)
        x = pool(self.layer3(x), 2)
        return self.head(pool(x + self.residual3(x), 4).flatten(1)) * 0.125


VGG11 = [[64], [128], [256, 256], [512, 512], [512, 512]]
VGG16 = [[64, 64], [128, 128], [256] * 3, [512] * 3, [512] * 3]
MODELS = {
    "linear_v0": lambda norm, pool: LinearV0(),
    "linear_v1": lambda norm, pool: LinearV1(norm),
    "vgg11": lambda norm, pool: Vgg(VGG11, pool),
    "vgg16": lambda norm, pool: Vgg(VGG16, pool),
    "resnet9": lambda norm, pool: Resnet9(),
}
LOSSES = {
    "mse": lambda logits, y: nn.functional.mse_loss(logits.softmax(1), nn.functional.one_hot(y, CLASSES).float()),
    "ce": nn.functional.cross_entropy,
    "ce-smoothed": lambda logits, y: nn.functional.cross_entropy(logits, y, label_smoothing=0.1),
    "ce-on-probabilities": lambda logits, y: nn.functional.cross_entropy(logits.softmax(1), y),
}
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd-momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "sgd-nesterov-decay": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.001),
    "adam-slow": lambda p: torch.optim.Adam(p, lr=0.0001),  # deep and narrow: at 0.001 rounding alone shows
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.001, weight_decay=0.1),
}
CASES = [
    # model, batch norm, loss, optimizer, pooling
    ("linear_v0", False, "mse", "sgd", "max"),
    ("linear_v1", False, "mse", "sgd", "max"),
    ("linear_v1", True, "mse", "sgd", "max"),
    ("linear_v1", True, "ce-on-probabilities", "sgd", "max"),
    ("linear_v1", True, "ce", "sgd", "max"),
    ("linear_v1", True, "ce-smoothed", "sgd-momentum", "max"),
    ("linear_v1", False, "ce", "adam", "max"),
    ("linear_v1", False, "ce", "adamw", "max"),
    ("vgg11", True, "ce", "adam", "max"),
    ("vgg11", True, "ce", "adam", "avg"),
    ("vgg16", True, "ce", "adam-slow", "max"),
    ("linear_v1", True, "ce-smoothed", "sgd-nesterov-decay", "max"),
    ("resnet9", True, "ce", "adam-slow", "max"),
]


def digest(tensor):
    flat = tensor.detach().double().flatten()
    some = [flat[(k * flat.numel()) // 8].item() for k in range(8)]
    return {"sum": flat.sum().item(), "abs": flat.abs().sum().item(), "some": some}


def run(model_name, batch_norm, loss_name, optimizer_name, pool):
    model = MODELS[model_name](batch_norm, pool)
    shape = GREY if model_name.startswith("linear") else COLOUR
    with torch.no_grad():
        for salt, (name, p) in enumerate(sorted(model.named_parameters())):
            values = noise(p.numel(), salt).reshape(p.shape)
            p.copy_(1 + values if ("bn" in name or "norm" in name) and name.endswith("weight") else 0.5 * values)
    count = N * shape[0] * shape[1] * shape[2]
    images = ((torch.arange(count) * 73 + torch.arange(count) // 97 + 11) % 256).float().reshape(N, *shape) / 255
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
        "pool": pool,
        "gradients": gradients, "losses": losses, "weights": state, "logits": digest(model(images)),
    }


print(json.dumps({"torch": torch.__version__.split("+")[0], "cases": [run(*case) for case in CASES]}, indent=1))
