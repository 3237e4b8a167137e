"""One network, pruned by whole hidden units: at once, or with the saliency taken again on the way. Chen et al. 2024."""

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch.nn import functional as F

from nclib.collapses.pruning import between_rank
from nclib.pages._collapses.classifier import accuracy, digits, fit, network
from nclib.pages.pruning.magnitude import freeze
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.training import seed_everything


@dataclass(frozen=True)
class Groups(Experiment):
    """A network of `layers` hidden layers, trained for `first` epochs; its hidden units are pruned to each number of
    `targets`, those of the least saliency first, and it is trained on.

    The saliency of a unit is |sum of w dL/dw| over the weights that lead to it and away from it. cycles: in how many
    steps units go, the saliency taken again and the network trained for `epochs` after each; all then are trained for
    three times `epochs`. samples: images a class.
    """

    NAME: ClassVar[str] = "collapses.group_pruning"

    width: int
    layers: int
    samples: int
    first: int
    epochs: int
    targets: tuple[int, ...]
    cycles: int
    lr: float
    seed: int

    def reads(self):
        """{file: sha256} of the images."""
        return digits(self.samples).sha256

    def run(self, device="cpu"):
        """Accuracy of the `dense` network; by number of units `kept`: accuracy when the last units have gone, that at
        the end, the units of the emptiest layer, and the least rank of Sigma_B of a layer when the last have gone."""
        generator, data = seed_everything(self.seed), digits(self.samples)
        dense = network(self.width, self.layers)
        fit(dense, data.x, data.y, self.first, self.lr, generator)
        found = [rows({"dense": accuracy(dense, data.x_test, data.y_test)})]
        for kept in self.targets:
            model, alive = deepcopy(dense), torch.ones(self.layers, self.width, dtype=torch.bool)
            for cycle in range(1, self.cycles + 1):
                left = alive.numel() - round((alive.numel() - kept) * cycle / self.cycles)
                alive = most_salient(saliency(model, data.x, data.y), alive, left)
                remove(model, alive)
                if cycle < self.cycles:
                    fit(model, data.x, data.y, self.epochs, self.lr, generator)
            values = {"pruned": accuracy(model, data.x_test, data.y_test), "rank": least_rank(model, data)}
            fit(model, data.x, data.y, 3 * self.epochs, self.lr, generator)
            values |= {"accuracy": accuracy(model, data.x_test, data.y_test), "emptiest": int(alive.sum(1).min())}
            found.append(rows(values, kept=kept))
        return pd.concat(found, ignore_index=True)


def linear_layers(model):
    """The linear layers of a network, the head last."""
    return [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]


def saliency(model, x, y):
    """(layers, width): |sum of w dL/dw| over weights and bias that lead to a unit and weights that leave it.

    L is the mean cross-entropy on the given samples.
    """
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    layers = linear_layers(model)
    entering = [(layer.weight * layer.weight.grad).sum(1) + layer.bias * layer.bias.grad for layer in layers[:-1]]
    leaving = [(layer.weight * layer.weight.grad).sum(0) for layer in layers[1:]]
    return (torch.stack(entering) + torch.stack(leaving)).abs().detach()


def most_salient(values, alive, left):
    """The `left` units of the largest values among those that are alive, as a mask."""
    values = values.where(alive, torch.tensor(-1.0)).flatten()
    chosen = torch.zeros(alive.numel(), dtype=torch.bool)
    chosen[values.argsort(descending=True, stable=True)[:left]] = True
    return chosen.reshape(alive.shape)


def remove(model, alive):
    """Set all weights that lead to a unit that is not alive, or away from it, to zero for good."""
    layers = linear_layers(model)
    for layer, after, units in zip(layers, layers[1:], alive, strict=False):
        freeze(layer.weight, units[:, None].expand_as(layer.weight))
        freeze(layer.bias, units)
        freeze(after.weight, units.expand_as(after.weight))


@torch.no_grad()
def least_rank(model, data):
    """The least rank of Sigma_B over the hidden layers."""
    x, ranks = data.x, []
    for layer in linear_layers(model)[:-1]:
        x = layer(x).relu()
        ranks.append(between_rank(ClassStatistics.from_features(x, data.y, 10)))
    return min(ranks)
