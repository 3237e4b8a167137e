"""A small network on Gaussian clusters, and the exact spectrum of its Hessian."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib import metrics
from nclib.collapses.spectra import cross_entropy_hessian, full_hessian, outliers
from nclib.models import MLP
from nclib.pages._collapses.classifier import fit
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.training import seed_everything

LARGEST = 40


@dataclass(frozen=True)
class Hessian(Experiment):
    """A network of one hidden layer on `classes` Gaussian clusters of `samples` points in `dim` dimensions, their
    centers `apart` times as far from zero as points are from a center, trained for `epochs`."""

    NAME: ClassVar[str] = "collapses.hessian"

    classes: int
    samples: int
    dim: int
    apart: float
    width: int
    epochs: int
    lr: float
    weight_decay: float
    seed: int

    def run(self, device="cpu"):
        """The largest eigenvalues of the Hessian in all parameters and in those of the last layer, on the features as
        they are and less their mean, by index `i`; how many lie above the largest gap; NC1."""
        generator = seed_everything(self.seed)
        centers = self.apart * torch.randn(self.classes, self.dim)
        y = torch.arange(self.classes).repeat_interleave(self.samples)
        x = centers[y] + torch.randn(len(y), self.dim)
        model = MLP(self.dim, self.width, 1, self.classes)
        fit(model, x, y, self.epochs, self.lr, generator, self.weight_decay)
        with torch.no_grad():
            H, logits = model.features(x).double(), model(x).double()
        found = {
            "all parameters": full_hessian(model, x, y),
            "last layer": cross_entropy_hessian(H, logits),
            "last layer, centered": cross_entropy_hessian(H - H.mean(0), logits),
        }
        spectra = {name: torch.linalg.eigvalsh(matrix).flip(0) for name, matrix in found.items()}
        stats = ClassStatistics.from_features(H, y, self.classes, scatter=True)
        tables = [rows({"nc1": metrics.nc1(stats)})]
        for name, values in spectra.items():
            counted = {"outliers": outliers(values, 2 * self.classes)}
            tables.append(rows({"eigenvalue": values[:LARGEST]}, "i", which=name))
            tables.append(rows(counted, which=name, theory={"outliers": float(self.classes)}))
        return pd.concat(tables, ignore_index=True)
