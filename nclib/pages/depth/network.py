"""A ReLU network whose layers are trained one after the other, or all at once: collapse of its features layer by layer.

A layer is trained in a network of one hidden layer: relu(A x + a), then a linear classifier W without bias, on the
features x that the frozen layers below produce; the classifier is then thrown away. Minimized, in both modes, is

    1/(2N) |W H - Y|^2 + lam/2 (|W|^2 + sum of |A_l|^2 + |a_l|^2 over the layers that are trained)

by Adam with its weight decay added to the gradient, so that stationary points are those of this objective. Tirer et al.
2023, Fig. 2 (their width, optimizer and weight decay were not read; those here are ours).
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib import metrics
from nclib.data import load, subset
from nclib.models import MLP
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.training import seed_everything, train


@dataclass(frozen=True)
class Network(Experiment):
    """One network of `layers` hidden layers, each `width` wide.

    samples: images a class, the first of each. layerwise: one layer after the other, `epochs` for each; else all at
    once. lam: weight decay of all parameters. The learning rate is divided by 10 after 3/4 of the epochs. batch_size
    None: the full batch.
    """

    NAME: ClassVar[str] = "tirer2023.depth_network"

    data: str
    samples: int
    layers: int
    width: int
    lam: float
    layerwise: bool
    epochs: int
    lr: float
    seed: int
    batch_size: int | None = None

    def needs_gpu(self):
        """Whether a CPU would take hours."""
        return self.data == "cifar10"

    def reads(self):
        """{file: sha256} of the images."""
        return load(self.data).sha256

    def run(self, device="cpu"):
        """NC1, trace-ratio NC1 and the training error of the classifier, at the features of each `layer`: 0 for the
        images, 1 to L. The error is that of the layer's own classifier, so of the last layer only where all are trained
        at once."""
        generator = seed_everything(self.seed)
        images = subset(load(self.data), (self.samples,) * 10)
        x, y = images.x.flatten(1).to(device), images.y.to(device)
        found = [rows(collapse(x, y), layer=0)]
        if self.layerwise:
            for layer in range(1, self.layers + 1):
                model = self.fit(MLP(x.shape[1], self.width, 1, 10).to(device), x, y, generator)
                H = model.features(x).detach()
                found.append(rows(collapse(H, y) | {"error": error(model, H, y)}, layer=layer))
                x = H
        else:
            model = self.fit(MLP(x.shape[1], self.width, self.layers, 10).to(device), x, y, generator)
            for layer in range(1, self.layers + 1):
                x = model.backbone[2 * layer - 1 : 2 * layer + 1](x).detach()
                found.append(rows(collapse(x, y), layer=layer))
            found.append(rows({"error": error(model, x, y)}, layer=self.layers))
        return pd.concat(found, ignore_index=True)

    def fit(self, model, x, y, generator):
        """The trained model."""
        optimizer = torch.optim.Adam(model.parameters(), lr=self.lr, weight_decay=self.lam, fused=True)
        train(
            model,
            x,
            y,
            optimizer=optimizer,
            epochs=self.epochs,
            batch_size=self.batch_size,
            schedule=torch.optim.lr_scheduler.StepLR(optimizer, max(1, 3 * self.epochs // 4), 0.1),
            generator=generator,
        )
        return model


def collapse(H, y):
    """The two NC1 of features H (N, d)."""
    stats = ClassStatistics.from_features(H, y, 10, scatter=True).to("cpu")
    return {"nc1": metrics.nc1(stats), "nc1_trace_ratio": metrics.nc1_trace_ratio(stats)}


def error(model, H, y):
    """The share of features that the model's classifier puts into a wrong class."""
    return (model.head(H).argmax(1) != y).double().mean()
