"""Federated averaging of clients that hold few classes each."""

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.pages._collapses.classifier import digits, fit, network
from nclib.pages.averages.merging import average, both_collapses, parameters, performance, variance
from nclib.runs.experiment import Experiment, rows
from nclib.training import seed_everything


@dataclass(frozen=True)
class Clients(Experiment):
    """`clients` networks from one start; each has a share `skew` of its images from classes of its own, the rest from
    all. In each of `rounds` they train for `epochs` and are averaged, and the average is where they go on from.

    samples: images a class.
    """

    NAME: ClassVar[str] = "collapses.clients"

    width: int
    layers: int
    clients: int
    skew: float
    samples: int
    rounds: int
    epochs: int
    lr: float
    seed: int

    def reads(self):
        """{file: sha256} of the images."""
        return digits(self.samples).sha256

    def run(self, device="cpu"):
        """By round: variance of the weights of the average over the clients', performance and collapse on the images of
        all, `way` "clients" (their mean) and "average"."""
        generator, data = seed_everything(self.seed), digits(self.samples)
        dealt, model, found = deal(data.y, self.clients, self.skew, generator), network(self.width, self.layers), []
        for t in range(1, self.rounds + 1):
            nets = []
            for own in dealt:
                client = deepcopy(model)
                fit(client, data.x[own], data.y[own], self.epochs, self.lr, generator)
                nets.append(parameters(client))
            middle = average(nets)
            found.append(rows({"variance": variance(nets)}, way="average", round=t))
            for way, group in {"clients": nets, "average": [middle]}.items():
                each = [performance(net, data) | both_collapses(net, net, data) for net in group]
                means = {name: sum(one[name] for one in each) / len(each) for name in ("accuracy", "nc1", "nc3")}
                found.append(rows(means, way=way, round=t))
            load(model, middle)
        return pd.concat(found, ignore_index=True)


def deal(y, clients, skew, generator):
    """Rows of y for each client: a share `skew` of each class to the client whose own it is, k modulo `clients`, the
    rest of it dealt evenly at random."""
    found = [[] for _ in range(clients)]
    for k in range(int(y.max()) + 1):
        own = (y == k).nonzero()[:, 0]
        own = own[torch.randperm(len(own), generator=generator)]
        kept = round(skew * len(own))
        found[k % clients].append(own[:kept])
        for c in range(clients):
            found[c].append(own[kept + c :: clients])
    return [torch.cat(parts) for parts in found]


def load(model, net):
    """Set a network to (weights, biases)."""
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    with torch.no_grad():
        for layer, W, b in zip(layers, *net, strict=True):
            layer.weight.copy_(W)
            if layer.bias is not None:
                layer.bias.copy_(b)
