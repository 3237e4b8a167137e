"""A network pruned by magnitude, round after round or at once: Diao et al. 2023, Gupta et al. 2022."""

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.collapses.pruning import magnitude_masks, pq_index
from nclib.pages._collapses.classifier import accuracy, collapse, digits, fit, network
from nclib.runs.experiment import Experiment, rows
from nclib.training import seed_everything


@dataclass(frozen=True)
class Magnitude(Experiment):
    """A network of `layers` hidden layers of one width, trained for `first` epochs, then pruned to (1 - share)^t of its
    weights, t = 1, 2, ..., rounds, and trained again for `epochs` each time.

    at_once: from the trained dense network to each sparsity, and trained on; else from what the round before left, its
    weights set back to those of the start. minimum: weights that each layer keeps, while that many are left. Biases are
    not pruned. samples: images a class.
    """

    NAME: ClassVar[str] = "collapses.magnitude_pruning"

    width: int
    layers: int
    samples: int
    first: int
    epochs: int
    rounds: int
    share: float
    lr: float
    at_once: bool
    minimum: int
    seed: int

    def reads(self):
        """{file: sha256} of the images."""
        return digits(self.samples).sha256

    def run(self, device="cpu"):
        """By round: what `measures` says, and the share and number of weights that are left."""
        generator, data = seed_everything(self.seed), digits(self.samples)
        start = network(self.width, self.layers)
        dense = model = deepcopy(start)
        fit(model, data.x, data.y, self.first, self.lr, generator)
        found = [rows(measures(model, data), round=0)]
        for t in range(1, self.rounds + 1):
            by, on = (dense, dense) if self.at_once else (model, start)
            model = pruned(on, by, 1 - (1 - self.share) ** t, self.minimum)
            fit(model, data.x, data.y, self.epochs, self.lr, generator)
            found.append(rows(measures(model, data), round=t))
        return pd.concat(found, ignore_index=True)


def matrices(model):
    """The weight matrices of a network, from the first to the last layer."""
    return [p for p in model.parameters() if p.ndim == 2]


def pruned(model, by, sparsity, minimum=0):
    """A copy of a network with the weights set to zero, for good, that are the smallest in the network `by`."""
    model, sizes = deepcopy(model), matrices(by)
    kept = round((1 - sparsity) * sum(w.numel() for w in sizes))
    masks = magnitude_masks(sizes, sparsity, min(minimum, kept // len(sizes)))
    for w, mask in zip(matrices(model), masks, strict=True):
        freeze(w, mask)
    return model


def freeze(w, mask):
    """Keep the entries of a parameter outside of the mask at zero."""
    with torch.no_grad():
        w.mul_(mask)
    w.register_hook(lambda gradient, mask=mask: gradient * mask)


def measures(model, data):
    """PQ Index of the weights that are left, their number and that of the emptiest layer, accuracy on the test images,
    and the collapse of the training images' features."""
    weights = [w.detach()[w.detach() != 0] for w in matrices(model)]
    left = torch.cat(weights)
    found = {"pqi": pq_index(left), "left": len(left), "emptiest": min(map(len, weights))}
    found["accuracy"] = accuracy(model, data.x_test, data.y_test)
    return found | collapse(model.features(data.x), data.y, model.head.product())
