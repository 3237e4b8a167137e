"""A real network on real images: 6 hidden layers (or ResNet-18) and M linear layers, with the features penalized.

Minimizes nclib.training.objective with lam_Wm = lam_H = lam on the linear layers and the features alone. Dang et al.
2023 write the fit as 1/(2N) |Z - Y|^2 (scale "paper"); their code minimizes 1/(2NK) ("authors-imbalanced") or 1/(NK)
("authors-balanced") and in mini-batches sums |H|^2 over the batch alone. The prediction is that of the objective that
was really minimized: its effective decays are `effective_decays`.
"""

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from nclib.data import load, subset
from nclib.models import MLP, ResNet18
from nclib.pages._linear_heads import prediction
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import StatisticsAccumulator
from nclib.theory import deep_linear
from nclib.training import checkpoint, effective_lambda, fit_scale, log_steps, seed_everything, train

HIDDEN_LAYERS = 6
CHUNK = 2000


@dataclass(frozen=True)
class Network(Experiment):
    """One network.

    data, counts: images a class, the first of each. model: "mlp" or "resnet18" (512 features; decay lam on all
    parameters and none on features, as the authors train it). batch_norm: after each hidden layer; without it there is
    one more linear layer before the features, whose start is multiplied by `feature_scale`: features that start much
    longer than they end are driven to 0, and ReLUs die with them. init: of the linear layers. batch_size None: the full
    batch. The learning rate is divided by 10 every `drop` epochs. precision: of the training, see
    nclib.training.train.
    """

    NAME: ClassVar[str] = "dang2023.network"

    data: str
    counts: tuple[int, ...]
    depth: int
    bias: bool
    lam: float
    epochs: int
    drop: int
    lr: float
    width: int
    seed: int
    scale: str = "paper"
    batch_size: int | None = None
    batch_norm: bool = False
    model: str = "mlp"
    init: str = "orthogonal"
    feature_scale: float = 1.0
    precision: str = "float32"

    def needs_gpu(self):
        """Whether a CPU would take hours."""
        return self.data == "cifar10"

    def reads(self):
        """{file: sha256} of the images."""
        return load(self.data).sha256 | load(self.data, "test").sha256

    def run(self, device="cpu"):
        """The errors against the prediction at each recorded step, and as "authors_..." against the authors' target
        where that is another one, in the end with the exact floor as theory. At the end accuracies; and beside what is
        predicted the objective ("loss"), the geometry, and the K largest singular values of each linear `layer`."""
        generator = seed_everything(self.seed)
        images, test = subset(load(self.data), self.counts), load(self.data, "test")
        model = self.build(images.x[0].numel()).to(device)
        x, y = images.x.to(device), images.y.to(device)
        target, authors = self.target(), self.authors_target()
        found = []

        def record(step, model):
            stats, P = statistics(model, x, y), model.head.product()
            found.append(head(prediction.errors(stats, P, target), step=step))
            if self.misled:
                floors = prediction.floors(authors, target) if step == self.steps else {}
                wrong = prediction.errors(stats, P, authors)
                found.append(head(theirs(wrong), theory=theirs(floors), step=step))
            if step == self.steps:
                predicted = self.predicted(target)
                found.append(head(prediction.measured_geometry(stats, P, target), theory=predicted, step=step))
                found.extend(self.by_layer(model, step))
                for split, part in {"train": images, "test": test}.items():
                    share = accuracy(model, part.x.to(device), part.y.to(device))
                    found.append(head({"accuracy": share}, step=step, split=split))

        kept = checkpoint.of_run(self, self.key(), found)
        values = self.fit(model, x, y, generator, record, recorded(self.steps), kept)
        found.append(head({"loss": values[-1]}, theory=self.predicted(target), step=self.steps))
        return pd.concat(found, ignore_index=True)

    @property
    def steps(self):
        """Updates of the whole training."""
        return self.epochs * ceil(sum(self.counts) / (self.batch_size or sum(self.counts)))

    @property
    def misled(self):
        """Whether the authors' code compares with another minimizer than that of what it minimizes."""
        return not self.bias and len(set(self.counts)) > 1 and self.scale != "paper"

    def decays(self):
        """(lam_W, lam_H) with which the paper's objective has the minimizers of the objective that is minimized."""
        lam, N = effective_lambda(self.lam, len(self.counts), self.scale), sum(self.counts)
        return lam, lam * (1.0 if self.scale == "paper" else (self.batch_size or N) / N)

    def problem(self):
        """The arguments of what is minimized, as nclib.theory.deep_linear takes them."""
        lam_W, lam_H = self.decays()
        decays = {"weight_decays": [lam_W] * self.depth, "lam_H": lam_H}
        return {"counts": self.counts, **decays, "bias": self.bias, "width": self.width}

    def target(self):
        """The Minimizer that the network is held against. For "resnet18" only its directions mean anything."""
        return deep_linear.mse_minimizer(**self.problem())

    def authors_target(self):
        """The Minimizer that the authors' code compares with: that of lam itself."""
        return deep_linear.mse_minimizer(
            **self.problem() | {"weight_decays": [self.lam] * self.depth, "lam_H": self.lam}
        )

    def predicted(self, target):
        """Geometry and objective at the minimizer; nothing for "resnet18"."""
        if self.model == "resnet18":
            return {}
        return prediction.predicted_geometry(target) | {"loss": fit_scale(len(self.counts), self.scale) * target.loss}

    def by_layer(self, model, step):
        """The K largest singular values of each linear layer."""
        predicted = deep_linear.layer_singular_values(**self.problem())
        for m, W in enumerate(model.head.weights, 1):
            sv = {"singular_value": torch.linalg.svdvals(W.double())[: len(self.counts)]}
            law = {} if self.model == "resnet18" else {"singular_value": predicted[m - 1]}
            yield head(sv, theory=law, step=step, layer=f"W{m}")

    def build(self, in_features):
        """The network, from torch's global generator."""
        K = len(self.counts)
        if self.model == "resnet18":
            return ResNet18(K, self.depth, bias_last=self.bias, final_norm=True, init=self.init)
        model = MLP(
            in_features,
            self.width,
            HIDDEN_LAYERS,
            K,
            self.depth,
            batch_norm=self.batch_norm,
            intermediate=not self.batch_norm,
            bias_last=self.bias,
            init=self.init,
        )
        if not self.batch_norm:
            with torch.no_grad():
                model.backbone[-1].weight.mul_(self.feature_scale)
        return model

    def fit(self, model, x, y, generator, record, record_at, kept=None):
        """Train as the authors do: Adam and explicit penalties for the MLP, SGD and weight decay for ResNet-18."""
        terms = {"scale": self.scale, "lam_W": self.lam, "lam_H": self.lam}
        if self.scale != "paper":
            terms["num_samples"] = None
        optimizer = torch.optim.Adam(model.parameters(), lr=self.lr, fused=True)
        if self.model == "resnet18":
            terms |= {"lam_W": 0.0, "lam_H": 0.0}
            decay = {"momentum": 0.9, "weight_decay": self.lam}
            optimizer = torch.optim.SGD(model.parameters(), lr=self.lr, fused=True, **decay)
        return train(
            model,
            x,
            y,
            optimizer=optimizer,
            epochs=self.epochs,
            batch_size=self.batch_size,
            schedule=torch.optim.lr_scheduler.StepLR(optimizer, self.drop, 0.1),
            generator=generator,
            evaluate=record,
            evaluate_at=record_at,
            precision=self.precision,
            checkpoint=kept,
            **terms,
        )


def head(values, *, step, layer="", split="train", theory=None):
    """`rows` of numbers, vectors and matrices with the indices `i` and `j`."""
    return rows(values, "i", "j", theory=theory, step=step, layer=layer, split=split)


def theirs(errors):
    """Errors against the authors' target under names of their own. NC1 has no target."""
    return {f"authors_{name}": value for name, value in errors.items() if name != "nc1"}


def recorded(steps):
    """Steps on a logarithmic and on a linear scale."""
    return sorted({*log_steps(steps, 12), *np.linspace(0, steps, 25).round().astype(int).tolist()})


def statistics(model, x, y):
    """ClassStatistics, with scatter, of the features of all images."""
    K, d = model.head.product().shape
    accumulator = StatisticsAccumulator(K, d, device=x.device, scatter=True)
    for images, labels in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        accumulator.update(model.features(images), labels)
    return accumulator.compute()


def accuracy(model, x, y):
    """The share of images whose largest logit is that of their class."""
    guesses = torch.cat([model(images).argmax(1) for images in x.split(CHUNK)])
    return float((guesses == y).double().mean())
