"""A grid of networks on digits: from narrow to wide, from small to large batches."""

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch.nn import functional as F

from nclib.metrics import nc1_trace_ratio
from nclib.pages._collapses.classifier import accuracy, digits, fit, network
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.training import seed_everything


@dataclass(frozen=True)
class Zoo(Experiment):
    """Two networks of one hidden layer from one start for each width and size of batch, trained for `epochs` in batches
    of their own. samples: images a class."""

    NAME: ClassVar[str] = "collapses.zoo"

    widths: tuple[int, ...]
    batches: tuple[int, ...]
    samples: int
    epochs: int
    lr: float
    seed: int

    def reads(self):
        """{file: sha256} of the images."""
        return digits(self.samples).sha256

    def run(self, device="cpu"):
        """By `width` and `batch`: of the first network error, loss and trace ratio on the training images; of both
        networks' midpoint, the gain of test accuracy over their mean, and the excess of training loss over theirs."""
        data, found = digits(self.samples), []
        for width in self.widths:
            for batch in self.batches:
                generator, start = seed_everything(self.seed), network(width, 1)
                pair = [deepcopy(start) for _ in range(2)]
                for model in pair:
                    fit(model, data.x, data.y, self.epochs, self.lr, generator, batch=batch)
                found.append(rows(measures(pair, data), width=width, batch=batch))
        return pd.concat(found, ignore_index=True)


@torch.no_grad()
def measures(pair, data):
    """What is measured of two networks and of their midpoint."""
    first, second = pair
    middle = deepcopy(first)
    for p, a, b in zip(middle.parameters(), first.parameters(), second.parameters(), strict=True):
        p.copy_((a + b) / 2)
    losses = [float(F.cross_entropy(model(data.x), data.y)) for model in (*pair, middle)]
    right = [accuracy(model, data.x_test, data.y_test) for model in (*pair, middle)]
    found = {"error": 1 - accuracy(first, data.x, data.y), "loss": losses[0]}
    found["trace_ratio"] = nc1_trace_ratio(ClassStatistics.from_features(first.features(data.x), data.y, 10))
    return found | {"gain": right[2] - (right[0] + right[1]) / 2, "barrier": losses[2] - (losses[0] + losses[1]) / 2}
