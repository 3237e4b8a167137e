"""A first measurement on real data: NC1 to NC4 of a small network while it learns scikit-learn's digits."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib import metrics
from nclib.collect import collect
from nclib.data import load
from nclib.models import MLP
from nclib.runs.experiment import Experiment, rows
from nclib.training import log_steps, seed_everything, train

BATCH = 100


@dataclass(frozen=True)
class Network(Experiment):
    """A ReLU network of three layers of 128 with batch norm and one linear layer with bias, trained with cross-entropy.

    SGD: momentum 0.9, learning rate 0.05 (cosine to 0), batches of 100, weight decay on every parameter.
    """

    NAME: ClassVar[str] = "dang2023.first_network"

    epochs: int
    weight_decay: float
    seed: int

    def reads(self):
        """The digits."""
        return load("digits").sha256

    def run(self, device="cpu"):
        """NC1 to NC4 and the error of each `split`, at the input of the last layer; `step`: the epoch, 0 the start."""
        generator = seed_everything(self.seed)
        images = {split: load("digits", split) for split in ("train", "test")}
        x, y = images["train"].x, images["train"].y
        model = MLP(64, 128, 3, 10, batch_norm=True, bias_last=True).to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=self.weight_decay)
        updates = -(-len(x) // BATCH)
        found = []

        def evaluate(step, model):
            for split, part in images.items():
                found.append(rows(measures(model, part, device), step=step // updates, split=split))

        train(
            model,
            x,
            y,
            optimizer=optimizer,
            epochs=self.epochs,
            batch_size=BATCH,
            schedule=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs),
            generator=generator,
            loss="cross-entropy",
            evaluate=evaluate,
            evaluate_at=[epoch * updates for epoch in log_steps(self.epochs, 20)],
        )
        return pd.concat(found, ignore_index=True)


def measures(model, images, device):
    """NC1 to NC4 in the conventions for a head with bias: centered class means, the ETF as target."""
    x, y = images.x.to(device), images.y.to(device)
    stats = collect(model, zip(x.split(500), y.split(500), strict=True), num_classes=10).to("cpu")
    W, b = model.head.weights[0].detach().cpu(), model.head.bias.detach().cpu()
    H = model.features(x).cpu()
    return {
        "nc1": metrics.nc1(stats),
        "nc2": metrics.nc2(stats.centered_means, "etf"),
        "nc3": metrics.nc3(W, stats.centered_means),
        "nc4": metrics.ncc_agreement(H, W, b, stats.means),
        "error": (model(x).argmax(1) != y).double().mean(),
    }
