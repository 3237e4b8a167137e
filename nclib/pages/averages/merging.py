"""Networks from independent starts, averaged: as they are, with their units matched, their variance corrected."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch.nn import functional as F

from nclib.collapses.averages import alignment, interpolated, permuted, variance_corrected, weight_matching
from nclib.pages._collapses.classifier import collapse, digits, fit, network
from nclib.runs.experiment import Experiment, rows
from nclib.training import seed_everything

SHARES = [i / 10 for i in range(11)]


@dataclass(frozen=True)
class Merging(Experiment):
    """`models` networks of `layers` hidden layers from independent starts, each trained for `epochs`. samples: images a
    class."""

    NAME: ClassVar[str] = "collapses.merging"

    width: int
    layers: int
    models: int
    samples: int
    epochs: int
    lr: float
    seed: int

    def reads(self):
        """{file: sha256} of the images."""
        return digits(self.samples).sha256

    def run(self, device="cpu"):
        """Of the first two networks, `way` "as they are" and "matched": loss and accuracy on the test images by `share`
        of the second, distance over that of the first way, alignment of the singular directions of the weights, the
        mean over layers, and the collapse of the midpoint. Of the ends: their collapse, `way` "ends".

        Of averages of the first n networks by number `n`: the variance of their weights over the networks' mean, theory
        1/n, and accuracy, also of the corrected average."""
        generator, data = seed_everything(self.seed), digits(self.samples)
        made = []
        for _ in range(self.models):
            model = network(self.width, self.layers)
            start = parameters(model)
            fit(model, data.x, data.y, self.epochs, self.lr, generator)
            made.append((start, parameters(model)))
        first, *others = (trained for _, trained in made)
        matched = [first] + [permuted(*other, weight_matching(first, other)) for other in others]
        ways = {"as they are": others[0], "matched": matched[1]}
        found = [rows(both_collapses(first, others[0], data), way="ends")]
        for way, second in ways.items():
            found.append(rows(compare(first, second, others[0], data), way=way))
            for share in SHARES:
                found.append(rows(performance(interpolated(first, second, share), data), way=way, share=share))
        for n in range(1, self.models + 1):
            sets = {"starts": [start for start, _ in made[:n]], "trained": [net for _, net in made[:n]]}
            sets["matched"] = matched[:n]
            for way, nets in sets.items():
                found.append(rows({"variance": variance(nets)}, way=way, n=n, theory={"variance": 1 / n}))
            for way in ("trained", "matched"):
                plain, mended = average(sets[way]), average(sets[way], corrected=True)
                found.append(rows(performance(plain, data), way=way, n=n, corrected=False))
                found.append(rows(performance(mended, data), way=way, n=n, corrected=True))
        return pd.concat(found, ignore_index=True)


def parameters(model):
    """(weights, biases) of a network, copied, in float64; the head's bias is zero."""
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    weights = [layer.weight.detach().double().clone() for layer in layers]
    biases = [layer.bias.detach().double().clone() for layer in layers[:-1]]
    return weights, [*biases, torch.zeros(len(weights[-1]), dtype=torch.float64)]


def features(net, x):
    """The features of a network that is given as (weights, biases)."""
    H = x.double()
    for W, b in zip(*(parts[:-1] for parts in net), strict=True):
        H = (H @ W.T + b).relu()
    return H


def performance(net, data):
    """Cross-entropy and accuracy on the test images."""
    logits = features(net, data.x_test) @ net[0][-1].T + net[1][-1]
    right = (logits.argmax(1) == data.y_test).double().mean()
    return {"loss": float(F.cross_entropy(logits, data.y_test)), "accuracy": float(right)}


def both_collapses(first, second, data):
    """The mean of what the collapse of two networks is on the training images."""
    found = [collapse(features(net, data.x), data.y, net[0][-1]) for net in (first, second)]
    return {name: sum(one[name] for one in found) / 2 for name in found[0]}


def compare(first, second, unmatched, data):
    """Distance and alignment of two networks, and the collapse of their midpoint."""
    distances = [distance(first, net) for net in (second, unmatched)]
    top, bottom = zip(*(alignment(W, V) for W, V in zip(first[0], second[0], strict=True)), strict=True)
    middle = interpolated(first, second)
    found = {"distance": distances[0] / distances[1]}
    found |= {"top": sum(top) / len(top), "bottom": sum(bottom) / len(bottom)}
    return found | collapse(features(middle, data.x), data.y, middle[0][-1])


def distance(first, second):
    """The Euclidean distance of all weights and biases."""
    pairs = [(a, b) for A, B in zip(first, second, strict=True) for a, b in zip(A, B, strict=True)]
    return sum(float((a - b).square().sum()) for a, b in pairs) ** 0.5


def average(nets, corrected=False):
    """The average of networks; corrected: the variance of each weight matrix set to what the networks have."""
    weights, biases = zip(*nets, strict=True)
    mean = [torch.stack(layer).mean(0) for layer in zip(*weights, strict=True)]
    if corrected:
        stacks = [torch.stack([W.flatten() for W in layer]) for layer in zip(*weights, strict=True)]
        mean = [variance_corrected(stack).reshape(W.shape) for stack, W in zip(stacks, mean, strict=True)]
    return mean, [torch.stack(layer).mean(0) for layer in zip(*biases, strict=True)]


def variance(nets):
    """The variance of the entries of the average's weight matrices over that of the networks', the mean over layers."""
    mean = average(nets)[0]
    own = [
        sum(float(W.var(correction=0)) for W in layer) / len(nets) for layer in zip(*(w for w, _ in nets), strict=True)
    ]
    return sum(float(W.var(correction=0)) / v for W, v in zip(mean, own, strict=True)) / len(mean)
