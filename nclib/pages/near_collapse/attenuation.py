"""How much of each collapse metric is left at the minimizer when H0 is the collapsed features plus noise."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib import metrics
from nclib.pages.near_collapse.response import minimizer
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.theory import perturbation


@dataclass(frozen=True)
class Attenuation(Experiment):
    """One problem, with Gaussian noise of each of `sizes` times sqrt(rho), the length of a class mean.

    skew: noise has standard deviations falling geometrically from coordinate 1 to d by this factor, after a random
    rotation of the features; 1 is isotropic noise.
    """

    NAME: ClassVar[str] = "tirer2023.near_collapse_attenuation"

    lam_W: float
    lam_H: float
    beta: float
    skew: float
    num_classes: int = 4
    samples: int = 10
    dim: int = 10
    sizes: tuple[float, ...] = (1e-3,)
    seeds: tuple[int, ...] = (0, 1, 2)

    def run(self, device="cpu"):
        """For each `size`, the metric of the minimizer over that of H0, measured and predicted: "nc1",
        "nc1_trace_ratio", "nc2".

        The law of the trace ratio weighs the two attenuations with the share of the noise in the span of the means,
        which is computed from the noise drawn: K/d is its mean for isotropic noise.
        """
        K, n, d = self.num_classes, self.samples, self.dim
        p = perturbation.Problem(K, n, d, self.lam_W, self.lam_H, self.beta)
        y, H, found = torch.arange(K).repeat_interleave(n), p.collapsed()[1], []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed(seed)
            deviations = self.skew ** -torch.linspace(0, 1, d, dtype=torch.float64)
            rotation = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64)).Q
            D = torch.randn(K * n, d, generator=generator, dtype=torch.float64) * deviations @ rotation
            law = p.attenuation(share_inside(D, K))
            for size in self.sizes:
                start = H + size * p.rho**0.5 * D
                before, after = (nc1_and_nc2(X, y, K) for X in (start, minimizer(p, start, y)))
                left = {name: after[name] / before[name] for name in law}
                found.append(rows(left, theory=law, size=size, seed=seed))
        return pd.concat(found, ignore_index=True)


def share_inside(D, K):
    """The share of the within-class noise of D (K n, d), class by class, that lies in the first K coordinates."""
    centered = D - D.view(K, -1, D.shape[1]).mean(1).repeat_interleave(len(D) // K, 0)
    return float(centered[:, :K].square().sum() / centered.square().sum())


def nc1_and_nc2(H, y, K):
    """The three metrics; NC2 of the centered class means."""
    stats = ClassStatistics.from_features(H, y, K, scatter=True)
    found = {"nc1": metrics.nc1(stats), "nc1_trace_ratio": metrics.nc1_trace_ratio(stats)}
    return found | {"nc2": metrics.nc2(stats.centered_means)}
