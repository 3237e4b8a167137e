"""One network trained with or without mixup, and the geometry of its features of mixed inputs.

SGD with weight decay 5e-4 on all parameters, one cycle of the rate, no augmentation; one weight lambda ~ Beta(alpha,
alpha) for each batch, which is mixed with itself in another order; alpha = 0: no mixup. The momentum of the small
networks goes from 0.95 to 0.85 and back while the rate rises and falls, as torch's cycle has it. That of the large
ones is 0.9: they train by the engine of `nclib.training`, whose steps are one graph on a GPU, in which only rates can
change, and which goes on where a run was killed.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from nclib.data import load, subset
from nclib.frames import simplex_etf
from nclib.models import LinearHead, ResNet18, WideResNet
from nclib.pages.mixup_networks.descent import descend, mixes, stepper
from nclib.pages.mixup_networks.measures import measures
from nclib.runs.experiment import Experiment
from nclib.training import seed_everything
from nclib.training.checkpoint import of_run

K = 10
LARGE = "resnet18", "wrn16-4"


@dataclass(frozen=True)
class Network(Experiment):
    """One network. data: "digits", "fashion-mnist" or "cifar10"; samples: training images a class, the first of each.
    model: "mlp", "convnet", or of LARGE "resnet18" or "wrn16-4", a WideResNet. loss: "cross-entropy" or "mse".
    smoothing: of labels. frame: the length of a fixed simplex ETF in place of the learned classifier, 0 for none.
    count: mixes of each kind that are measured."""

    NAME: ClassVar[str] = "fisher2024.network"

    data: str
    samples: int
    model: str
    loss: str
    alpha: float
    smoothing: float
    frame: float
    epochs: int
    batch_size: int
    lr: float
    count: int
    seed: int

    def needs_gpu(self):
        """Whether a CPU would take days."""
        return self.model in LARGE

    def reads(self):
        """{file: sha256} of the training and test images."""
        train_set, test_set = images(self.data, self.samples)
        return train_set.sha256 | test_set.sha256

    def run(self, device="cpu"):
        """The rows of `measures` of the trained network."""
        generator = seed_everything(self.seed)
        train_set, test_set = ((part.x.to(device), part.y.to(device)) for part in images(self.data, self.samples))
        model = self.build(train_set[0]).to(device)
        kept = of_run(self, self.key(), []) if self.needs_gpu() else None
        self.fit(model, *train_set, generator, kept)
        generator.manual_seed(self.seed)
        found = measures(model, train_set, test_set, self.count, generator, probabilities=self.loss == "cross-entropy")
        return pd.concat(found, ignore_index=True)

    def build(self, x):
        """The network, from torch's global generator."""
        if self.model not in MODELS:
            raise ValueError(f"model = {self.model!r}: must be one of {', '.join(MODELS)}")
        model = MODELS[self.model](x)
        if self.frame:
            W = model.head.weights[0]
            turn = torch.linalg.qr(torch.randn(*[W.shape[1]] * 2)).Q  # features >= 0 cannot reach every frame
            W.data = self.frame * simplex_etf(*W.shape).to(W) @ turn
            model.head.requires_grad_(False)
        return model

    def fit(self, model, x, y, generator, checkpoint=None):
        """Train in place. checkpoint: where a large network's state is kept."""
        Y = F.one_hot(y, K).to(x) * (1 - self.smoothing) + self.smoothing / K
        learned = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(learned, lr=self.lr, momentum=0.9, weight_decay=5e-4, fused=True)
        steps = -(-len(x) // self.batch_size) * self.epochs
        cycled = not self.needs_gpu()
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=steps, cycle_momentum=cycled)
        random = np.random.default_rng(self.seed)
        descend(
            stepper(model, optimizer, x, Y, self.loss),
            (mixes(len(x), self.batch_size, self.alpha, random, generator) for _ in range(self.epochs)),
            model=model,
            optimizer=optimizer,
            schedule=schedule,
            device=x.device,
            captured=not cycled,
            checkpoint=checkpoint,
        )


class MLP(nn.Module):
    """x (B, ...) -> head(backbone(x)): three layers of width 256 and one of 64, each Linear, BatchNorm1d, ReLU."""

    def __init__(self, in_features, num_classes):
        super().__init__()
        layers, inputs = [nn.Flatten()], in_features
        for outputs in (256, 256, 256, 64):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
            inputs = outputs
        self.backbone = nn.Sequential(*layers)
        self.head = LinearHead(inputs, num_classes, bias_last=True)

    def features(self, x):
        """H (B, 64), >= 0."""
        return self.backbone(x)

    def forward(self, x):
        return self.head(self.features(x))


class SmallConvNet(nn.Module):
    """x (B, C, H, W) -> head(backbone(x)): four 3 x 3 convolutions of stride 2 and widths 16, 32, 64, 64, each with
    BatchNorm2d and ReLU, and the mean over positions."""

    def __init__(self, in_channels, num_classes):
        super().__init__()
        layers, inputs = [], in_channels
        for outputs in (16, 32, 64, 64):
            conv = nn.Conv2d(inputs, outputs, 3, 2, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        self.backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = LinearHead(inputs, num_classes, bias_last=True)

    def features(self, x):
        """H (B, 64), >= 0."""
        return self.backbone(x)

    def forward(self, x):
        return self.head(self.features(x))


MODELS = {
    "mlp": lambda x: MLP(x[0].numel(), K),
    "convnet": lambda x: SmallConvNet(x.shape[1], K),
    "resnet18": lambda x: ResNet18(K, in_channels=x.shape[1]),
    "wrn16-4": lambda x: WideResNet(K, 16, 4, in_channels=x.shape[1]),
}


@lru_cache(maxsize=1)
def images(name, samples):
    """(training, test) images, kept from one run to the next."""
    return subset(load(name), (samples,) * K), load(name, "test")
