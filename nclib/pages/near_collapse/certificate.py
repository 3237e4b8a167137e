"""Random problems far from collapse: is the minimizer that `solve` finds the global one, and does its margin tell?"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib import metrics
from nclib.pages.near_collapse.minimizer import minimize, objective
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.theory import perturbation


@dataclass(frozen=True)
class Certificate(Experiment):
    """`problems` problems for each seed, each searched by joint descent from `starts` random starts.

    H0 Gaussian with standard deviation up to 1.5, lam_W and beta from 0.03 to 3, lam_H from 0.01 to 1, all uniform in
    the logarithm.
    """

    NAME: ClassVar[str] = "tirer2023.near_collapse_certificate"

    problems: int
    starts: int
    num_classes: int = 3
    samples: int = 3
    dim: int = 4
    seeds: tuple[int, ...] = (0, 1, 2)

    def run(self, device="cpu"):
        """Over problems i: "margin" (of the minimizer found by `solve`), "gap" (lowest f over the random starts minus
        that of `solve`, over its value), "fall" (trace ratio of the minimizer over that of H0)."""
        K, n, d, P, S = self.num_classes, self.samples, self.dim, self.problems, self.starts
        y, found = torch.arange(K).repeat_interleave(n), []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed(seed)
            scale, lam_W, beta, lam_H = torch.rand(4, P, generator=generator, dtype=torch.float64)
            scale, lam_W, beta, lam_H = 0.15 * 10**scale, 0.03 * 100**lam_W, 0.03 * 100**beta, 0.01 * 100**lam_H
            H0 = scale[:, None, None] * torch.randn(P, K * n, d, generator=generator, dtype=torch.float64)
            parameters = list(zip(lam_W.tolist(), lam_H.tolist(), beta.tolist(), strict=True))
            W = torch.stack([perturbation.solve(h, y, *more) for h, more in zip(H0, parameters, strict=True)])
            each = list(zip(W, H0, parameters, strict=True))
            H = torch.stack([perturbation.features(w, h, y, *more[1:]) for w, h, more in each])
            margin = torch.stack([perturbation.global_margin(w, h, y, *more) for w, h, more in each])
            value = objective(W, H, H0, y, lam_W, lam_H, beta)
            many = [x.repeat_interleave(S, 0) for x in (H0, lam_W, lam_H, beta)]
            starts = torch.randn(P * S, K + K * n, d, generator=generator, dtype=torch.float64)
            lowest = minimize(starts[:, :K], starts[:, K:], many[0], y, *many[1:])[2].view(P, S).amin(1)
            fall = [ratio(after, y, K) / ratio(before, y, K) for after, before in zip(H, H0, strict=True)]
            found.append(rows({"margin": margin, "gap": (lowest - value) / value, "fall": fall}, "i", seed=seed))
        return pd.concat(found, ignore_index=True)


def ratio(H, y, K):
    """tr Sigma_W / tr Sigma_B."""
    return metrics.nc1_trace_ratio(ClassStatistics.from_features(H, y, K, scatter=True))
