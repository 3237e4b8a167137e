"""One network trained far beyond zero training error, and its collapse along the way: Papyan, Han, Donoho 2020.

Cross-entropy of a network with bias, SGD with momentum 0.9 and weight decay on all parameters, the rate divided by 10
at the epochs `drops`, no augmentation, images standardized.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import ClassVar

import pandas as pd
import torch
from torch.nn import functional as F

from nclib import metrics
from nclib.data import load, subset
from nclib.models import ConvNet, ResNet18
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import StatisticsAccumulator
from nclib.training import checkpoint, log_steps, seed_everything, train

K, CHUNK = 10, 2000
ALMOST = 0.001  # training error from which on the terminal phase has begun "effectively"


@dataclass(frozen=True)
class Network(Experiment):
    """One network. data: "digits", "fashion-mnist" or "cifar10". samples: images a class, the first of each. model:
    "resnet18", or "convnet", four convolutions. precision: of the training, see nclib.training.train."""

    NAME: ClassVar[str] = "papyan2020.network"

    data: str
    samples: int
    model: str
    epochs: int
    drops: tuple[int, ...]
    lr: float
    weight_decay: float
    batch_size: int
    precision: str
    seed: int

    def needs_gpu(self):
        """Whether a CPU would take days."""
        return self.model == "resnet18"

    def reads(self):
        """{file: sha256} of the training and test images."""
        train_set, test_set = images(self.data, self.samples)
        return train_set.sha256 | test_set.sha256

    def build(self, channels):
        """The network, from torch's global generator."""
        if self.model not in MODELS:
            raise ValueError(f"model = {self.model!r}: must be one of {', '.join(MODELS)}")
        return MODELS[self.model](K, in_channels=channels)

    def run(self, device="cpu"):
        """The rows of `measures` at the epochs `recorded`, and where a phase begins; and as "effective_epoch" and
        "terminal_epoch" the first epochs after which at most 0.1 % of the training images are misclassified, and none:
        no row where that never comes."""
        generator = seed_everything(self.seed)
        train_set, test_set = (part_on(device, part) for part in images(self.data, self.samples))
        model = self.build(train_set[0].shape[1]).to(device)
        optimizer = torch.optim.SGD(
            model.parameters(), lr=self.lr, momentum=0.9, weight_decay=self.weight_decay, fused=True
        )
        updates = ceil(len(train_set[0]) / self.batch_size)
        limits, found = {"effective_epoch": int(ALMOST * len(train_set[0])), "terminal_epoch": 0}, []

        def record(step, model):
            epoch, known = step // updates, {table["metric"].iloc[0] for table in found}
            awaited = {name: limit for name, limit in limits.items() if name not in known}
            wrong = misclassified(model, *train_set, enough=max(awaited.values(), default=-1))
            begun = [name for name, limit in awaited.items() if wrong <= limit]
            found.extend(rows({name: epoch}, epoch=epoch) for name in begun)
            if begun or epoch in recorded(self.epochs):
                found.append(measures(model, train_set, test_set).assign(epoch=epoch))

        train(
            model,
            *train_set,
            optimizer=optimizer,
            epochs=self.epochs,
            batch_size=self.batch_size,
            schedule=torch.optim.lr_scheduler.MultiStepLR(optimizer, list(self.drops), 0.1),
            generator=generator,
            loss="cross-entropy",
            precision=self.precision,
            evaluate=record,
            evaluate_at=range(0, self.epochs * updates + 1, updates),
            checkpoint=checkpoint.of_run(self, self.key(), found),
        )
        return pd.concat(found, ignore_index=True)


MODELS = {"resnet18": ResNet18, "convnet": ConvNet}


@lru_cache(maxsize=1)
def images(name, samples):
    """(training, test) images, kept from one run to the next."""
    return subset(load(name), (samples,) * K), load(name, "test")


def part_on(device, part):
    """(x, y) of images on a device."""
    return part.x.to(device), part.y.to(device)


def recorded(epochs):
    """About 20 epochs, the last among them, on a logarithmic scale and then on a linear one."""
    return {*log_steps(epochs, 10), *(round(epochs * i / 12) for i in range(13))}


def misclassified(model, x, y, enough):
    """How many images of x are misclassified. Counting ends when there are more than `enough`."""
    wrong = 0
    for part, labels in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        if wrong <= enough:
            wrong += int((model(part).argmax(1) != labels).sum())
    return wrong


def measures(model, train_set, test_set):
    """The four properties, M the centered class means of the training images and W the classifiers; error and loss.

    NC1. NC2 of M and of W, column `vectors`: the coefficient of variation of the lengths; mean and standard deviation
    of the cosines; the mean of |cos + 1/(K-1)|; the distance to the simplex ETF. NC3: |W/|W| - M/|M||, and the mean
    cosine of w_k and m_k. NC4, column `split`: the share of images whose class is not that of the nearest class mean of
    the training images. Theory: what each is at the simplex ETF.
    """
    W, bias = model.head.product(), model.head.bias
    features = {"train": in_parts(model, train_set[0]), "test": in_parts(model, test_set[0])}
    accumulator = StatisticsAccumulator(K, W.shape[1], device=W.device, scatter=True)
    accumulator.update(features["train"], train_set[1])
    stats = accumulator.compute()
    M = stats.centered_means
    distances = {"nc1": metrics.nc1(stats), "nc3": metrics.nc3(W, M), "self_duality": metrics.self_duality(W, M)}
    found = [rows(distances, theory={"nc1": 0.0, "nc3": 0.0, "self_duality": 1.0})]
    for name, vectors in {"means": M, "classifiers": W}.items():
        cosines = metrics.interference(vectors)
        values = {
            "equinorm_cv": metrics.equinorm_cv(vectors),
            "cosine_mean": cosines.mean,
            "cosine_std": cosines.std,
            "equiangularity": metrics.equiangularity(vectors),
            "nc2": metrics.nc2(vectors, "etf"),
        }
        found.append(rows(values, theory=dict.fromkeys(values, 0.0) | {"cosine_mean": -1 / (K - 1)}, vectors=name))
    for split, y in {"train": train_set[1], "test": test_set[1]}.items():
        H = features[split]
        logits = model.head(H)
        values = {
            "error": (logits.argmax(1) != y).double().mean(),
            "loss": F.cross_entropy(logits.double(), y),
            "ncc_disagreement": 1 - metrics.ncc_agreement(H, W, bias, stats.means),
        }
        found.append(rows(values, theory={"ncc_disagreement": 0.0}, split=split))
    return pd.concat(found, ignore_index=True)


def in_parts(model, x):
    """The features H (N, d) of x, float32."""
    return torch.cat([model.features(part) for part in x.split(CHUNK)])
