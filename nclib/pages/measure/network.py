"""A small network on digits, measured at four layers in one pass, with intervals and two nulls.

`layer` names the layer. source "measured": the value; "low", "high": its 95 % bootstrap interval over classes;
"theory": the value of directions without structure; "shuffled": the same features with their labels shuffled.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib import bootstrap, conventions, metrics
from nclib.collect import collect
from nclib.data import load
from nclib.measuring import report
from nclib.models import MLP
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics, StatisticsAccumulator
from nclib.training import seed_everything, train

LAYERS = {"pixels": "backbone.0", "layer 1": "backbone.3", "layer 2": "backbone.6", "features": "backbone.10"}
LAST = "features"


@dataclass(frozen=True)
class Network(Experiment):
    """A ReLU network of three layers of 128 with batch norm and a linear layer with bias, trained with cross-entropy.

    SGD: momentum 0.9, learning rate 0.05 (cosine to 0), batches of 100, weight decay on every parameter. draws: of the
    classes, for the intervals.
    """

    NAME: ClassVar[str] = "measure.network"

    epochs: int
    weight_decay: float
    draws: int
    seed: int

    def reads(self):
        """The digits."""
        return load("digits").sha256

    def run(self, device="cpu"):
        """Rows of every number of `conventions.measure` at each layer, and `streaming` (see there) at the last."""
        generator = seed_everything(self.seed)
        images = load("digits")
        x, y = images.x.to(device), images.y.to(device)
        model = trained(self, x, y, generator)
        W, b = model.head.weights[-1].detach(), model.head.bias.detach()
        found, shuffled = (
            collect(
                model, zip(x.split(500), labels.split(500), strict=True), num_classes=10, layer=list(LAYERS.values())
            )
            for labels in (y, y[torch.randperm(len(y), generator=generator).to(device)])
        )
        with torch.no_grad():
            H = model.features(x)
        agreement = metrics.ncc_agreement(H, W, b, found[LAYERS[LAST]].means)
        tables = []
        for layer, name in LAYERS.items():
            stats = found[name]
            head = {"W": W} if layer == LAST else {}
            share = {"agreement": agreement} if layer == LAST else {}
            intervals = bootstrap.intervals(stats, **head, draws=self.draws, seed=self.seed)
            values = {
                "measured": conventions.measure(stats, **head, **share),
                "low": {key: low for key, (low, _) in intervals.items()},
                "high": {key: high for key, (_, high) in intervals.items()},
                "theory": report.directions(stats, "textbook"),
                "shuffled": conventions.measure(shuffled[name], **head),
            }
            tables += [rows(numbers, layer=layer, source=source) for source, numbers in values.items()]
        worst = streaming(H, y, W, torch.Generator().manual_seed(self.seed))
        return pd.concat([*tables, rows({"streaming": worst}, layer=LAST)], ignore_index=True)


def trained(run, x, y, generator):
    """The network in eval mode."""
    model = MLP(64, 128, 3, 10, batch_norm=True, bias_last=True).to(x.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=run.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, run.epochs)
    settings = {"batch_size": 100, "schedule": schedule, "generator": generator, "loss": "cross-entropy"}
    train(model, x, y, optimizer=optimizer, epochs=run.epochs, **settings)
    return model.eval()


def streaming(H, y, W, generator):
    """The largest relative difference of any number of `measure` between one batch and the same samples in pieces.

    Pieces: in a random order, in batches of 1, 7 and 500, and as three shards of random batches merged with +.
    """
    whole = conventions.measure(ClassStatistics.from_features(H, y, len(W)), W)
    order = torch.randperm(len(y), generator=generator).to(y.device)
    H, y = H[order], y[order]
    found = [_in_batches(H, y, len(W), size) for size in (1, 7, 500)]
    shards = [_in_batches(H[i::3], y[i::3], len(W), 11 + i) for i in range(3)]
    found.append(shards[2] + (shards[0] + shards[1]))
    values = [conventions.measure(stats, W) for stats in found]
    return max(abs(other[key] / value - 1) for other in values for key, value in whole.items())


def _in_batches(H, y, K, size):
    accumulator = StatisticsAccumulator(K, H.shape[1], device=H.device)
    for h, labels in zip(H.split(size), y.split(size), strict=True):
        accumulator.update(h, labels)
    return accumulator.compute()
