"""The laws of the closed form over many decades of a, beside their limits; and three classes in a plane."""

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import ClassVar

import pandas as pd
import torch

from nclib.frames import simplex_etf
from nclib.pages.mixup_theorem.attained import LOSSES, minimum, turned
from nclib.runs.experiment import Experiment, rows
from nclib.theory import mixup


@dataclass(frozen=True)
class Laws(Experiment):
    """One number of classes; `count` values of a, 10^low to 10^high. Nothing is random: `seed` is only recorded."""

    NAME: ClassVar[str] = "fisher2024.laws"

    num_classes: int
    low: float
    high: float
    count: int
    mixes: tuple[float, ...]
    seed: int = 0

    def run(self, device="cpu"):
        """For each `a`: `amplification` by the lengths of the features, beside its equation for one number; and at each
        `mix` the `gap` z_i - z_j beside its limit for large a."""
        K, found = self.num_classes, []
        W = simplex_etf(K, K - 1)
        for a in torch.logspace(self.low, self.high, self.count, dtype=torch.float64).tolist():
            lam_H = K / ((K - 1) * a)
            length = mixup.feature(W, 0, 1, 0.5, lam_H).norm() / mixup.feature(W, 0, 0, 0.5, lam_H).norm()
            found.append(rows({"amplification": length}, theory={"amplification": mixup.amplification(K, a)}, a=a))
            for mix in self.mixes:
                z, odds = mixup.logits(K, a, mix), torch.logit(torch.tensor(mix, dtype=torch.float64))
                found.append(rows({"gap": z[0] - z[1]}, theory={"gap": odds}, a=a, mix=mix))
        return pd.concat(found, ignore_index=True)


@dataclass(frozen=True)
class Plane(Experiment):
    """Classes 0, 1, 2 of `num_classes`, and all their mixes at `count` random weights, by minimizers."""

    NAME: ClassVar[str] = "fisher2024.plane"

    num_classes: int
    a: float
    count: int
    seed: int

    def run(self, device="cpu"):
        """For each `loss`, pair `i` <= `j` and `mix`: `x` and `y` of the feature in the plane of the three classifiers,
        and what the closed form says, both over the length of the features of one class there."""
        K, generator, found = self.num_classes, torch.Generator().manual_seed(self.seed), []
        W = turned(simplex_etf(K, K), generator)
        lam_H = K / ((K - 1) * self.a)
        plane = torch.linalg.qr(torch.stack([W[1] - W[0], 2 * W[2] - W[0] - W[1]], 1)).Q
        plane = plane * torch.sign(torch.stack([(W[1] - W[0]) @ plane[:, 0], W[2] @ plane[:, 1]]))
        for loss, exact in zip(LOSSES, (mixup.feature, mixup.mse_feature), strict=True):
            unit = (exact(W, 0, 0, 0.5, lam_H) @ plane).norm()
            for i, j in combinations_with_replacement(range(3), 2):
                mixes = torch.rand(self.count, generator=generator, dtype=torch.float64).sort().values
                Y = torch.zeros(self.count, K, dtype=torch.float64)
                Y[:, i] += mixes
                Y[:, j] += 1 - mixes
                lam = torch.tensor([lam_H], dtype=torch.float64)
                h = minimum(W[None], Y[None], lam, loss, generator)[0] @ plane / unit
                known = exact(W, i, j, mixes, lam_H) @ plane / unit
                for mix, one, point in zip(mixes.tolist(), h, known, strict=True):
                    at = {"loss": loss, "i": i, "j": j, "mix": mix}
                    place = {"x": one[0], "y": one[1]}, {"x": point[0], "y": point[1]}
                    found.append(rows(place[0], theory=place[1], **at))
        return pd.concat(found, ignore_index=True)
