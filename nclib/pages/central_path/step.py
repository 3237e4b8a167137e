"""One backward-Euler step of the central path: the minimizer of Eq. 2 for random H0 and many beta = 1/t."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib import metrics
from nclib.pages.central_path.flow import Flow
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.theory import perturbation


@dataclass(frozen=True)
class Step(Experiment):
    """`count` random problems for each seed ("random" of `flow.Flow`), each solved at every one of `betas`."""

    NAME: ClassVar[str] = "tirer2023.central_path_step"

    count: int
    betas: tuple[float, ...]
    num_classes: int = 4
    samples: int = 5
    dim: int = 6
    seeds: tuple[int, ...] = (0, 1, 2)

    def run(self, device="cpu"):
        """For each `problem` and `beta`: "fall" (trace ratio of the minimizer over that of H0), "margin" (its
        certificate), "within" and "between" (those of the minimizer over those of H0, over (beta/(beta + lam_H))^2).
        For each problem: "constant" (that of Corollary 3.2) and "speed" (d/dt log trace ratio of the flow at H0)."""
        like, found = Flow("random", self.count, (), self.num_classes, self.samples, self.dim), []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed(seed)
            problems = [like.problem(number, generator) for number in range(self.count)]
            solved = [self.solve(*problem) for problem in problems]
            for j, beta in enumerate(self.betas):
                values = {name: [one[name][j] for one in solved] for name in solved[0]}
                found.append(rows(values, "problem", beta=beta, seed=seed))
            start = [perturbation.central_path(*problem, [0.0])["log_slope"].iloc[0] for problem in problems]
            constant = [perturbation.monotone_beta(*problem[2:]) for problem in problems]
            found.append(rows({"constant": constant, "speed": start}, "problem", seed=seed))
        return pd.concat(found, ignore_index=True)

    def solve(self, H0, y, lam_W, lam_H):
        """{metric: one value for each of betas} of a problem."""
        K, betas = self.num_classes, torch.tensor(self.betas, dtype=torch.float64)
        W = perturbation.solve(H0, y, lam_W, lam_H, betas)
        H = [perturbation.features(w, H0, y, lam_H, beta) for w, beta in zip(W, self.betas, strict=True)]
        shrink = torch.tensor([(beta / (beta + lam_H)) ** 2 for beta in self.betas], dtype=torch.float64)
        within, between = torch.tensor([traces(h, K) for h in H], dtype=torch.float64).T / shrink
        before = traces(H0, K)
        return {
            "fall": [ratio(h, y, K) / ratio(H0, y, K) for h in H],
            "margin": perturbation.global_margin(W, H0, y, lam_W, lam_H, betas).tolist(),
            "within": (within / before[0]).tolist(),
            "between": (between / before[1]).tolist(),
        }


def traces(H, K):
    """(tr Sigma_W, tr Sigma_B) for samples class by class."""
    means = H.view(K, -1, H.shape[1]).mean(1, keepdim=True)
    within = (H.view(K, -1, H.shape[1]) - means).square().sum() / len(H)
    return float(within), float((means - means.mean(0)).square().sum() / K)


def ratio(H, y, K):
    """tr Sigma_W / tr Sigma_B."""
    return metrics.nc1_trace_ratio(ClassStatistics.from_features(H, y, K, scatter=True))
