"""One network with its own weight decay for the last layer and for all layers below, as in Tirer et al. 2023, Fig. 3.

Minimized is fit + lam (feature/2 |theta|^2 + last/2 |W, b|^2), theta all parameters below the last layer, by SGD with
momentum 0.9 and these weight decays. The fit is 1/(2N) |Z - Y|^2 without bias, the paper's Eq. 1, or cross-entropy with
bias. The learning rate is divided by 10 every `drop` epochs.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import ClassVar

import pandas as pd
import torch

from nclib import metrics
from nclib.data import load, subset
from nclib.models import MLP, ResNet18
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import StatisticsAccumulator
from nclib.training import checkpoint, log_steps, seed_everything, train

HIDDEN_LAYERS, WIDTH, CHUNK = 2, 64, 2000
SETTINGS = {
    "baseline": (1.0, 1.0),
    "2x last layer": (1.0, 2.0),
    "2x features": (2.0, 1.0),
    "0 last layer": (1.0, 0.0),
    "0 features": (0.0, 1.0),
}


@dataclass(frozen=True)
class Network(Experiment):
    """One network. model: "resnet18", or an MLP of two hidden layers of 64, "mlp-bn" with batch normalization and "mlp"
    without. samples: images a class, the first of each. setting: one of SETTINGS, the factors of `lam` (below the last
    layer, at the last layer). precision: of the training, see nclib.training.train."""

    NAME: ClassVar[str] = "tirer2023.regularization_network"

    data: str
    samples: int
    model: str
    loss: str
    lam: float
    setting: str
    epochs: int
    drop: int
    lr: float
    seed: int
    batch_size: int | None = None
    precision: str = "float32"

    def needs_gpu(self):
        """Whether a CPU would take days."""
        return self.model == "resnet18"

    def reads(self):
        """{file: sha256} of the images."""
        return images(self.data, self.samples).sha256

    def build(self, x):
        """The network, from torch's global generator: the same for all settings."""
        bias = self.loss == "cross-entropy"
        if self.model == "resnet18":
            return ResNet18(10, bias_last=bias, in_channels=x.shape[1])
        return MLP(x[0].numel(), WIDTH, HIDDEN_LAYERS, 10, batch_norm=self.model == "mlp-bn", bias_last=bias)

    def decays(self, model):
        """The parameter groups."""
        features, last = SETTINGS[self.setting]
        return [
            {"params": model.backbone.parameters(), "weight_decay": features * self.lam},
            {"params": model.head.parameters(), "weight_decay": last * self.lam},
        ]

    def run(self, device="cpu"):
        """The rows of `measures` at the epochs `recorded`; `step` is the epoch."""
        generator = seed_everything(self.seed)
        train_set = images(self.data, self.samples)
        x, y = train_set.x.to(device), train_set.y.to(device)
        model = self.build(x).to(device)
        optimizer = torch.optim.SGD(self.decays(model), lr=self.lr, momentum=0.9, fused=True)
        updates = ceil(len(x) / (self.batch_size or len(x)))
        found = []

        def record(step, model):
            found.append(rows(measures(model, x, y), step=step // updates))

        train(
            model,
            x,
            y,
            optimizer=optimizer,
            epochs=self.epochs,
            batch_size=self.batch_size,
            schedule=torch.optim.lr_scheduler.StepLR(optimizer, self.drop, 0.1),
            generator=generator,
            loss=self.loss,
            evaluate=record,
            evaluate_at=[updates * epoch for epoch in recorded(self.epochs)],
            precision=self.precision,
            checkpoint=checkpoint.of_run(self, self.key(), found),
        )
        return pd.concat(found, ignore_index=True)


@lru_cache(maxsize=1)
def images(name, samples):
    """The training images, kept from one run to the next: a study has dozens of short ones on the same images."""
    return subset(load(name), (samples,) * 10)


def recorded(epochs):
    """Epochs on a logarithmic scale, then on a linear one."""
    return sorted({*log_steps(epochs, 8), *(round(epochs * i / 8) for i in range(9))})


def measures(model, x, y):
    """NC1, trace-ratio NC1 and NC2 (centered class means against the simplex ETF) of the features of all images x, and
    the share of them that the network misclassifies."""
    accumulator = StatisticsAccumulator(10, model.head.weights[0].shape[1], device=x.device, scatter=True)
    wrong = 0
    for part, labels in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        H = model.features(part)
        accumulator.update(H, labels)
        wrong += (model.head(H).argmax(1) != labels).sum()
    stats = accumulator.compute().to("cpu")
    return {
        "nc1": metrics.nc1(stats),
        "nc1_trace_ratio": metrics.nc1_trace_ratio(stats),
        "nc2": metrics.nc2(stats.centered_means, "etf"),
        "error": wrong / len(y),
    }
