"""A ReLU network on digits, trained and pruned, and its collapse."""

from functools import lru_cache
from typing import NamedTuple

import torch

from nclib import metrics
from nclib.collapses.pruning import between_rank
from nclib.data import load, subset
from nclib.models import MLP
from nclib.statistics import ClassStatistics
from nclib.training import train

K, BATCH = 10, 64


class Digits(NamedTuple):
    """Training and test images, flattened, and their labels."""

    x: torch.Tensor
    y: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    sha256: dict


@lru_cache(maxsize=4)
def digits(samples):
    """The first `samples` training images of each class, and all test images."""
    known, new = subset(load("digits"), (samples,) * K), load("digits", "test")
    return Digits(known.x.flatten(1), known.y, new.x.flatten(1), new.y, known.sha256)


def network(width, layers):
    """A ReLU network of `layers` hidden layers of one width, its last layer without a bias."""
    return MLP(64, width, layers, K)


def fit(model, x, y, epochs, lr, generator, weight_decay=0.0, batch=BATCH):
    """Adam on the cross-entropy, in batches."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    options = {"batch_size": min(batch, len(x)), "generator": generator, "loss": "cross-entropy"}
    train(model, x, y, optimizer=optimizer, epochs=epochs, **options)


@torch.no_grad()
def accuracy(model, x, y):
    """The share of samples that the model classifies rightly."""
    return float((model(x).argmax(1) == y).double().mean())


@torch.no_grad()
def collapse(H, y, W, num_classes=K):
    """NC1, NC2 of the centered class means, NC3, trace and rank of Sigma_B of features H. Where all class means are
    equal there is nothing to compare with: inf, NaN and NaN beside a trace and a rank of 0."""
    stats = ClassStatistics.from_features(H, y, num_classes, scatter=True)
    M = stats.centered_means
    found = {"nc1": metrics.nc1(stats), "between": float(M.square().sum() / len(M)), "rank": between_rank(stats)}
    return found | {"nc2": metrics.nc2(M), "nc3": metrics.nc3(W, M)}
